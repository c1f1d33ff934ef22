"""Counterfactuals: changing one alloy until the wishes hold.

Small changes of an input fool an ensemble most easily. A changed alloy is accepted when the least
confident member gives it the wanted probability. Known alloys count as well: each at.% by which the
alloy is nearer to its start than to a known alloy that has the property lowers the log odds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from scipy.special import expit, logit

from pyro_hea.design.gathering import gather
from pyro_hea.design.problem import Problem
from pyro_hea.design.result import DesignResult
from pyro_hea.design.rounding import round_compositions
from pyro_hea.errors import ConstraintError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.wishes import Wish
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.posterior import Ensemble

CONFIDENCE = 0.87
"""Cautious probability of all wishes from which on a changed alloy is accepted."""

_NEIGHBOURS = 8.0
"""Nats for being nearer to an alloy with the property than to the start by all of the atoms."""

_LIKE = 0.8
"""Predicted probability above which a known alloy counts as having the property."""

_SAME = 0.01
"""Total variation within which an alloy is a known one."""

_PRICE = 0.2
"""Share of the atoms moved that counts as much as a missing nat of confidence."""


_SIZES = (0.005, 0.02, 0.05, 0.1)
"""Fractions of one element that are replaced by another."""

_KEPT = (0.5, 0.75, 0.9, 0.95)
"""Shares of a change that are tried instead of all of it."""

_ROUNDS = 60

_TRIES = 4
"""Substitutions that do not shorten the change, in a row, before the search stops."""


@dataclass(frozen=True, eq=False)
class Change:
    """A problem of changing one alloy.

    Attributes
    ----------
    problem : Problem
    start : ndarray, shape (E,)
    confidence : float
    """

    problem: Problem
    start: NDArray[np.float64]
    confidence: float

    @classmethod
    def of(
        cls,
        ensemble: Ensemble,
        alloy: Alloys,
        targets: Mapping[str, Wish],
        constraints: Sequence[Constraint],
        confidence: float,
        step: float,
        min_fraction: float,
    ) -> Change:
        """Check what is change."""
        if not 0 < confidence < 1:
            raise ConstraintError(f"confidence={confidence} is not allowed; it is between 0 and 1")
        problem = Problem.of(
            ensemble,
            targets,
            constraints,
            step=step,
            min_fraction=min_fraction,
            novelty=0.0,  # a known alloy is a good answer
        )
        table = ensemble.fractions(alloy)
        if len(table) != 1:
            raise DataError(f"one alloy is changed at a time, not {len(table)}")
        return cls(problem, table.to_numpy(float)[0], confidence)

    @cached_property
    def matching(self) -> NDArray[np.float64]:
        """Known alloys that are predicted to fulfil the wishes, (M, E)."""
        known = self.problem.ensemble.known.to_numpy(float)
        return known[self.problem.probability(known).mean(0) > _LIKE]

    def distance(self, alloys: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the atoms of alloys (N, E) that have moved, (N,)."""
        return np.asarray(np.abs(alloys - self.start).sum(1) / 2)

    def cautious_probability(self, alloys: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cautious probability that all wishes hold for alloys (N, E), (N,).

        The log odds of the least confident member, raised or lowered by how much nearer the alloy
        is to a known one that has the property than to the start, and at most those of the mean
        of all members. For such a known alloy itself it is 1.
        """
        members = np.clip(self.problem.probability(alloys), 1e-9, 1 - 1e-9)
        like = np.ones(len(alloys))
        if len(self.matching):
            like = cdist(alloys, self.matching, "cityblock").min(1) / 2
        gained = _NEIGHBOURS * (self.distance(alloys) - like)
        mean = members.mean(0)
        cautious = np.minimum(expit(logit(members.min(0)) + gained), mean)
        return np.where((like <= _SAME) & (mean > _LIKE), 1.0, cautious)

    def shortfall(self, alloys: NDArray[np.float64]) -> NDArray[np.float64]:
        """Nats that the log odds lack to the confidence, plus the cost of constraints, (N,)."""
        shortfall = logit(self.confidence) - logit(
            np.clip(self.cautious_probability(alloys), 1e-12, 1 - 1e-12)
        )
        cost = self.problem.cost(alloys)
        return np.where(cost > 0, np.maximum(shortfall, 0) + cost, shortfall)

    def rounded(
        self, fractions: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Rounded compositions, and whether rounding within the constraints is possible."""
        p = self.problem
        return round_compositions(fractions, p.region, p.step, p.min_fraction)

    def score(
        self, alloys: NDArray[np.float64], possible: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """What is small for a good change: the atoms moved, and a price for what is shortfall."""
        shortfall = np.maximum(self.shortfall(alloys), 0)
        score = self.distance(alloys) + _PRICE * shortfall + (shortfall > 0)
        return np.where(possible, score, np.inf)


def changed(
    change: Change,
    path: NDArray[np.float64],
    attributes: Mapping[str, object],
    latents: Mapping[str, np.ndarray] | None = None,
) -> DesignResult:
    """Make a result of the last alloy of a path (P, E), with the path as its trail.

    Raises
    ------
    ConstraintError
        Where it misses a constraint or the confidence.
    """
    problem = change.problem
    path = path[np.r_[True, np.any(np.diff(path, axis=0) != 0, axis=1)]]
    cautious = change.cautious_probability(path)
    failed = [name for name, ok in problem.holds(path[-1:]).items() if not ok.all()]
    if failed or cautious[-1] < change.confidence:
        why = f"{', '.join(failed)} does not hold"
        raise ConstraintError(
            f"no way was found to an alloy that satisfies every constraint at a confidence of "
            f"{change.confidence:g}: at the end of the best, "
            f"{why if failed else f'it is {cautious[-1]:.2f}'}. Lower the confidence or loosen the "
            "constraints"
        )
    moved = change.distance(path)
    trail = pd.DataFrame(path, columns=list(problem.ensemble.elements)).assign(
        all_wishes=problem.probability(path).mean(0), cautious=cautious, moved=moved
    )
    trail.insert(0, "step", range(len(trail)))
    reported = {**attributes, "confidence": change.confidence, "moved": float(moved[-1])}
    return gather(problem, path[-1:], reported, latents=latents, trail=trail)


def substitutions(
    alloys: NDArray[np.float64], step: float
) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Every substitution of one element for another: rows of the alloys (B, E), and results."""
    parents, moved = [], []
    for i, x in enumerate(alloys):
        for giver in np.flatnonzero(x > 0):
            sizes = {size for size in _SIZES if size >= step - 1e-9 and size < x[giver]}
            for size in (*sorted(sizes), x[giver]):
                after = np.tile(x, (len(x), 1))
                after[:, giver] -= size
                after[np.arange(len(x)), np.arange(len(x))] += size
                moved.append(np.delete(after, giver, axis=0))
                parents.append(np.full(len(x) - 1, i))
    return np.concatenate(parents), np.concatenate(moved)


def shortened(change: Change, alloy: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Make the change to an accepted alloy smaller, as long as it stays accepted.

    Each round takes the longest step back towards the start that leaves the alloy accepted: a
    share of the whole way, or an added element for one that was removed. Where there is none,
    elements are substituted at the same number of moved atoms to raise the confidence, and the
    step is tried again.

    Parameters
    ----------
    change : Change
    alloy : ndarray, shape (E,)
        A rounded composition that is accepted.

    Returns
    -------
    list of ndarray, shape (E,)
        Ever shorter changes; the first is the alloy itself.
    """
    path, tries = [alloy], 0
    best = float(change.distance(alloy[None])[0])
    at, step = alloy, change.problem.step
    for _ in range(_ROUNDS):
        tried = _back(at, change.start, step)
        sideways = substitutions(at[None], step)[1] if tries < _TRIES else tried[:0]
        alloys, possible = change.rounded(np.concatenate([tried, sideways]))
        moved = change.distance(alloys)
        rows = np.flatnonzero(possible & (moved <= best + 1e-9))
        alloys, moved = alloys[rows], moved[rows]
        shortfall = change.shortfall(alloys) if len(rows) else np.zeros(0)
        accepted = (shortfall <= 0) & (moved < best - 1e-9)
        if accepted.any():
            at, tries = alloys[accepted][moved[accepted].argmin()], 0
            best = float(moved[accepted].min())
            path.append(at)
        elif len(rows) and tries < _TRIES:
            new = alloys[shortfall.argmin()]
            if (new == at).all() or shortfall.min() > 0:
                break
            at, tries = new, tries + 1
        else:
            break
    return path


def _back(
    alloy: NDArray[np.float64], start: NDArray[np.float64], step: float
) -> NDArray[np.float64]:
    """Ways to undo a part of the change from a start to an alloy, (N, E)."""
    more, less = np.flatnonzero(alloy > start + 1e-9), np.flatnonzero(alloy < start - 1e-9)
    ways = [start + share * (alloy - start) for share in _KEPT]
    for giver in more:
        for taker in less:
            most = min(alloy[giver] - start[giver], start[taker] - alloy[taker])
            for size in {*(s for s in _SIZES if step - 1e-9 <= s < most), most, alloy[giver]}:
                way = alloy.copy()
                way[giver] -= size
                way[taker] += size
                ways.append(way)
    return np.array(ways)
