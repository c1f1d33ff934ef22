"""Execute the notebooks in place, and record in each the release and the commit it was run from.

python notebooks/execute.py          # all of them
python notebooks/execute.py 06 08    # those whose names begin so
"""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent


def commit() -> str:
    """The commit of the checkout, with `-dirty` where the package or its tables were changed."""
    described = ["git", "describe", "--always", "--abbrev=12", "--exclude=*"]
    changed = ["git", "status", "--porcelain", "--", "../pyro_hea", "../data"]
    name, dirty = (
        subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, text=True).stdout
        for command in (described, changed)
    )
    return name.strip() + "-dirty" * bool(dirty)


def execute(path: Path, recorded: dict[str, str]) -> None:
    """Run one notebook from top to bottom; nothing is written where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    # without the widgets' state, which holds all of plotly (10 MB)
    NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(FOLDER)}},
    ).execute()
    notebook.metadata["pyro_hea"] = recorded
    nbformat.write(notebook, path)


if __name__ == "__main__":
    run_from = {"version": version("pyro-hea"), "commit": commit()}
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not sys.argv[1:] or path.name.startswith(tuple(sys.argv[1:])):
            print(path.name, flush=True)
            execute(path, run_from)
