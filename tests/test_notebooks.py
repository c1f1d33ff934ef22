"""Notebooks run from top to bottom, and what is committed of them is clean."""

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from pyro_hea.spec import ModelSpec

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))

DAILY = re.compile(r"^.*FutureWarning:\s*ArviZ is undergoing a major refactor", re.DOTALL)
"""What ArviZ 0.23 says on its first import of a day."""


MEMBERS = {"02_swapping_priors.ipynb": 4, "10_crystals.ipynb": 4}
"""Where they are not the default's: a model that is trained many times, and one of crystals."""

OTHERS = {
    "06_charts.ipynb": "4 charts of 1 dimensions, of 5000 points",
    "07_disorder.ipynb": "5 temperatures from 600 to 1700 K, 300 energies",
}
"""What notebooks without an ensemble of alloys print of what they computed in full."""


def read(name):
    return nbformat.read(FOLDER / name, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def noise(notebook):
    """What was written to stderr."""
    streams = [
        o.text for o in outputs(notebook) if o.output_type == "stream" and o.name != "stdout"
    ]
    return [text for text in streams if not DAILY.match(text)]


def texts(notebook):
    """Every text of the outputs; images are left out."""
    found = []
    for output in outputs(notebook):
        found += [output.get("text", ""), *output.get("traceback", [])]
        found += [
            value for kind, value in output.get("data", {}).items() if kind.startswith("text/")
        ]
    return found


def test_there_is_a_quickstart():
    assert "01_quickstart.ipynb" in NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PYRO_HEA_SMOKE", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    folder = tmp_path / "notebooks"
    folder.mkdir()
    committed = (FOLDER / name).read_bytes()
    for sheet in FOLDER.glob("*.xlsx"):
        shutil.copy(sheet, folder)
    before = {path.name for path in folder.iterdir()}
    notebook = nbformat.read(shutil.copy(FOLDER / name, folder), as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()  # raises where a cell does
    assert noise(notebook) == []
    assert {path.name for path in folder.iterdir()} == {*before, name}  # it leaves nothing behind
    assert (FOLDER / name).read_bytes() == committed


def test_your_own_alloys_take_at_most_twelve_cells_from_a_sheet_of_sixty():
    assert len(list(code_cells(read("09_your_alloys.ipynb")))) <= 12
    assert len(pd.read_excel(FOLDER / "sixty_alloys.xlsx")) == 60


def test_all_were_executed_from_one_commit_of_this_release():
    (recorded,) = {tuple(read(name).metadata["pyro_hea"].items()) for name in NOTEBOOKS}
    assert dict(recorded).keys() == {"version", "commit"}
    assert dict(recorded)["version"] == version("pyro-hea")
    assert re.fullmatch("[0-9a-f]{12}", dict(recorded)["commit"])


def test_an_alloy_has_the_same_number_in_all_notebooks_of_the_same_model():
    found = {
        name: re.findall(r"^CoCrFeMnNi +(0\.\d+)", "\n".join(texts(read(name))), re.MULTILINE)
        for name in ("01_quickstart.ipynb", "03_uncertainty.ipynb")
    }
    first, second = (float(numbers[0]) for numbers in found.values())
    assert first == second


@pytest.mark.parametrize("name", NOTEBOOKS)
class TestCommitted:
    def test_is_a_valid_notebook_below_a_megabyte(self, name):
        nbformat.validate(read(name))
        assert (FOLDER / name).stat().st_size < 1_000_000

    def test_was_executed_once_in_order(self, name):
        cells = code_cells(read(name))
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        assert sum(bool(cell.outputs) for cell in cells) > len(cells) / 2

    def test_holds_no_error_and_no_noise(self, name):
        notebook = read(name)
        assert [o for o in outputs(notebook) if o.output_type == "error"] == []
        assert noise(notebook) == []
        assert not any(re.search(r"\r|it/s|\d%\|", text) for text in texts(notebook))  # bars

    def test_was_executed_with_the_full_model(self, name):
        if name in OTHERS:
            assert any(OTHERS[name] in text for text in texts(read(name)))
            return
        printed = [text for text in texts(read(name)) if "members, " in text]
        members = MEMBERS.get(name, ModelSpec().training.members)
        assert printed
        assert all(f"{members} members" in text for text in printed)

    def test_shows_figures(self, name):
        shown = [o for o in outputs(read(name)) if "image/png" in o.get("data", {})]
        assert len(shown) >= 3

    def test_holds_no_place_and_no_time_of_the_machine_it_ran_on(self, name):
        notebook = read(name)
        text = "\n".join([*texts(notebook), *(cell.source for cell in notebook.cells)])
        places = r"(?<![\w.<])/(?:home|root|tmp|work|Users|usr|opt|var)/|[A-Z]:\\|File "
        assert not re.search(places, text)
        assert "iopub" not in json.dumps(notebook)

    def test_has_prose_between_its_cells(self, name):
        prose = [cell.source for cell in read(name).cells if cell.cell_type == "markdown"]
        assert prose[0].startswith("# ")
        assert len(prose) >= len(code_cells(read(name))) / 3
