"""The graph of the program that a spec declares."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pyro
import torch

from pyro_hea.devices import fork_rng
from pyro_hea.errors import OutputError, missing_extra
from pyro_hea.files import write_bytes
from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import Binary, Categorical

if TYPE_CHECKING:
    import graphviz

    from pyro_hea.spec import ModelSpec

_FORMATS = (".svg", ".pdf", ".png", ".dot")

_ELEMENTS = 2
"""Enough for an alloy; the graph is the same for any number."""


def model_graph(spec: ModelSpec) -> graphviz.Digraph:
    """Sites, plates and distributions of the model, one alloy being observed.

    Raises
    ------
    MissingExtraError
        Without the package graphviz.
    """
    if find_spec("graphviz") is None:  # Pyro's own error names no extra
        raise missing_extra("graphviz", "graph")
    features = torch.zeros(1, len(spec.features.columns))
    fractions = torch.full((1, _ELEMENTS), 1 / _ELEMENTS)
    statistics, reports = Statistics.of_features(features, spec.features.bins), {}
    sources: dict[str, tuple[str, ...]] = {}
    for target in spec.targets:
        if isinstance(target, Binary | Categorical) and target.reports is not None:
            sources[target.name] = tuple(target.reports.sources) or ("a source",)
            shape = len(sources[target.name]), len(target.classes)
            reports[target.name] = torch.zeros(1, *shape)
    statistics = replace(statistics, sources=sources)
    with fork_rng():
        model = AlloyModel(spec, _ELEMENTS, statistics, members=1).eval()
        batch = AlloyBatch(fractions, features, {}, {}, reports=reports)
        return pyro.render_model(model.model, model_args=(batch,), render_distributions=True)


def draw_graph(spec: ModelSpec, path: str | Path) -> None:
    """Write the graph to a file, in the format of its ending; `.dot` needs no other program.

    Raises
    ------
    MissingExtraError
        Without the package graphviz.
    OutputError
        Without the program `dot`, in an unknown format, or where nothing can be written.
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise OutputError(f"cannot draw '{path}': its ending is none of {', '.join(_FORMATS)}")
    graph = model_graph(spec)
    from graphviz import ExecutableNotFound

    try:
        drawn = graph.source.encode() if path.suffix == ".dot" else graph.pipe(path.suffix[1:])
    except ExecutableNotFound:
        raise OutputError(
            f"cannot draw '{path}': the program 'dot' is not installed; install Graphviz "
            "(graphviz.org), or write its source to a file that ends in .dot"
        ) from None
    write_bytes(path, drawn)
