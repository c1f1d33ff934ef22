"""A trained model of crystals in a folder: its weights, and a manifest of what they mean."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from pyro_hea.errors import CheckpointError
from pyro_hea.files import locked
from pyro_hea.inference import checkpoint
from pyro_hea.materials.alloys.dataset import Statistics
from pyro_hea.materials.crystals import CrystalDataset
from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble
from pyro_hea.posterior.crystal_manifest import (
    CrystalManifest,
    check_crystal_manifest,
    check_tables,
    checked_vocabulary,
    hash_of_elements,
)
from pyro_hea.posterior.manifest import AllocationLimit, load_weights, manifest_errors
from pyro_hea.program.crystal_batch import CrystalTables
from pyro_hea.program.crystals import CrystalModel
from pyro_hea.spec import CrystalSpec

_NAME = "crystals"

_TABLE = "table_"


def save_crystals(ensemble: CrystalEnsemble, directory: str | Path) -> None:
    """Write weights (safetensors) and manifest (JSON) into a folder.

    Raises
    ------
    OutputError
        Where the folder cannot be written, or another process writes there.
    """
    known = ensemble.known
    tensors = {f"weights.{name}": value for name, value in ensemble.model.state_dict().items()}
    tensors["known"] = torch.tensor(known.targets.to_numpy(float))
    manifest = {
        "spec": ensemble.spec.to_mapping(),
        "vocabulary": ensemble.vocabulary.to_mapping(),
        "label_scales": {n: list(s) for n, s in ensemble.model.statistics.scales.items()},
        "population": ensemble.model.population,
        "seed": ensemble.seed,
        "known": {"ids": known.ids, "text": known.text.tolist()},
        "targets": [str(name) for name in known.targets],
        "elements_sha256": hash_of_elements(),
        "versions": {n: version(n) for n in ("pyro-hea", "pyro-ppl", "torch", "pymatgen")},
    }
    with locked(directory, _NAME):
        checkpoint.write(directory, _NAME, tensors, manifest)


def load_saved_crystals(directory: str | Path) -> CrystalEnsemble:
    """Read a model of crystals, after checking that it is whole and fits this release.

    The model may come from a stranger: as of alloys, the manifest is validated as a declaration and
    the tensors against it, before any memory is taken that the files do not take already.

    Raises
    ------
    MissingFileError, CheckpointError
    """
    tensors, content = checkpoint.read(directory, _NAME)
    with manifest_errors(directory, _NAME, CrystalManifest, content) as where:
        del content["schema_version"], content["tensors_sha256"]
        manifest = CrystalManifest.model_validate(content)
        if manifest.elements_sha256 != hash_of_elements():
            raise CheckpointError(
                f"the model in '{directory}' was trained with other properties of the elements "
                "than this pymatgen has; install pymatgen "
                f"{manifest.versions.get('pymatgen', '')}, or train again"
            )
        return _ensemble(manifest, tensors, where)


def _ensemble(manifest: CrystalManifest, tensors: dict[str, Tensor], where: str) -> CrystalEnsemble:
    spec = CrystalSpec.from_mapping(manifest.spec, where)
    vocabulary = checked_vocabulary(manifest.vocabulary)
    labels = tensors.get("known")
    shape = (len(manifest.known.text), len(manifest.targets))
    if labels is None or labels.dtype != torch.float64 or tuple(labels.shape) != shape:
        raise ValueError(f"'known' is not of float64 and shape {shape}")
    index = pd.Index(manifest.known.ids, name="id")
    known = CrystalDataset(
        pd.Series(manifest.known.text, index),
        pd.DataFrame(labels.numpy(), index, list(manifest.targets)),
    )
    check_crystal_manifest(manifest, spec, known)
    weights = {n.removeprefix("weights."): t for n, t in tensors.items() if n != "known"}
    tables = {n.removeprefix(_TABLE): t for n, t in weights.items() if n.startswith(_TABLE)}
    check_tables(tables, vocabulary)
    features = (len(vocabulary.scales[n].names) for n in ("composition", "structure", "both"))
    first, second, third = features
    statistics = Statistics(
        torch.zeros(1, 2), torch.zeros(1), torch.ones(1), dict(manifest.label_scales)
    )
    with AllocationLimit(sum(t.numel() for t in weights.values())):
        model = CrystalModel(
            spec,
            CrystalTables(
                len(vocabulary.elements),
                (first, second, third),
                largest=vocabulary.largest,
                **tables,
            ),
            statistics,
        )
    load_weights(model, tensors, ["known"])
    model.population = manifest.population
    return CrystalEnsemble(model.eval(), vocabulary, known, manifest.seed)
