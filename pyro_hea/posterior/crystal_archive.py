"""A trained model of crystals in a folder: its weights, and a manifest of what they mean."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pyro_hea.alloys.dataset import Statistics
from pyro_hea.crystals import CrystalDataset, CrystalVocabulary
from pyro_hea.errors import CheckpointError
from pyro_hea.inference import checkpoint
from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble
from pyro_hea.program.crystal_batch import CrystalTables
from pyro_hea.program.crystals import CrystalModel
from pyro_hea.spec import CrystalSpec

_NAME = "crystals"


def save_crystals(ensemble: CrystalEnsemble, directory: str | Path) -> None:
    """Write weights (safetensors) and manifest (JSON) into a folder.

    Raises
    ------
    OutputError
        Where the folder cannot be written.
    """
    tables, known = ensemble.model.tables, ensemble.known
    tensors = {f"weights.{name}": value for name, value in ensemble.model.state_dict().items()}
    tensors["known"] = torch.tensor(known.targets.to_numpy(float))
    checkpoint.write(
        directory,
        _NAME,
        tensors,
        {
            "spec": ensemble.spec.to_mapping(),
            "vocabulary": ensemble.vocabulary.to_mapping(),
            "elements": tables.elements,
            "features": list(tables.features),
            "label_scales": {n: list(s) for n, s in ensemble.model.statistics.scales.items()},
            "population": ensemble.model.population,
            "seed": ensemble.seed,
            "known": {"ids": known.ids, "text": known.text.tolist()},
            "targets": [str(name) for name in known.targets],
            "versions": {name: version(name) for name in ("pyro-hea", "pyro-ppl", "torch")},
        },
    )


def load_saved_crystals(directory: str | Path) -> CrystalEnsemble:
    """Read a model of crystals, after checking that it is whole and fits this release.

    Raises
    ------
    MissingFileError, CheckpointError
    """
    tensors, manifest = checkpoint.read(directory, _NAME)
    try:
        spec = CrystalSpec.from_mapping(manifest["spec"], f"{directory}/{_NAME}.json")
        vocabulary = CrystalVocabulary.from_mapping(manifest["vocabulary"])
        index = pd.Index(manifest["known"]["ids"], name="id")
        known = CrystalDataset(
            pd.Series(manifest["known"]["text"], index),
            pd.DataFrame(np.asarray(tensors.pop("known")), index, manifest["targets"]),
        )
        weights = {name.removeprefix("weights."): value for name, value in tensors.items()}
        prefix = "table_"
        tables = {
            n.removeprefix(prefix): value for n, value in weights.items() if n.startswith(prefix)
        }
        first, second, third = manifest["features"]
        model = CrystalModel(
            spec,
            CrystalTables(manifest["elements"], (first, second, third), **tables),
            Statistics(
                torch.zeros(1, 2),
                torch.zeros(1),
                torch.ones(1),
                {
                    name: (centre, spread)
                    for name, (centre, spread) in manifest["label_scales"].items()
                },
            ),
        )
        model.population = manifest["population"]
        model.load_state_dict(weights)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"'{directory}' does not fit its manifest: {error}") from None
    return CrystalEnsemble(model.eval(), vocabulary, known, manifest["seed"])
