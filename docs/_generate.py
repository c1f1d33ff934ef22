"""Pages that are written from the code before each build: nothing here is listed by hand.

- `tutorials/*.ipynb`: the notebooks as they are committed, with their outputs.
- `reference/api/*.md`: a page for each subpackage, with every public name of it.
- `reference/tables/*.md`: features, constraints and settings.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import shutil
from importlib import import_module
from pathlib import Path

_HERE = Path(__file__).parent
_PAGES = {
    "pyro_hea.vae": "The model",
    "pyro_hea.campaign": "Campaigns",
    "pyro_hea.sklearn": "scikit-learn estimators",
    "pyro_hea.crystal_vae": "The model of crystals",
    "pyro_hea.materials.crystals": "Crystals",
    "pyro_hea.charts": "Charts of manifolds",
    "pyro_hea.disorder": "Disorder",
    "pyro_hea.materials.alloys.dataset": "Alloys and data sets",
    "pyro_hea.materials.alloys.amounts": "Amounts of elements",
    "pyro_hea.materials.alloys.composition": "Formulas and fractions",
    "pyro_hea.materials.alloys.element_tables": "Element tables",
    "pyro_hea.materials.alloys.features": "Features",
    "pyro_hea.spec": "Declarations",
    "pyro_hea.design": "Design",
    "pyro_hea.posterior": "Posterior",
    "pyro_hea.explain": "Explanations",
    "pyro_hea.plots": "Plots",
    "pyro_hea.evaluate.measures": "Measures",
    "pyro_hea.evaluate": "Evaluation",
    "pyro_hea.evaluate.report": "Reports",
    "pyro_hea.program.model": "The Pyro program",
    "pyro_hea.program.separable": "The Pyro program of separable latents",
    "pyro_hea.inference": "Inference",
    "pyro_hea.executors": "Executors",
    "pyro_hea.errors": "Errors and warnings",
}
"""Title of each page; its names are the public ones of the module."""


def _public(module: object) -> list[str]:
    """Public names of a module: `__all__`, or what it defines itself."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


def _api_pages(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # with pages of rooms that are no more
    folder.mkdir(parents=True)
    for path, title in _PAGES.items():
        module = import_module(path)
        lines = [f"# {title}", "", "```{eval-rst}", f".. automodule:: {path}", ""]
        for name in _public(module):
            value = getattr(module, name)
            if inspect.isclass(value):
                lines.append(f".. autoclass:: {path}.{name}")
                lines += ["   :members:"] * (not issubclass(value, BaseException))
            elif inspect.isfunction(value):
                lines.append(f".. autofunction:: {path}.{name}")
            else:  # autodoc would give the docstring of its type
                lines.append(f".. py:data:: {path}.{name}")
            lines.append("")
        text = "\n".join([*lines, "```", ""])
        (folder / f"{path.removeprefix('pyro_hea.')}.md").write_text(text, encoding="utf-8")


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"


def _features() -> str:
    from pyro_hea.materials.alloys.features import FEATURES

    rows = [_row(f"`{f.name}`", f.unit, f.formula, f.source) for f in FEATURES.values()]
    head = [_row("feature", "unit", "formula", "source"), "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows])


def _constraints() -> str:
    from pyro_hea.design import constraints

    rows = []
    for name in constraints.__all__:
        kind = getattr(constraints, name)
        if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
            key = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
            fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind))
            doc = (inspect.getdoc(kind) or "").splitlines()[0]
            rows.append(_row(f"`{name}`", f"`{key}`", fields, doc))
    head = [_row("constraint", "in a YAML file", "fields", "what holds")]
    return "\n".join([*head, "| --- | --- | --- | --- |", *rows])


def _settings() -> str:
    from pyro_hea.spec import ModelSpec
    from pyro_hea.spec.annotated import annotated_yaml

    return f"```yaml\n{annotated_yaml(ModelSpec())}```"


def _write_all(app: object) -> None:
    tutorials = _HERE / "tutorials"
    for notebook in sorted((_HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copy(notebook, tutorials / notebook.name)
    _api_pages(_HERE / "reference" / "api")
    tables = _HERE / "reference" / "tables"
    tables.mkdir(exist_ok=True)
    for name, text in {
        "features": _features(),
        "constraints": _constraints(),
        "settings": _settings(),
    }.items():
        (tables / f"{name}.md").write_text(f"---\norphan: true\n---\n\n{text}\n", encoding="utf-8")


def setup(app: object) -> dict[str, bool]:
    """Write the pages before the sources are read."""
    app.connect("builder-inited", _write_all)  # type: ignore[attr-defined]
    return {"parallel_read_safe": True}
