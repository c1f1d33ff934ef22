"""A trained atlas, in memory and in a folder: its weights, and a manifest of what they mean."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field
from torch import Tensor

from pyro_hea.charts.projection import project
from pyro_hea.files import locked
from pyro_hea.inference import checkpoint
from pyro_hea.posterior.manifest import AllocationLimit, load_weights, manifest_errors
from pyro_hea.program.charts import AtlasModel
from pyro_hea.spec import AtlasSpec
from pyro_hea.spec.declaration import Count, Declaration, Positive

_NAME = "atlas"

_CHUNK = 4096

_TOLERANCE = 1e-4
"""Of the weights of the charts and of their frames."""


class AtlasManifest(Declaration):
    """What the manifest of a saved atlas declares beside the hashes; see `SavedAtlas`."""

    spec: dict[str, Any]
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    named: bool
    count: Count
    extent: Positive
    floor: float
    seed: int
    versions: dict[str, str]


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
        Log weight of the training points that are the least probable, once they are projected.
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
        """The answers of a model; `share` of the training points, projected, lie below `floor`."""
        model = deepcopy(model).double().requires_grad_(False)
        left, _, right = torch.linalg.svd(model.frame)
        model.frame.copy_(left @ right)  # orthonormal to double precision too
        parts = points.double().split(_CHUNK)
        made = [project(model, x) for x in parts]  # their noise would hide how low the floor is
        weights = torch.cat([model.encoded(x).log_weights.logsumexp(0) for x in made])
        extent = float((points.amax(0) - points.amin(0)).norm())
        floor = float(weights.quantile(share))
        return cls(model, columns, named, len(points), extent, floor, seed)


def save_atlas(atlas: SavedAtlas, directory: str | Path) -> None:
    """Write weights (safetensors) and manifest (JSON) into a folder.

    Raises
    ------
    OutputError
        Where the folder cannot be written, or another process writes there.
    """
    weights = atlas.model.state_dict()
    tensors = {f"weights.{name}": value for name, value in weights.items()}
    manifest = {
        "spec": atlas.model.spec.to_mapping(),
        "columns": list(atlas.columns),
        "named": atlas.named,
        "count": atlas.count,
        "extent": atlas.extent,
        "floor": atlas.floor,
        "seed": atlas.seed,
        "versions": {name: version(name) for name in ("pyro-hea", "pyro-ppl", "torch")},
    }
    with locked(directory, _NAME):
        checkpoint.write(directory, _NAME, tensors, manifest)


def load_atlas(directory: str | Path) -> SavedAtlas:
    """Read an atlas, after checking that it is whole and fits this release.

    The atlas may come from a stranger: as of alloys, the manifest is validated as a declaration and
    the tensors against it.

    Raises
    ------
    MissingFileError, CheckpointError
    """
    tensors, content = checkpoint.read(directory, _NAME)
    with manifest_errors(directory, _NAME, AtlasManifest, content) as where:
        del content["schema_version"], content["tensors_sha256"]
        return _atlas(AtlasManifest.model_validate(content), tensors, where)


def _atlas(manifest: AtlasManifest, tensors: dict[str, Tensor], where: str) -> SavedAtlas:
    spec, columns = AtlasSpec.from_mapping(manifest.spec, where), manifest.columns
    if len(columns) != len(set(columns)):
        raise ValueError("a column stands twice")
    weights = {name.removeprefix("weights."): value for name, value in tensors.items()}
    support = weights.get("support")
    if support is not None:
        _check_support(support, spec, len(columns))
    with AllocationLimit(sum(value.numel() for value in weights.values())):
        model = AtlasModel(spec, len(columns), support).double()
    load_weights(model, tensors)
    if abs(float(weights["log_alpha"].logsumexp(0))) > _TOLERANCE:
        raise ValueError("the weights of the charts do not sum to one")
    if not bool((weights["scale"] > 0).all()):
        raise ValueError("the scale of a chart is not above 0")
    frame = weights["frame"]
    if not torch.allclose(frame @ frame.mT, torch.eye(len(frame[0])).to(frame), atol=_TOLERANCE):
        raise ValueError("the frames of the charts are not orthonormal")
    return SavedAtlas(
        model.requires_grad_(False),
        columns,
        manifest.named,
        manifest.count,
        manifest.extent,
        manifest.floor,
        manifest.seed,
    )


def _check_support(support: Tensor, spec: AtlasSpec, features: int) -> None:
    """Refuse coordinates that the points do not have, or that a chart has twice."""
    whole = support.dtype == torch.int64 and support.dim() == 2 and len(support) == spec.charts
    if not whole or not 1 <= support.shape[1] <= features:
        raise ValueError(f"'weights.support' has shape {tuple(support.shape)} for {spec.charts}")
    ordered = support.sort(dim=1).values
    if ordered.min() < 0 or ordered.max() >= features or (ordered.diff(dim=1) == 0).any():
        raise ValueError("'weights.support' names no coordinates, or one twice in a chart")
