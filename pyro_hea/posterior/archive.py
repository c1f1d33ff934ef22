"""An ensemble in a folder: its weights, and a manifest of what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from pyro_hea.errors import CheckpointError
from pyro_hea.files import locked
from pyro_hea.inference import checkpoint
from pyro_hea.materials.alloys.composition import format_formula
from pyro_hea.materials.alloys.dataset import Statistics
from pyro_hea.posterior import Ensemble
from pyro_hea.posterior.former_models import OLDEST, completed, upgraded
from pyro_hea.posterior.manifest import (
    AllocationLimit,
    Manifest,
    check_manifest,
    check_tensor,
    classes_of,
    load_weights,
    manifest_errors,
    stands_for,
)
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import ModelSpec

_NAME = "model"


def save_ensemble(ensemble: Ensemble, directory: str | Path) -> None:
    """Write weights (safetensors) and manifest (JSON) into a folder.

    A training alloy whose name is no formula of its fractions gets the canonical formula.

    Raises
    ------
    OutputError
        Where the folder cannot be written, or another process writes there.
    """
    tensors = {f"weights.{name}": value for name, value in ensemble.model.state_dict().items()}
    statistics = ensemble.model.statistics
    tensors["features.centre"], tensors["features.spread"] = statistics.centre, statistics.spread
    tensors["known"] = torch.tensor(ensemble.known.to_numpy(float), dtype=torch.float64)
    rows = ensemble.known.to_dict("records")
    manifest = {
        "spec": ensemble.spec.to_mapping(),
        "elements": list(ensemble.elements),
        "features": list(ensemble.feature_map.names),
        "classes": classes_of(ensemble.spec),
        "label_scales": {name: list(scale) for name, scale in statistics.scales.items()},
        "condition_scales": {name: list(s) for name, s in statistics.conditions.items()},
        "condition_ranges": {
            name: [list(bounds) for bounds in ranges]
            for name, ranges in statistics.condition_ranges.items()
        },
        "sources": {name: list(sources) for name, sources in statistics.sources.items()},
        "alloys": ensemble.model.population,
        "tables_sha256": checkpoint.hash_of_tables(ensemble.tables),
        "seed": ensemble.seed,
        "versions": {name: version(name) for name in ("pyro-hea", "pyro-ppl", "torch")},
        "known": [
            name if stands_for(name, row) else format_formula(_present(row))
            for name, row in zip(ensemble.known.index, rows, strict=True)
        ],
    }
    with locked(directory, _NAME):
        checkpoint.write(directory, _NAME, tensors, manifest)


def load_ensemble(directory: str | Path, device: torch.device) -> Ensemble:
    """Read an ensemble, after checking that it is whole and fits this release.

    The model may come from a stranger. The manifest is validated as a declaration, and the tensors
    by names, shapes, types and finite values against the spec, before any memory is taken that the
    files do not take already.

    Raises
    ------
    MissingFileError, CheckpointError
    """
    tensors, content = checkpoint.read(directory, _NAME, OLDEST)
    with manifest_errors(directory, _NAME, Manifest, content) as where:
        schema = content.pop("schema_version")
        del content["tensors_sha256"]
        if schema < checkpoint.SCHEMA_VERSION:
            tensors, new = upgraded(schema, tensors, content)
            content |= new
        content["spec"] = completed(content["spec"])
        manifest = Manifest.model_validate(content)
        ensemble = _ensemble(manifest, tensors, where)
    now = checkpoint.hash_of_tables(ensemble.tables), ensemble.feature_map.names
    if (manifest.tables_sha256, manifest.features) != (now[0], tuple(now[1])):
        raise CheckpointError(
            f"the model in '{directory}' was trained with other element or pair tables, or "
            "features, than this release has; install the one that wrote it, or train again"
        )
    ensemble.model.to(device)
    return ensemble


def _ensemble(manifest: Manifest, tensors: dict[str, Tensor], where: str) -> Ensemble:
    spec = ModelSpec.from_mapping(manifest.spec, where)
    check_manifest(manifest, spec)
    weights = {
        n.removeprefix("weights."): t for n, t in tensors.items() if n.startswith("weights.")
    }
    edges, bins = weights["embedding.edges"], spec.features.bins or 1
    features, elements = len(manifest.features), len(manifest.elements)
    expected = {
        "weights.embedding.edges": ((features, bins + 1), torch.float32),
        "features.centre": ((features,), torch.float32),
        "features.spread": ((features,), torch.float32),
        "known": ((len(manifest.known), elements), torch.float64),
    }
    for name, (shape, dtype) in expected.items():
        check_tensor(name, tensors.get(name), shape, dtype)
    if (tensors["features.spread"] <= 0).any() or (edges.diff(dim=-1) < 0).any():
        raise ValueError("features.spread is not positive, or embedding.edges are not in order")
    for name, target_sources in manifest.sources.items():
        classes = len(manifest.classes[name])
        shape = (spec.training.members, 1, len(target_sources), classes, classes)
        check_tensor(name, weights.get(f"reliabilities.{name}.raw"), shape, torch.float32)
    statistics = Statistics(
        edges,
        tensors["features.centre"],
        tensors["features.spread"],
        manifest.label_scales,
        manifest.condition_scales,
        manifest.sources,
        manifest.condition_ranges,
    )
    with AllocationLimit(sum(t.numel() for t in weights.values())):
        model = AlloyModel(spec, elements, statistics)
    load_weights(model, tensors, expected)
    model.population = manifest.alloys
    known = pd.DataFrame(
        tensors["known"].numpy(), pd.Index(manifest.known, name="formula"), list(manifest.elements)
    )
    for name, row in zip(manifest.known, known.to_dict("records"), strict=True):
        if not stands_for(name, row):
            raise ValueError(f"'{name[:80]}' is no formula of the training alloy that has it")
    return Ensemble(model.eval(), manifest.elements, known, manifest.seed)


def _present(row: Mapping[Any, float]) -> dict[str, float]:
    return {element: fraction for element, fraction in row.items() if fraction > 0}
