"""Each room of the package imports only the rooms above it, and never what it must not know."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "pyro_hea"

# From the top down: a room is a module or a subpackage, and imports only rooms before it.
ROOMS = (
    "errors",
    "composition",
    "measures",
    "features",
    "spec",
    "dataset",
    "teacher",
    "networks",
    "likelihoods",
    "latents",
    "sites",
    "model",
    "inference",
    "checkpoint",
    "posterior",
    "archive",
    "fitting",
    "plots",
    "design",
    "explore",
    "vae",
    "explain",
    "evaluate",
    "benchmark",
    "report",
    "study",
    "cli",
)

# What a room never names, beyond the rooms below it.
PICKLES = ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch.load")
FILES = ("pathlib", "io", "json", "yaml", "safetensors", "h5netcdf", "torch.save", "torch.load")
OPTIMISERS = ("torch.optim", "pyro.optim", "pyro.infer.SVI")
NEVER = {
    "composition": ("torch", "pyro"),
    "measures": ("torch", "pyro"),
    "features": ("pyro",),
    "spec": ("pandas",),
    "dataset": ("pyro",),
    "teacher": ("pyro", "pandas"),
    "networks": ("pyro", "pandas"),
    "model": ("pandas", *OPTIMISERS, *FILES),
    "inference": ("pandas", "matplotlib"),
    "checkpoint": PICKLES,
    "fitting": ("matplotlib", "click"),
    "vae": ("matplotlib", "click"),
    "explore": ("matplotlib",),
    "plots": ("torch", "pyro"),
    "cli": (f"{PACKAGE}.model", f"{PACKAGE}.networks"),
}

# The first takes from the second what its package offers, nothing of its modules.
FRONT_DOOR_ONLY = {("evaluate", "design")}


def violations(package: Path) -> list[str]:
    """What breaks the order of the rooms in a source tree, one line each."""
    found = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts in {("__init__",), ("__main__",)}:
            continue  # the lid over all rooms
        where = f"{package.name}/{path.relative_to(package)}"
        if parts[0] not in ROOMS:
            found.append(f"{where}: {parts[0]} is no room; give it a place in ROOMS")
            continue
        for line, name in _names(path, package):
            if why := _why_not(parts[0], name, package):
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
    if not inner or inner[0] in {room, "__version__"}:
        return None
    if inner[0] not in ROOMS:
        return f"{inner[0]} is no room; import from the room that defines it"
    if ROOMS.index(inner[0]) > ROOMS.index(room):
        return f"{inner[0]} lies below {room}"
    inside = len(inner) > 1 and (inner[1][0] == "_" or _is_module(package.joinpath(*inner[:2])))
    if inside and (room, inner[0]) in FRONT_DOOR_ONLY:
        return f"{room} never knows the inside of {inner[0]}"
    return None


def _is_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_each_room_imports_only_what_it_may(repo_root):
    assert violations(repo_root / PACKAGE) == []


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("composition.py", "import torch", "composition never knows torch"),
        ("composition.py", "import torch.nn as nn", "composition never knows torch"),
        ("composition.py", "def f():\n    from pyro import nn", "composition never knows pyro"),
        ("composition.py", "from pyro_hea.features import x", "features lies below composition"),
        ("composition.py", "from .features import x", "features lies below composition"),
        ("composition.py", "from . import vae as face", "vae lies below composition"),
        ("composition.py", "import pyro_hea.vae", "vae lies below composition"),
        ("composition.py", "import pyro_hea\npyro_hea.vae.fit()", "vae lies below composition"),
        ("composition.py", "from pyro_hea import load_alloys", "load_alloys is no room"),
        ("spec/target.py", "from ..dataset import x", "dataset lies below spec"),
        ("spec/target.py", "from pyro_hea import dataset", "dataset lies below spec"),
        ("errors.py", "import click", "errors imports nothing"),
        (
            "networks.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas as pd",
            "networks never knows pandas",
        ),
        ("model.py", "import torch\ntorch.optim.Adam([])", "model never knows torch.optim"),
        ("checkpoint.py", "import torch as t\nt.load('x')", "checkpoint never knows torch.load"),
        ("evaluate.py", "from pyro_hea.design.scan import f", "the inside of design"),
        ("evaluate.py", "from pyro_hea.design import scan", "the inside of design"),
        ("evaluate.py", "from pyro_hea.design import _f", "the inside of design"),
        ("cli.py", "from pyro_hea.networks import x", "cli never knows pyro_hea.networks"),
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
        ("composition.py", "import numpy as np\nfrom pyro_hea.errors import x"),
        ("spec/target.py", "from .prior import x\nfrom ..features import y\nfrom . import prior"),
        ("model.py", "import torch\nfrom pyro import poutine\ntorch.nn.Linear(1, 1)"),
        ("evaluate.py", "from pyro_hea.design import sample\nfrom pyro_hea import design"),
        ("checkpoint.py", "from pyro_hea import __version__"),
    ],
)
def test_what_a_room_may_know_is_let_through(tmp_path, module, source):
    assert violations(_plant(tmp_path, module, source)) == []


def _plant(tmp_path: Path, module: str, source: str) -> Path:
    package = tmp_path / PACKAGE
    for name in ("__init__.py", "design/__init__.py", "design/scan.py", module):
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source if name == module else "", encoding="utf-8")
    return package
