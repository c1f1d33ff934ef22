"""Alloys drawn from the design posterior: checked, made distinct, and gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from pyro_hea.design.gathering import LIKELY, gather, likely_enough
from pyro_hea.design.objectives import ranked
from pyro_hea.design.problem import AGREEMENT, MINIMUM, STEP, Problem, check_count
from pyro_hea.design.program import (
    Candidates,
    distinct,
    draw_distinct,
)
from pyro_hea.design.result import DesignResult
from pyro_hea.design.samplers import RESERVE, by_importance, by_nuts, by_svi
from pyro_hea.devices import seeded
from pyro_hea.errors import ConstraintError, DataError, DesignWarning, warn

if TYPE_CHECKING:
    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.wishes import Wish
    from pyro_hea.posterior import Ensemble

Method: TypeAlias = Literal["importance", "nuts", "svi"]

CHAINS, DRAWS, WARMUP = 4, 300, 40
"""Of NUTS, in each member."""

_SHORTEST = 4
"""Draws of a chain of which R-hat can be computed."""

LARGEST = 10_000
"""Designs at most."""


def sample_designs(
    ensemble: Ensemble,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    n: int = 100,
    seed: int = 0,
    method: Method = "importance",
    step: float = STEP,
    min_fraction: float = MINIMUM,
    agreement: float = AGREEMENT,
    conditions: Mapping[str, float | str] | None = None,
    min_probability: float | None = None,
    min_elements: int | None = None,
    tolerance: float | None = None,
    draws: int = DRAWS,
    warmup: int = WARMUP,
    chains: int = CHAINS,
) -> DesignResult:
    """Draw distinct alloys from the design posterior; of objectives, the best trade-offs.

    Parameters
    ----------
    ensemble : Ensemble
    targets : mapping of target to wish
        A binary target is 0 or 1; a class or level is named; a number has an inequality,
        `(">", 500)`, or a range, `(900, 1200)`. Objectives are "max" or "min": of a number, of
        the probability of a binary target, of a feature, or of "density" (g/cm³).
    constraints : sequence of Constraint
        All hold exactly on each alloy returned. Without a `Novel` among them designs are at
        least 2 at.% from every known alloy.
    n : int
        Alloys wanted, at most 10 000.
    seed : int
    method : {"importance", "nuts", "svi"}
        Importance sampling in small steps from the prior; Markov chains in every member; or
        draws of a fitted guide.
    step : float
        Fractions are multiples of it (0.5 at.% by default).
    min_fraction : float
        Elements below this fraction are dropped.
    agreement : float
        The power κ of the predicted probability. At 1 an alloy is as welcome as it is probable
        to be right; at a higher power the probable ones are preferred more. Objectives have the
        same weight: nats for a standard deviation of the known alloys.
    conditions : mapping of name to number, optional
        At which the wishes are to hold, such as `{"test_temperature_C": 800}`; those that the spec
        declares by default. The table is of these conditions.
    min_probability : float, optional
        Designs whose wishes hold with a lower probability are left out. By default all are
        returned, with a warning where some are less likely than not; 0 returns them without.
    min_elements : int, optional
        Fewest elements. By default three, unless constraints say how many or allow fewer.
    tolerance : float, optional
        Largest error of a fraction when an alloy is weighed, such as 0.005 for 0.5 at.%. It adds
        the column `all_wishes_within_tolerance`.
    draws, warmup, chains : int
        Of NUTS, in each member.

    Returns
    -------
    DesignResult
        The most probable first; with objectives, the Pareto set first.

    Raises
    ------
    UnknownTargetError, ConstraintError, UnknownElementError
    DataError
        For a method that does not exist, or chains too few or too short.

    Warns
    -----
    DesignWarning
        Where designs are less likely than not to meet the wishes, fewer than `n` were found,
        chains have not converged, or weights are not to be trusted.
    """
    check_count(n, seed)
    if n > LARGEST:
        raise ConstraintError(
            f"n={n:,} is not allowed: a design run returns at most {LARGEST:,} alloys; "
            "screen() ranks larger numbers of compositions in bounded memory"
        )
    if method not in get_args(Method):
        raise DataError(f"there is no method {method!r}; allowed: 'importance', 'nuts', 'svi'")
    if method == "nuts" and (chains < 2 or draws < _SHORTEST or warmup < 1):
        raise DataError(
            f"chains={chains}, draws={draws}, warmup={warmup} is not allowed; NUTS needs at least "
            f"2 chains of {_SHORTEST} draws after 1 of warm-up"
        )
    problem = Problem.of(
        ensemble,
        targets,
        constraints,
        step=step,
        min_fraction=min_fraction,
        agreement=agreement,
        conditions=conditions,
        min_elements=min_elements,
        tolerance=tolerance,
        with_objectives=method == "importance",
    )
    with seeded(seed):
        if method == "importance":
            drawn = by_importance(problem, n)
        elif method == "svi":
            drawn = by_svi(problem, n)
        else:
            longer = max(draws, -(-RESERVE * n // (chains * ensemble.members)))
            drawn = by_nuts(problem, chains=chains, draws=longer, warmup=warmup)
    candidates = drawn.candidates
    if problem.objectives:
        chosen = best_trade_offs(problem, candidates, n, min_probability)
    else:
        chosen = draw_distinct(candidates, n, seed)
    if len(chosen) == 0:
        shares = ", ".join(f"{name}: {share:.1%}" for name, share in candidates.holds.items())
        raise ConstraintError(
            f"none of {len(candidates.log_weight)} candidates satisfies every constraint. Share "
            f"that satisfies each: {shares}. Loosen the rarest"
        )
    faults = list(drawn.faults)
    if len(chosen) < n:
        faults.append(
            f"{len(chosen)} of {n} designs were found among {len(candidates.log_weight)} "
            "candidates; loosen the constraints or ask for fewer"
        )
    for fault in faults:
        warn(fault, DesignWarning)
    result = gather(
        problem,
        candidates.fractions[chosen],
        {**drawn.attributes, "seed": seed},
        latents={"z": candidates.z[chosen], "member": candidates.member[chosen]},
        sites=drawn.sites,
        best_first=not problem.objectives,
    )
    return likely_enough(result, min_probability)


def best_trade_offs(
    problem: Problem, candidates: Candidates, n: int, min_probability: float | None
) -> np.ndarray:
    """Positions of `n` distinct alloys, those that no other beats in the objectives first.

    Those that meet the wishes with `min_probability`, or more likely than not, come before others.
    """
    rows = distinct(candidates)
    if not len(rows):
        return rows
    x = candidates.fractions[rows]
    scores = np.stack([objective.scores(x) for objective in problem.objectives], -1)
    least = LIKELY if min_probability is None else min_probability
    enough = problem.probability(x).mean(0) >= least
    groups = [np.flatnonzero(enough), np.flatnonzero(~enough)]
    order = np.concatenate([group[ranked(scores[group], n)] for group in groups])
    return rows[order[:n]]
