"""The smallest change of an alloy's composition that makes the wishes hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.counterfactual import CONFIDENCE, Change, changed
from pyro_hea.design.moves import exchanges, shortened
from pyro_hea.design.problem import MINIMUM, STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.alloys.composition import Alloys
    from pyro_hea.design.region import Constraint
    from pyro_hea.design.result import DesignResult
    from pyro_hea.design.wishes import Wish
    from pyro_hea.posterior import Ensemble

_SHARES = np.linspace(0.125, 1, 8)
"""Shares of the way to a known alloy that are tried."""

_NEAR = 100
"""Known alloys to which the way is tried."""

_SHORTENED = 6
"""Alloys from which the way back is tried."""

_BEAM = 3
"""Alloys from which the search goes on."""

_LONGEST = 12
"""Steps of the search at most."""


def nearest_alloy(
    ensemble: Ensemble,
    alloy: Alloys,
    change: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    confidence: float = CONFIDENCE,
    step: float = STEP,
    minimum: float = MINIMUM,
) -> DesignResult:
    """Find the smallest change of composition that is predicted to make the wishes hold.

    A beam search over exchanges of one element for another, and the ways to known alloys that
    have the property. The best of both are then made shorter (`shortened`).

    Parameters
    ----------
    ensemble : Ensemble
    alloy : formula, or anything that is one alloy of the training elements
    change : mapping of target to wish
    constraints, confidence, step, minimum
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
    asked = Change.of(ensemble, alloy, change, constraints, confidence, step, minimum)
    searched, candidates = _searched(asked)
    ways, more = _towards(asked)
    content = sorted([*searched, *ways], key=lambda path: asked.distance(path[-1][None])[0])
    if not content:
        return changed(asked, np.array([asked.start]), {})
    shorter = [[*path, *shortened(asked, path[-1])] for path in content[:_SHORTENED]]
    best = min(shorter, key=lambda path: float(asked.distance(path[-1][None])[0]))
    attributes = {"inference": "nearest", "candidates": candidates + more}
    return changed(asked, np.array(best), attributes)


def _towards(asked: Change) -> tuple[list[list[NDArray[np.float64]]], int]:
    """The first content alloy on the way to each of the nearest alloys that have the property."""
    order = np.argsort(asked.distance(asked.like), kind="stable")[:_NEAR]
    ends = asked.like[order]
    if not len(ends):
        return [], 0
    tried = asked.start + _SHARES[:, None, None] * (ends - asked.start)
    alloys, possible = asked.weigh_in(tried.reshape(-1, len(asked.start)))
    content = possible & (asked.lacking(alloys) <= 0)
    content = content.reshape(len(_SHARES), len(ends))
    alloys = alloys.reshape(len(_SHARES), len(ends), -1)
    first = content.argmax(0)
    found = [alloys[first[i], i] for i in np.flatnonzero(content.any(0))]
    return [[asked.start, x] for x in found], content.size


def _searched(asked: Change) -> tuple[list[list[NDArray[np.float64]]], int]:
    """Content alloys by exchanges, each with its way from the start."""
    beam = [[asked.start]]
    found: list[list[NDArray[np.float64]]] = []
    shortest, candidates = np.inf, 0
    seen = {tuple(asked.start.round(6))}
    for _ in range(_LONGEST):
        ends = np.array([path[-1] for path in beam])
        parents, moved = exchanges(ends, asked.problem.step)
        alloys, possible = asked.weigh_in(moved)
        distance = asked.distance(alloys)
        keys = [tuple(row) for row in alloys.round(6).tolist()]
        fresh = np.array([key not in seen for key in keys]) & possible & (distance < shortest)
        _, first = np.unique(alloys.round(6), axis=0, return_index=True)
        fresh &= np.isin(np.arange(len(alloys)), first)
        rows = np.flatnonzero(fresh)
        if not len(rows):
            break
        seen.update(keys[row] for row in rows)
        candidates += len(rows)
        score = asked.score(alloys[rows], possible[rows])
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
