"""The smallest change of an alloy's composition that makes the wishes hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.counterfactual import CONFIDENCE, Change, changed, shortened, substitutions
from pyro_hea.design.problem import MINIMUM, STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.result import DesignResult
    from pyro_hea.design.wishes import Wish
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.posterior import Ensemble

_SHARES = np.linspace(0.125, 1, 8)
"""Shares of the way to a known alloy that are tried."""

_NEAR = 100
"""Known alloys to which the way is tried."""

_SHORTENED = 6
"""Accepted alloys whose change is made smaller."""

_BEAM = 3
"""Width of the beam."""

_LONGEST = 12
"""Largest number of steps of the search."""


def nearest_alloy(
    ensemble: Ensemble,
    alloy: Alloys,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    confidence: float = CONFIDENCE,
    step: float = STEP,
    min_fraction: float = MINIMUM,
) -> DesignResult:
    """Find the smallest change of composition that is predicted to make the wishes hold.

    A beam search over substitutions of one element for another, and straight lines to known alloys
    that have the property. The best of both are then made smaller (`shortened`).

    Parameters
    ----------
    ensemble : Ensemble
    alloy : formula, or anything that is one alloy of the training elements
    targets : mapping of target to wish
    constraints, confidence, step, min_fraction
        As of `invert`.

    Returns
    -------
    DesignResult
        One alloy, with its trail; `changes` says what was exchanged, in at.%.

    Raises
    ------
    ConstraintError
        Where no alloy within reach satisfies the constraints and is confident enough.
    """
    change = Change.of(ensemble, alloy, targets, constraints, confidence, step, min_fraction)
    searched, candidates = _beam_search(change)
    ways, more = _ways_to_matching(change)
    accepted = sorted([*searched, *ways], key=lambda path: change.distance(path[-1][None])[0])
    if not accepted:
        return changed(change, np.array([change.start]), {})
    shorter = [[*path, *shortened(change, path[-1])] for path in accepted[:_SHORTENED]]
    best = min(shorter, key=lambda path: float(change.distance(path[-1][None])[0]))
    attributes = {"inference": "nearest", "candidates": candidates + more}
    return changed(change, np.array(best), attributes)


def _ways_to_matching(change: Change) -> tuple[list[list[NDArray[np.float64]]], int]:
    """The first accepted alloy on the way to each of the nearest alloys that have the property."""
    order = np.argsort(change.distance(change.matching), kind="stable")[:_NEAR]
    ends = change.matching[order]
    if not len(ends):
        return [], 0
    tried = change.start + _SHARES[:, None, None] * (ends - change.start)
    alloys, possible = change.rounded(tried.reshape(-1, len(change.start)))
    accepted = possible & (change.shortfall(alloys) <= 0)
    accepted = accepted.reshape(len(_SHARES), len(ends))
    alloys = alloys.reshape(len(_SHARES), len(ends), -1)
    first = accepted.argmax(0)
    found = [alloys[first[i], i] for i in np.flatnonzero(accepted.any(0))]
    return [[change.start, x] for x in found], accepted.size


def _beam_search(change: Change) -> tuple[list[list[NDArray[np.float64]]], int]:
    """Content alloys by exchanges, each with its way from the start."""
    beam = [[change.start]]
    found: list[list[NDArray[np.float64]]] = []
    shortest, candidates = np.inf, 0
    seen = {tuple(change.start.round(6))}
    for _ in range(_LONGEST):
        ends = np.array([path[-1] for path in beam])
        parents, moved = substitutions(ends, change.problem.step)
        alloys, possible = change.rounded(moved)
        distance = change.distance(alloys)
        keys = [tuple(row) for row in alloys.round(6).tolist()]
        fresh = np.array([key not in seen for key in keys]) & possible & (distance < shortest)
        _, first = np.unique(alloys.round(6), axis=0, return_index=True)
        fresh &= np.isin(np.arange(len(alloys)), first)
        rows = np.flatnonzero(fresh)
        if not len(rows):
            break
        seen.update(keys[row] for row in rows)
        candidates += len(rows)
        score = change.score(alloys[rows], possible[rows])
        done = score < 1
        if done.any():
            row = rows[done][distance[rows][done].argmin()]
            found.append([*beam[parents[row]], alloys[row]])
            shortest = distance[row]
        score[done] = np.inf  # nothing beyond it is nearer
        order = np.argsort(score, kind="stable")[:_BEAM]
        beam = [[*beam[parents[rows[i]]], alloys[rows[i]]] for i in order if np.isfinite(score[i])]
        if not beam:
            break
    return found, candidates
