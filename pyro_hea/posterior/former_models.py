"""Saved models of earlier schema versions, as this release would have written them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from pyro_hea.spec import ModelSpec
from pyro_hea.spec.former_keys import renamed

OLDEST = 3
"""Schema version of the oldest saved model that is read."""

_LAYER = re.compile(r"weights\.heads\.(.+)\.(\d+)\.(weight|bias)")
_LAST_OF_COUPLING = re.compile(r"weights\.(latent\.)?flow\.layers\.\d+\.2\.(weight|bias)")


def upgraded(
    version: int, tensors: dict[str, Tensor], manifest: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and manifest of a saved model in the present schema.

    Keys of the spec have new names since 5 (`pyro_hea.spec.former_keys`). Until 3 the couplings of
    a flow were affine, which is a spline of one bin; heads with a teacher had dropout, whose layer
    counted in the names of the weights; and a share of the teacher's probabilities could be set.
    """
    spec = renamed(manifest["spec"])
    if version == 3:
        training = dict(spec["training"])
        training["distillation"] = {
            key: value for key, value in (training["distillation"] or {}).items() if key != "share"
        } or None
        latent = dict(spec["latent"])
        for part, is_flow in (("flow", True), ("prior", latent["prior"].get("dist") == "Flow")):
            if latent[part] is not None and is_flow:
                latent[part] = {**latent[part], "bins": 1}
        spec = {**spec, "training": training, "latent": latent}
        distilled = ModelSpec.from_mapping(completed(spec)).distilled_targets
        tensors = {_renumbered(name, tensors, distilled): t for name, t in tensors.items()}
        for name in filter(_LAST_OF_COUPLING.fullmatch, tensors):
            tensors[name] = _of_one_bin(tensors[name])
    return tensors, {**manifest, "spec": spec}


def completed(spec: Any) -> Any:
    """The spec of a saved model with the settings that it was trained by before they had a key.

    Heads under an expert's prior had no teacher before `training.distillation.experts`.

    Examples
    --------
    >>> completed({"training": {"distillation": {"trees": 4}}})
    {'training': {'distillation': {'experts': False, 'trees': 4}}}
    """
    match spec:
        case {"training": {"distillation": dict() as settings} as training}:
            settings = {"experts": False, **settings}
            return {**spec, "training": {**training, "distillation": settings}}
    return spec


def with_both_tails(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a saved model, where both tails of a number once had one weight.

    Examples
    --------
    >>> with_both_tails({"weights.sites.hardness.calibration": torch.tensor([0.8, 1.5])})
    {'weights.sites.hardness.calibration': tensor([0.8000, 1.5000, 1.5000])}
    """
    return {
        name: value[[0, 1, 1]]
        if name.endswith(".calibration") and value.shape == torch.Size([2])
        else value
        for name, value in tensors.items()
    }


def _renumbered(name: str, tensors: dict[str, Tensor], distilled: tuple[str, ...]) -> str:
    """The name of a weight, without layers of dropout in heads that have a teacher."""
    found = _LAYER.fullmatch(name)
    if not found or found[1] not in distilled:
        return name
    head, layer, kind = found.groups()
    weights = [m for m in map(_LAYER.fullmatch, tensors) if m and m[1] == head and m[3] == kind]
    rank = sorted(int(m[2]) for m in weights).index(int(layer))
    return f"weights.heads.{head}.{2 * rank}.{kind}"


def _of_one_bin(outputs: Tensor) -> Tensor:
    """Weights (..., 2 n) of shifts and log scales as those of log scale, shift and a spline."""
    shift, log_scale = outputs.chunk(2, -1)
    return pad(torch.stack([log_scale, shift], -1), (0, 2)).flatten(-2)
