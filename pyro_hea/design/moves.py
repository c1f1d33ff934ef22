"""Moves of one alloy towards another, and how a change is made shorter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.counterfactual import Change

_SIZES = (0.005, 0.02, 0.05, 0.1)
"""Fractions that one element gives to another in a move."""

_KEPT = (0.5, 0.75, 0.9, 0.95)
"""Shares of a change that are tried instead of all of it."""

_ROUNDS = 60

_TRIES = 4
"""Moves sideways, which shorten nothing by themselves, before giving up."""


def exchanges(
    alloys: NDArray[np.float64], step: float
) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Every exchange of two elements of alloys (B, E): which alloy it starts from, and where to."""
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
    """Lead an alloy that is content back towards the start, as far as it stays so.

    Each round takes the longest step back that leaves it content: a share of the whole way, or an
    element that was added for one that was taken. Where there is none, it exchanges elements so
    that as many atoms have moved and the confidence is highest, and tries again.

    Parameters
    ----------
    change : Change
    alloy : ndarray, shape (E,)
        As weighed in, and confident enough.

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
        sideways = exchanges(at[None], step)[1] if tries < _TRIES else tried[:0]
        alloys, possible = change.weigh_in(np.concatenate([tried, sideways]))
        moved = change.distance(alloys)
        rows = np.flatnonzero(possible & (moved <= best + 1e-9))
        alloys, moved = alloys[rows], moved[rows]
        lacking = change.lacking(alloys) if len(rows) else np.zeros(0)
        content = (lacking <= 0) & (moved < best - 1e-9)
        if content.any():
            at, tries = alloys[content][moved[content].argmin()], 0
            best = float(moved[content].min())
            path.append(at)
        elif len(rows) and tries < _TRIES:
            new = alloys[lacking.argmin()]
            if (new == at).all() or lacking.min() > 0:
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
