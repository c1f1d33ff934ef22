"""Wishes for targets, and the probability that an alloy fulfils all of them.

A wish becomes an event, as `pyro_hea.posterior` knows it: the position of a class, or the two
bounds between which a number lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from pyro_hea.errors import ConstraintError, excerpt, nearest
from pyro_hea.materials.alloys.dataset import AlloyBatch
from pyro_hea.posterior import joint_probability
from pyro_hea.posterior.conditions import standardised
from pyro_hea.program.sites import ContinuousSite
from pyro_hea.spec import Binary, Continuous

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.posterior import Ensemble
    from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble
    from pyro_hea.spec import Target

Wish: TypeAlias = float | str | tuple[str, float] | tuple[float, float]
"""0 or 1; a class or level; or for a number an inequality, `(">", 500)`, or a range, `(900, 1200)`.
"max" or "min" of a number or a probability is an objective (`pyro_hea.design.objectives`).

Of a number `>` and `>=` are the same: a single value has no probability.
"""

Event: TypeAlias = tuple[float, ...]
"""The position of a class, or the two bounds of a number."""


def check_mapping(targets: object) -> None:
    """Refuse wishes that are not given by target.

    Raises
    ------
    ConstraintError
    """
    if not isinstance(targets, Mapping):
        raise ConstraintError(
            "wishes are a mapping from target to wish, as {'single_phase': 1, 'hardness': "
            f"('>', 500)}}, not {excerpt(targets)}"
        )


def checked_wishes(
    ensemble: Ensemble | CrystalEnsemble, targets: Mapping[str, Wish]
) -> dict[str, Event]:
    """The wishes as events, where each is one that its target can fulfil.

    Raises
    ------
    UnknownTargetError
        For a target that the model was not trained on.
    ConstraintError
        For a wish of the wrong kind, or for one outside the target's support.
    """
    check_mapping(targets)
    events = {}
    for name, wish in targets.items():
        ensemble.check_target(name)
        target = ensemble.spec.target(name)
        if isinstance(target, Continuous):
            events[name] = _range(target, wish, *_support(ensemble, name))
        else:
            events[name] = (float(_class(target, wish)),)
    return events


def _class(target: Target, wish: Wish) -> int:
    """Position of a wished-for class."""
    assert not isinstance(target, Continuous)
    if isinstance(target, Binary):
        if isinstance(wish, tuple):
            raise ConstraintError(
                f"target '{target.name}' is 0 or 1, not a number: {wish!r} is no wish for it; "
                "inequalities and ranges are for continuous targets"
            )
        if wish not in (0, 1):
            raise ConstraintError(f"target '{target.name}' is 0 or 1, not {wish!r}")
        return int(wish)
    if wish not in target.classes:
        raise ConstraintError(
            f"target '{target.name}' cannot be {wish!r}.{nearest(str(wish), target.classes)} "
            f"Allowed: {', '.join(target.classes)}"
        )
    return target.classes.index(str(wish))


def _range(target: Continuous, wish: Wish, lowest: float, highest: float) -> Event:
    """Bounds of a number, infinite where the support ends before."""
    match wish:
        case (">" | ">=", Real() as bound):
            low, high = float(bound), np.inf
        case ("<" | "<=", Real() as bound):
            low, high = -np.inf, float(bound)
        case (Real() as first, Real() as second):
            low, high = float(first), float(second)
        case _:
            raise ConstraintError(
                f"target '{target.name}' is a number: wish for an inequality, as ('>', 500) or "
                f"('<=', 500), a range, as (900, 1200), or 'max' or 'min', not {wish!r}"
            )
    if not low < high:
        raise ConstraintError(
            f"target '{target.name}': the lower bound {low:g} is not below the upper bound {high:g}"
        )
    if not (low < highest and high > lowest):
        raise ConstraintError(
            f"target '{target.name}' lies between {lowest:g} and {highest:g}: {wish!r} is outside"
        )
    return (-np.inf if low <= lowest else low, np.inf if high >= highest else high)


def _support(ensemble: Ensemble | CrystalEnsemble, name: str) -> tuple[float, float]:
    """Where a number may lie."""
    site = ensemble.model.site(name)
    assert isinstance(site, ContinuousSite)
    support = site.link.codomain
    return (
        float(getattr(support, "lower_bound", -np.inf)),
        float(getattr(support, "upper_bound", np.inf)),
    )


def probability(
    ensemble: Ensemble,
    features: Tensor,
    wishes: Mapping[str, Event],
    conditions: Mapping[str, float | str] | None = None,
) -> Tensor:
    """Probability by each member that all wishes hold together, (K, N), with its gradient.

    A member's targets depend on each other through what they are given; the members' mean is not
    a product over the wishes either.

    Parameters
    ----------
    ensemble : Ensemble
    features : Tensor, shape (N, F)
        As the model reads them.
    wishes : mapping of target to Event
        Without any the probability is 1.
    conditions : mapping of name to number, optional
    """
    if not wishes:
        return features.new_ones(ensemble.members, len(features))
    return joint_probability(ensemble.model, batch_at(ensemble, features, conditions), wishes)


def batch_at(
    ensemble: Ensemble, features: Tensor, conditions: Mapping[str, float | str] | None
) -> AlloyBatch:
    """Alloys of which features (N, F) are known, at conditions."""
    at = standardised(ensemble, conditions or {}, len(features), features)
    return AlloyBatch(None, features, {}, {}, conditions=at)


@torch.no_grad()
def fulfilment(
    ensemble: Ensemble,
    fractions: Tensor,
    wishes: Mapping[str, Event],
    conditions: Mapping[str, float | str] | None = None,
) -> Tensor:
    """`probability` of rounded compositions, fractions (N, E) in double precision."""
    features = ensemble.feature_map(fractions).to(ensemble.model.embedding.edges.dtype)
    return probability(ensemble, features, wishes, conditions)
