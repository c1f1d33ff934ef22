"""A trained atlas, in memory and in a folder: its weights, and a manifest of what they mean."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from pyro_hea.errors import CheckpointError
from pyro_hea.inference import checkpoint
from pyro_hea.posterior.manifest import AllocationLimit, check_tensor
from pyro_hea.program.charts import AtlasModel
from pyro_hea.spec import AtlasSpec

_NAME = "atlas"

_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class SavedAtlas:
    """What an atlas needs in order to answer.

    Attributes
    ----------
    model : AtlasModel
        In double precision, so that encoder and decoder undo each other.
    columns : tuple of str
        Names of the coordinates.
    named : bool
        Whether they were those of a table.
    count : int
        Training points.
    extent : float
        Largest distance between two corners of the box around them.
    floor : float
        Log weight of a point that lies as far from the charts as the farthest training points.
    seed : int
    """

    model: AtlasModel
    columns: tuple[str, ...]
    named: bool
    count: int
    extent: float
    floor: float
    seed: int

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        model: AtlasModel,
        points: Tensor,
        columns: tuple[str, ...],
        named: bool,
        seed: int,
        share: float,
    ) -> Self:
        """The answers of a model as it is; `share` of the training points lie below `floor`."""
        model = deepcopy(model).double().requires_grad_(False)
        left, _, right = torch.linalg.svd(model.frame)
        model.frame.copy_(left @ right)  # orthonormal to double precision too
        parts = points.double().split(_CHUNK)
        weights = torch.cat([model.encoded(x).log_weights.logsumexp(0) for x in parts])
        extent = float((points.amax(0) - points.amin(0)).norm())
        floor = float(weights.quantile(share))
        return cls(model, columns, named, len(points), extent, floor, seed)


def save_atlas(atlas: SavedAtlas, directory: str | Path) -> None:
    """Write weights (safetensors) and manifest (JSON) into a folder.

    Raises
    ------
    OutputError
        Where the folder cannot be written.
    """
    weights = atlas.model.state_dict()
    checkpoint.write(
        directory,
        _NAME,
        {f"weights.{name}": value for name, value in weights.items()},
        {
            "spec": atlas.model.spec.to_mapping(),
            "columns": list(atlas.columns),
            "named": atlas.named,
            "count": atlas.count,
            "extent": atlas.extent,
            "floor": atlas.floor,
            "seed": atlas.seed,
            "versions": {name: version(name) for name in ("pyro-hea", "pyro-ppl", "torch")},
        },
    )


def load_atlas(directory: str | Path) -> SavedAtlas:
    """Read an atlas, after checking that it is whole and fits this release.

    Raises
    ------
    MissingFileError, CheckpointError
    """
    tensors, manifest = checkpoint.read(directory, _NAME)
    weights = {name.removeprefix("weights."): value for name, value in tensors.items()}
    try:
        spec = AtlasSpec.from_mapping(manifest["spec"], f"{directory}/{_NAME}.json")
        columns = tuple(map(str, manifest["columns"]))
        support = weights.get("support")
        with AllocationLimit(sum(value.numel() for value in weights.values())):
            model = AtlasModel(spec, len(columns), support).double()
        for name, value in model.state_dict().items():
            check_tensor(f"weights.{name}", weights.get(name), tuple(value.shape), value.dtype)
        model.load_state_dict(weights)
        return SavedAtlas(
            model.requires_grad_(False),
            columns,
            bool(manifest["named"]),
            int(manifest["count"]),
            float(manifest["extent"]),
            float(manifest["floor"]),
            int(manifest["seed"]),
        )
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"'{directory}' does not fit its manifest: {error}") from None
