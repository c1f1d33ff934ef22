"""The schedule of training: number of steps, learning rate, jitter, clipped gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from pyro_hea.spec import Training

_WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""

_MIN_STEPS = 3
"""Fewest steps in an epoch."""


def steps_per_epoch(alloys: int, settings: Training) -> int:
    """Steps of an epoch: enough for `batch_size`, and at least `_MIN_STEPS` of few alloys."""
    return max(min(alloys, _MIN_STEPS), math.ceil(alloys / settings.batch_size))


def one_cycle(progress: float) -> float:
    """Share of the peak learning rate: a linear rise, then a cosine to zero."""
    if progress < _WARM_UP:
        return progress / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


def jittered(fractions: Tensor, share: float) -> Tensor:
    """Fractions with a share of the atoms redistributed among the elements present."""
    if not share:
        return fractions
    weights = torch.empty_like(fractions).exponential_() * (fractions > 0)
    return fractions.lerp(weights / weights.sum(-1, keepdim=True), share)


def clip_member_gradients(parameters: list[nn.Parameter], largest: float) -> None:
    """Scale each member's gradients so that their joint norm is at most `largest`."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return
    norms = torch.linalg.vector_norm(torch.cat([g.flatten(1) for g in gradients], 1), dim=1)
    scale = (largest / norms).clamp_max(1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))
