"""Designs of alloys by descent on an atlas of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from pyro_hea.charts.alloy_points import fractions_at, fractions_of, normalised, roots
from pyro_hea.charts.atlas import Atlas
from pyro_hea.design.gathering import gather, likely_enough
from pyro_hea.design.problem import Problem, check_count
from pyro_hea.design.program import first_of_each
from pyro_hea.design.rounding import round_compositions
from pyro_hea.design.smooth import smooth_cost
from pyro_hea.errors import ConstraintError, UnknownElementError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.result import DesignResult
    from pyro_hea.design.wishes import Wish
    from pyro_hea.vae import DisentangledVAE

_STARTS = 3
"""Known alloys that descents start at, for each alloy that is asked for."""


def design_alloys(
    atlas: Atlas,
    vae: DisentangledVAE,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    n: int = 20,
    seed: int = 0,
    steps: int = 40,
    min_probability: float | None = None,
) -> DesignResult:
    """Alloys of the manifold whose wishes hold, by descent of −κ log Q(y* | φ(x)).

    It starts at known alloys, those first that come nearest to satisfying the constraints.

    Parameters
    ----------
    atlas : Atlas
    vae : DisentangledVAE
        Predicts the targets.
    targets : mapping of target to wish
    constraints : sequence of Constraint
        All hold exactly on each alloy returned.
    n : int
    seed : int
    steps : int
        Of the descent.
    min_probability : float, optional
        As of `DisentangledVAE.design`.

    Returns
    -------
    DesignResult
        The most probable first.

    Raises
    ------
    ConstraintError
        Where no descent ends at an alloy that satisfies every constraint.
    """
    check_count(n, seed)
    problem = Problem.of(vae.ensemble, targets, constraints, min_elements=None)
    found, attributes = descended(atlas, problem, smooth_cost(problem), n, seed, steps)
    order = np.argsort(-problem.probability(found).mean(0), kind="stable")[:n]
    return likely_enough(gather(problem, found[order], attributes), min_probability)


def descended(
    atlas: Atlas,
    problem: Problem,
    cost: Callable[[Tensor], Tensor],
    n: int,
    seed: int,
    steps: int,
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Distinct rounded compositions (M, E) at the ends of descents, and how they were found."""
    ensemble = problem.ensemble
    columns = [_column(atlas, element) for element in ensemble.elements]

    def objective(points: Tensor) -> Tensor:
        return cost(normalised(points)[:, columns])

    known = ensemble.known.to_numpy(float)
    order = np.random.default_rng(seed).permutation(len(known))
    order = order[np.argsort(problem.cost(known[order]), kind="stable")]
    start = roots(fractions_of(ensemble.known.iloc[order[: _STARTS * n]], atlas.columns))
    descent = atlas.minimize(objective, start, steps)
    ends = fractions_at(np.asarray(descent.points), 0.0)[:, columns]
    alloys, possible = round_compositions(ends, problem.region, problem.step, problem.min_fraction)
    alloys = alloys[possible]
    alloys = alloys[problem.satisfied(alloys)]
    attributes = {
        "inference": "atlas",
        "seed": seed,
        "candidates": len(ends),
        "discarded": 1 - len(alloys) / len(ends),
    }
    if not len(alloys):
        raise ConstraintError(
            f"none of {_STARTS * n} descents on the atlas ends at an alloy that satisfies "
            "every constraint: loosen them, or ask for more alloys"
        )
    return alloys[first_of_each(alloys)], attributes


def _column(atlas: Atlas, element: str) -> int:
    if element not in atlas.columns:
        raise UnknownElementError(
            f"the model knows {element}, which no alloy of this atlas holds: fit both on the "
            "same alloys"
        )
    return atlas.columns.index(element)
