"""A smooth relaxation of the design posterior, for samplers that follow a gradient.

The rounded composition is not continuous in z. In the relaxation the presence of an element is a
number from 0 to 1 that falls smoothly as its fraction falls below the smallest one, the number of
elements is the sum of the presences, extremes over the elements are weighted by presence, and the
bins of the embedding have a least width. Nothing is rounded. Draws are rounded and checked
afterwards, and weighted by the posterior itself.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyro
import torch

from pyro_hea.design.program import (
    agreement_factor,
    decoded_sites,
    log_factor,
    misfit,
    plates,
)
from pyro_hea.design.region import Sum
from pyro_hea.design.wishes import probability
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.program.networks import PiecewiseLinear, SmoothedPiecewiseLinear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from pyro_hea.design.problem import Problem

_FADING = 0.25
"""Width, in the logarithm of the fraction, over which the presence of an element falls."""

_BLUR = 0.1
"""Narrowest bin of the embedding, as a share of the range of its feature."""

_ELEMENT = 10.0
"""Nats that an element too few costs."""

_SOFTNESS = 0.1
"""Total variation that exchanges may move at the cost of a nat."""

_BISECTIONS = 20

_LEAST = 1e-9
"""A fraction whose logarithm is finite."""


def relaxed(problem: Problem) -> Problem:
    """The same problem with a blurred embedding and the constraints that are not in its region.

    The others are in the region, from which `smooth_program` takes them.
    """
    model = copy.deepcopy(problem.ensemble.model).requires_grad_(False)
    if isinstance(model.embedding, PiecewiseLinear):
        model.embedding = SmoothedPiecewiseLinear(model.embedding.edges, _BLUR)
    rest = tuple(c for c in problem.constraints if c.tighten(problem.region) is problem.region)
    return replace(problem, ensemble=replace(problem.ensemble, model=model), constraints=rest)


def smooth_program(problem: Problem, draws: int) -> Tensor:
    """Sites and factors of `design_program` for a problem of `relaxed`; gives (K, draws, E)."""
    with plates(problem, draws):
        decoded = decoded_sites(problem)
        composition, presence, cost = _relaxation(problem, decoded)
        composition = pyro.deterministic("composition", composition)
        flat, there = composition.flatten(0, 1), presence.flatten(0, 1)
        features = problem.ensemble.feature_map.relaxed(flat.double(), there.double())
        agreement_factor(problem, features.to(decoded.dtype), decoded.shape[:-1])
        pyro.factor("constraints", -cost)
    return composition


def _relaxation(problem: Problem, decoded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Composition and presence of elements, (..., E), and what constraints cost, in nats, (...)."""
    presence = faded(decoded, problem)
    composition = _filled(decoded, presence, problem)
    bent = misfit(decoded, composition) + _beyond(composition, problem) / _SOFTNESS
    few = (problem.region.min_elements - presence.sum(-1)).clamp_min(0)
    # These constraints have no gradient here; they enter the acceptance of a step.
    flat = (composition * (presence > 0.5)).flatten(0, -2).detach().double().cpu()
    solid = (flat / flat.sum(-1, keepdim=True)).numpy()
    cost = torch.tensor(problem.cost(solid)).to(bent).view(bent.shape)
    return composition, presence, bent + _ELEMENT * few + cost


def smooth_cost(
    problem: Problem, features: Mapping[str, tuple[float, float]] | None = None
) -> Callable[[Tensor], Tensor]:
    """What speaks against compositions (N, E), in nats, with its gradient, (N,).

    That the wishes may not hold, by the power of the agreement; what constraints cost; and of
    features, by name with a value and its standard deviation, half of the square of what they are
    off in these.
    """
    smooth = relaxed(problem)
    ensemble, wanted = smooth.ensemble, dict(features or {})
    own = FeatureMap([*wanted], ensemble.tables, ensemble.elements) if wanted else None
    value, sd = torch.tensor([*wanted.values()], dtype=torch.double).view(-1, 2).unbind(-1)

    def cost(decoded: Tensor) -> Tensor:
        composition, presence, total = _relaxation(smooth, decoded)
        if smooth.targets:
            read = ensemble.feature_map.relaxed(composition, presence)
            read = read.to(ensemble.model.embedding.edges.dtype)
            q = probability(ensemble, read, smooth.targets, smooth.conditions).mean(0)
            total = total - smooth.agreement * q.to(total).clamp_min(_LEAST).log()
        if own is not None:
            off = (own.relaxed(composition, presence) - value) / sd
            total = total + off.square().sum(-1) / 2
        return total

    return cost


def smooth_factor(problem: Problem) -> Callable[[Tensor], Tensor]:
    """What multiplies the standard normal prior of u (K, n, D) in the relaxation, log, (K, n)."""
    smooth, like = relaxed(problem), problem.ensemble.model.embedding.edges

    def factor(u: Tensor) -> Tensor:
        return log_factor(smooth, u.to(like), smooth_program).double().cpu()

    return factor


def faded(decoded: Tensor, problem: Problem) -> Tensor:
    """Presence of each element, from 0 to 1, (..., E)."""
    region = problem.region
    may = torch.tensor(region.upper > 0, device=decoded.device)
    must = torch.tensor(region.must, device=decoded.device)
    allowed = decoded.where(may, 0.0) + _LEAST
    height = (allowed / allowed.sum(-1, keepdim=True)).log()
    edge = height.new_tensor(max(problem.min_fraction, problem.step / 2)).log()
    if region.max_elements < decoded.shape[-1]:  # half way from the last that stays to the next
        last = height.masked_fill(must, torch.inf).topk(region.max_elements + 1).values
        edge = last[..., -2:].mean(-1, keepdim=True).maximum(edge)
    return ((height - edge) / _FADING).sigmoid().where(may, 0.0).masked_fill(must, 1.0)


def _filled(decoded: Tensor, presence: Tensor, problem: Problem) -> Tensor:
    """Fractions in proportion to presence, clipped to the bounds, that sum to 1, (..., E)."""
    region = problem.region
    least = np.where(region.must, np.maximum(region.lower, problem.min_fraction), 0.0)
    low, high = (torch.tensor(bound).to(decoded) for bound in (least, region.upper))
    weight = decoded * presence + _LEAST * presence
    with torch.no_grad():
        bottom = torch.full_like(weight[..., :1], -30.0)
        top = -bottom
        for _ in range(_BISECTIONS):
            scale = (bottom + top) / 2
            over = (weight * scale.exp()).clamp(low, high).sum(-1, keepdim=True) > 1
            top, bottom = scale.where(over, top), scale.where(~over, bottom)
        amount = weight * bottom.exp()
        free = (amount > low) & (amount < high)
        fixed = amount.clamp(low, high).where(~free, 0.0)
    rest = weight.where(free, 0.0)
    return fixed + rest / rest.sum(-1, keepdim=True).clamp_min(_LEAST) * (
        1 - fixed.sum(-1, keepdim=True)
    )


def _beyond(composition: Tensor, problem: Problem) -> Tensor:
    """By how much bounds on several elements together are missed, (...)."""
    total = composition.new_zeros(composition.shape[:-1])
    for bound in problem.region.linear:
        if isinstance(bound, Sum):
            weights = torch.tensor(bound.weights).to(composition)
            value = composition @ weights
            outside = (value - bound.high).clamp_min(0) + (bound.low - value).clamp_min(0)
            total = total + outside / weights.abs().amax().clamp_min(1e-30)
        else:
            away = (composition - torch.tensor(bound.centre).to(composition)).abs().sum(-1) / 2
            total = total + (away - bound.distance).clamp_min(0)
    return total
