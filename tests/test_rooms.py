"""Each room of the package imports only the rooms above it, and never what it must not know."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "pyro_hea"

# From the top down: a floor imports only from those above it, and within a floor each room only
# from the rooms before it. A room is a module or a subpackage, by its dotted name; a room inside
# another one is named before or after it, as the imports ask.
FLOORS = {
    "foundations": ("errors", "files", "devices", "executors", "evaluate.measures"),
    "materials": (
        "materials.tensor_rows",
        "materials.alloys.formula",
        "materials.alloys.element_tables",
        "materials.alloys.amounts",
        "materials.alloys.composition",
        "materials.alloys.hard_spheres",
        "materials.alloys.alloy_quantities",
        "materials.alloys.features",
        "materials.alloys",
        "materials.crystals",
        "materials",
    ),
    "declarations": ("spec",),
    "program": (
        "program.splines",
        "program.networks",
        "program.flows",
        "program.likelihoods",
        "program.latents",
        "program.sites",
        "program.targets",
        "program.model",
        "program.separable",
        "program.crystal_distributions",
        "program.crystal_batch",
        "program.crystal_networks",
        "program.crystal_sequences",
        "program.crystals",
        "program.charts",
        "program",
    ),
    "inference": ("inference.checkpoint", "inference"),
    "answers": (
        "posterior",
        "training_data",
        "saved_training",
        "fitting",
        "cache",
        "model_card",
        "plots",
        "disorder",
        "design",
        "explain.explorer",
        "trained",
        "vae",
        "crystal_fitting",
        "crystal_vae",
        "charts",
        "campaign_folder",
        "campaign",
        "explain",
        "sklearn",
        "completion",
        "evaluate",
        "evaluate.benchmark",
        "evaluate.report",
        "evaluate.study",
        "cli",
    ),
}
ROOMS = tuple(room for floor in FLOORS.values() for room in floor)

# What a room never names, beyond the rooms below it.
PICKLES = ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch.load")
FILES = ("pathlib", "io", "json", "yaml", "safetensors", "h5netcdf", "torch.save", "torch.load")
OPTIMISERS = ("torch.optim", "pyro.optim", "pyro.infer.SVI")
NEVER = {
    "materials.alloys.formula": ("torch", "pyro", "pandas"),
    "materials.alloys.element_tables": ("torch", "pyro"),
    "materials.alloys.amounts": ("torch", "pyro"),
    "materials.alloys.composition": ("torch", "pyro"),
    "evaluate.measures": ("torch", "pyro"),
    "materials.alloys.hard_spheres": ("pyro", "pandas"),
    "materials.alloys.alloy_quantities": ("pyro", "pandas"),
    "materials.alloys.features": ("pyro",),
    "spec": ("pandas",),
    "materials.alloys": ("pyro",),
    "materials.crystals": ("pyro",),
    "program.networks": ("pyro", "pandas"),
    "program.flows": ("pyro", "pandas"),
    "program.model": ("pandas", *OPTIMISERS, *FILES),
    "inference": ("pandas", "matplotlib"),
    "inference.checkpoint": PICKLES,
    "training_data": ("matplotlib", "click"),
    "saved_training": ("matplotlib", "click"),
    "fitting": ("matplotlib", "click"),
    "vae": ("matplotlib", "click"),
    "campaign": ("matplotlib", "click"),
    "campaign_folder": PICKLES,
    "charts": ("click",),
    "disorder": ("click", *PICKLES),
    "explain.explorer": ("matplotlib",),
    "plots": ("torch", "pyro"),
    "cli": (f"{PACKAGE}.program",),
}

# The first takes from the second what its package offers, nothing of its modules.
FRONT_DOOR_ONLY = {("evaluate", "design"), ("evaluate.benchmark", "design")}


def room_of(dotted: str) -> str | None:
    """The innermost room that a module of the package, or a name in it, lies in."""
    parts = dotted.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((name for name in names if name in ROOMS), None)


def violations(package: Path) -> list[str]:
    """What breaks the order of the rooms in a source tree, one line each."""
    found = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts in {("__init__",), ("__main__",)}:
            continue  # the lid over all rooms
        where = f"{package.name}/{path.relative_to(package)}"
        dotted = ".".join(parts).removesuffix(".__init__")
        room = room_of(dotted)
        if room is None:
            if not any(name.startswith(f"{dotted}.") for name in ROOMS):
                found.append(f"{where}: {parts[0]} is no room; give it a place in FLOORS")
            continue
        for line, name in _names(path, package):
            if why := _why_not(room, name, package):
                found.append(f"{where}:{line}: {name}: {why}")
    return found


def _names(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Every imported name in full, and every dotted use of one, with its line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    here = (package.name, *path.relative_to(package).parent.parts)
    origin = {}  # local name -> full name
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                origin[alias.asname or first] = alias.name if alias.asname else first
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) + 1 - node.level] if node.level else ()
            for alias in node.names:
                name = ".".join((*base, *filter(None, [node.module]), alias.name))
                origin[alias.asname or alias.name] = name
                yield node.lineno, name
    dotted = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    parts = {node.value for node in dotted}
    for node in dotted:
        if node not in parts:
            first, _, rest = ast.unparse(node).partition(".")
            if first in origin and re.fullmatch(r"[\w.]+", rest):
                yield node.lineno, f"{origin[first]}.{rest}"


def _why_not(room: str, name: str, package: Path) -> str | None:
    for banned in NEVER.get(room, ()):
        if f"{name}.".startswith(f"{banned}."):
            return f"{room} never knows {banned}"
    top, *inner = name.split(".")
    if top != package.name:
        if room == "errors" and top not in sys.stdlib_module_names:
            return "errors imports nothing that is not in the standard library"
        return None
    if not inner or inner[0] == "__version__":
        return None
    other = room_of(".".join(inner))
    if other is None:
        return f"{inner[0]} is no room; import from the room that defines it"
    if ROOMS.index(other) > ROOMS.index(room):
        return f"{other} lies below {room}"
    deep = other.split(".")
    rest = inner[len(deep) :]
    inside = rest and (rest[0][0] == "_" or _is_module(package.joinpath(*deep, rest[0])))
    if inside and (room, other) in FRONT_DOOR_ONLY:
        return f"{room} never knows the inside of {other}"
    return None


def _is_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_each_room_imports_only_what_it_may(repo_root):
    assert violations(repo_root / PACKAGE) == []


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        (
            "materials/alloys/composition.py",
            "import torch",
            "materials.alloys.composition never knows torch",
        ),
        ("materials/alloys/composition.py", "import torch.nn as nn", "never knows torch"),
        (
            "materials/alloys/composition.py",
            "def f():\n    from pyro import nn",
            "never knows pyro",
        ),
        (
            "materials/alloys/composition.py",
            "from .features import x",
            "materials.alloys.features lies below",
        ),
        ("materials/alloys/composition.py", "from ... import vae as face", "vae lies below"),
        (
            "materials/alloys/features.py",
            "from .dataset import x",
            "materials.alloys lies below materials.alloys.features",
        ),
        (
            "materials/alloys/dataset/table.py",
            "from pyro_hea.spec import x",
            "spec lies below materials.alloys",
        ),
        ("materials/alloys/composition.py", "import pyro_hea.vae", "vae lies below"),
        (
            "materials/alloys/composition.py",
            "import pyro_hea\npyro_hea.vae.fit()",
            "vae lies below",
        ),
        (
            "materials/alloys/composition.py",
            "from pyro_hea import load_alloys",
            "load_alloys is no room",
        ),
        ("spec/target.py", "from ..program import x", "program lies below spec"),
        ("spec/target.py", "from pyro_hea.program import model", "program.model lies below spec"),
        ("errors.py", "import click", "errors imports nothing"),
        (
            "program/networks.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas as pd",
            "program.networks never knows pandas",
        ),
        ("program/networks.py", "from pyro_hea.program.model import x", "program.model lies below"),
        ("program/model.py", "import torch\ntorch.optim.Adam([])", "never knows torch.optim"),
        ("inference/checkpoint.py", "import torch as t\nt.load('x')", "never knows torch.load"),
        ("evaluate/x.py", "from pyro_hea.design.scan import f", "the inside of design"),
        ("evaluate/x.py", "from pyro_hea.design import scan", "the inside of design"),
        ("evaluate/x.py", "from pyro_hea.design import _f", "the inside of design"),
        ("explain/explorer/x.py", "from pyro_hea.vae import x", "vae lies below explain.explorer"),
        ("cli.py", "from pyro_hea.program.networks import x", "cli never knows pyro_hea.program"),
        ("utils.py", "import re", "utils is no room"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path, module, source, why):
    package = _plant(tmp_path, module, source)
    (found,) = {line.partition(": ")[2] for line in violations(package)}
    assert why in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("__init__.py", "from pyro_hea.vae import DisentangledVAE"),
        ("materials/alloys/composition.py", "import numpy as np\nfrom pyro_hea.errors import x"),
        (
            "materials/alloys/dataset/table.py",
            "from pyro_hea.materials.alloys.composition import x",
        ),
        ("spec/target.py", "from .prior import x\nfrom ..materials.alloys.features import y"),
        ("program/model.py", "import torch\nfrom pyro import poutine\ntorch.nn.Linear(1, 1)"),
        ("evaluate/x.py", "from pyro_hea.design import sample\nfrom pyro_hea import design"),
        ("explain/axes.py", "from pyro_hea.vae import x\nfrom pyro_hea.explain.explorer import y"),
        ("inference/checkpoint.py", "from pyro_hea import __version__"),
    ],
)
def test_what_a_room_may_know_is_let_through(tmp_path, module, source):
    assert violations(_plant(tmp_path, module, source)) == []


def test_the_listing_shows_the_architecture(repo_root):
    folders = [p for p in (repo_root / PACKAGE).iterdir() if (p / "__init__.py").is_file()]
    assert len(folders) <= 12


def _plant(tmp_path: Path, module: str, source: str) -> Path:
    package = tmp_path / PACKAGE
    for name in ("__init__.py", "design/__init__.py", "design/scan.py", module):
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source if name == module else "", encoding="utf-8")
    return package
