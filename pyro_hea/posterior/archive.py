"""An ensemble in a folder: its weights, and a manifest of what they mean."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from pyro_hea.alloys.dataset import Statistics
from pyro_hea.errors import CheckpointError
from pyro_hea.inference import checkpoint
from pyro_hea.posterior import Ensemble
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import Continuous, ModelSpec
from pyro_hea.spec.former_keys import renamed

_NAME = "model"


def save_ensemble(ensemble: Ensemble, directory: str | Path) -> None:
    """Write weights (safetensors) and manifest (JSON) into a folder.

    Raises
    ------
    OutputError
        Where the folder cannot be written.
    """
    tensors = {f"weights.{name}": value for name, value in ensemble.model.state_dict().items()}
    statistics = ensemble.model.statistics
    tensors["features.centre"], tensors["features.spread"] = statistics.centre, statistics.spread
    tensors["known"] = torch.tensor(ensemble.known.to_numpy(float))
    manifest = {
        "spec": ensemble.spec.to_mapping(),
        "elements": list(ensemble.elements),
        "features": list(ensemble.feature_map.names),
        "classes": {
            t.name: list(t.classes) for t in ensemble.spec.targets if not isinstance(t, Continuous)
        },
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
        "known": list(ensemble.known.index),
    }
    checkpoint.write(directory, _NAME, tensors, manifest)


def load_ensemble(directory: str | Path, device: torch.device) -> Ensemble:
    """Read an ensemble, after checking that it is whole and fits this release.

    Raises
    ------
    MissingFileError, CheckpointError
    """
    tensors, manifest = checkpoint.read(directory, _NAME)
    try:
        spec = ModelSpec.from_mapping(renamed(manifest["spec"]), f"{directory}/{_NAME}.json")
        elements = tuple(manifest["elements"])
        formulas = pd.Index(manifest["known"], name="formula")
        known = pd.DataFrame(tensors.pop("known").numpy(), formulas, list(elements))
        statistics = Statistics(
            tensors["weights.embedding.edges"],
            tensors.pop("features.centre"),
            tensors.pop("features.spread"),
            {name: (centre, spread) for name, (centre, spread) in manifest["label_scales"].items()},
            {name: tuple(scales) for name, scales in manifest["condition_scales"].items()},
            {name: tuple(sources) for name, sources in manifest["sources"].items()},
            {
                name: tuple((low, high) for low, high in ranges)
                for name, ranges in manifest.get("condition_ranges", {}).items()
            },
        )
        model = AlloyModel(spec, len(elements), statistics)
        model.population = manifest["alloys"]
        model.load_state_dict({n.removeprefix("weights."): t for n, t in tensors.items()})
        ensemble = Ensemble(model.to(device).eval(), elements, known, manifest["seed"])
        trained_on = manifest["tables_sha256"], manifest["features"]
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"'{directory}' does not fit its manifest: {error}") from None
    now = checkpoint.hash_of_tables(ensemble.tables), list(ensemble.feature_map.names)
    if trained_on != now:
        raise CheckpointError(
            f"the model in '{directory}' was trained with other element or pair tables, or "
            "features, than this release has; install the one that wrote it, or train again"
        )
    return ensemble
