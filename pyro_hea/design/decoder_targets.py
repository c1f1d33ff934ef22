"""Values of the targets that the decoder is given.

A wished-for class is given as it is. A number, and a target without a wish, is drawn from the
prior of the target within the wish. Each draw is a function of a standard normal coordinate, so
that samplers move in these coordinates as in z.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_hea.devices import seeded
from pyro_hea.posterior.conditions import elsewhere
from pyro_hea.program.sites import ContinuousSite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyro_hea.design.problem import Problem
    from pyro_hea.design.wishes import Event
    from pyro_hea.program.model import AlloyModel

_DRAWS = 4001
"""Of the prior of a number, whose quantiles stand for it."""


def drawn_targets(problem: Problem) -> list[str]:
    """Targets whose value is drawn, parents before children."""
    model = problem.ensemble.model
    return [
        target.name
        for target in model.targets
        if target.name not in problem.targets or isinstance(model.site(target.name), ContinuousSite)
    ]


def decoder_targets(
    problem: Problem, coordinates: Mapping[str, Tensor], like: Tensor
) -> dict[str, Tensor]:
    """Value of every target at standard normal coordinates of the drawn ones.

    Parameters
    ----------
    problem : Problem
    coordinates : mapping of target to Tensor, shape (K, n)
        Standard normal.
    like : Tensor, shape (K, n, ...)
        Tells shape, device and precision.
    """
    model = problem.ensemble.model
    values: dict[str, Tensor] = {}
    for target in model.targets:
        name = target.name
        if name not in coordinates:
            (wished,) = problem.targets[name]
            values[name] = like.new_full(like.shape[:2], wished)
            continue
        level = torch.special.ndtr(coordinates[name])
        site = model.site(name)
        if isinstance(site, ContinuousSite):
            values[name] = _quantile(model, name, _prior_event(problem, name), level)
        else:
            classes = site.values.view(-1, 1, 1)
            below = site.prior(None, values).log_prob(classes).exp().cumsum(0)[:-1]
            values[name] = (level > below).sum(0).to(like)
    return values


def _prior_event(problem: Problem, name: str) -> Event | None:
    """The wish for a number, unless it is for other conditions than the decoder knows."""
    target = problem.ensemble.spec.target(name)
    return None if elsewhere(target, problem.conditions) else problem.targets.get(name)


def nearest_targets(problem: Problem, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values of targets nearest to an alloy's own at which the wishes hold."""
    values = dict(own)
    for name, event in problem.targets.items():
        if isinstance(problem.ensemble.model.site(name), ContinuousSite):
            low, high = event
            values[name] = own[name].clamp(low, high)
        else:
            values[name] = torch.full_like(own[name], event[0])
    return values


def _quantile(model: AlloyModel, name: str, event: Event | None, level: Tensor) -> Tensor:
    """Quantile of the prior of a number within an event; its bounds where no draw is inside."""
    with seeded(0):
        drawn = model.site(name).prior(None, {}).sample(torch.Size([_DRAWS])).flatten()
    if event is not None:
        low, high = event
        inside = drawn[(drawn >= low) & (drawn <= high)]
        drawn = inside if len(inside) else drawn.clamp(low, high)
    drawn = drawn.sort().values.to(level)
    position = level * (len(drawn) - 1)
    below = position.floor().long().clamp(0, len(drawn) - 1)
    above = (below + 1).clamp_max(len(drawn) - 1)
    return drawn[below].lerp(drawn[above], position - below)
