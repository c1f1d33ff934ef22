"""Repair rounded compositions that miss bounds on sums, ratios or distances.

Bounds on single elements and on their number hold before and after. Each round moves whole steps
from one element to another, the transfer that reduces the excess most, until every bound holds or
no transfer helps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.region import TOLERANCE, Near, Sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.region import Region

_SIZES = 4 ** np.arange(4)
"""Sizes of a transfer that are tried, in steps."""

_ROUNDS = 60

_CHUNK = 256
"""Alloys repaired at a time, which bounds the memory."""


def repair(
    whole: NDArray[np.float64],
    region: Region,
    step: float,
    min_fraction: float,
    wanted: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Transfer amounts between elements, in place, until the bounds on several of them hold.

    Parameters
    ----------
    whole : ndarray, shape (N, E)
        Steps of each element, within the bounds on single elements; changed in place.
    region : Region
    step, min_fraction : float
        As of `round_compositions`.
    wanted : ndarray of bool, shape (N,)
        Alloys to repair; the others are left alone.

    Returns
    -------
    ndarray of bool, shape (N,)
        Where every bound holds in the end.
    """
    done = _missed(whole * step, region) <= TOLERANCE
    todo = np.flatnonzero(wanted & ~done)
    for start in range(0, len(todo), _CHUNK):
        rows = todo[start : start + _CHUNK]
        for _ in range(_ROUNDS):
            rows = rows[~done[rows]]
            if not len(rows):
                break
            moved, better = _best_transfer(whole[rows], region, step, min_fraction)
            whole[rows] = moved
            done[rows] = _missed(moved * step, region) <= TOLERANCE
            rows = rows[better]
    return done


def _missed(fractions: NDArray[np.float64], region: Region) -> NDArray[np.float64]:
    """Total excess of alloys (..., E) over all bounds."""
    return np.sum([bound.excess(fractions) for bound in region.linear], axis=0)


def _best_transfer(
    whole: NDArray[np.float64], region: Region, step: float, min_fraction: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each alloy after its best transfer, and whether that was better than none."""
    fewest, most = region.amounts(min_fraction, step)
    rows, receivers = np.arange(len(whole)), np.flatnonzero(most >= fewest)
    number = (whole > 0).sum(1)
    room = int(number.max())
    givers = np.argsort(-whole, axis=1, kind="stable")[:, :room]  # (n, g)
    sizes = _SIZES[_SIZES * step <= 1]
    given = np.take_along_axis(whole, givers, 1)
    # Besides these sizes, all that an element has: it may leave.
    size = np.concatenate([np.broadcast_to(sizes, (*given.shape, len(sizes))), given[..., None]], 2)
    left = given[..., None] - size
    may_go = ~region.must[givers][..., None] & (number > region.min_elements)[:, None, None]
    gives = (left >= fewest[givers][..., None]) | ((left == 0) & may_go)
    gives &= (given > 0)[..., None] & (size > 0)
    # receiver of each giver and size, (n, g, s, r)
    taken = whole[:, None, None, receivers] + size[..., None]
    comes = (whole[:, receivers] == 0)[:, None, None, :]
    swaps = (left == 0)[..., None]
    fits = (number[:, None, None, None] - swaps < region.max_elements) | ~comes
    takes = (taken <= most[receivers]) & (taken >= fewest[receivers]) & fits
    takes &= givers[:, :, None, None] != receivers
    allowed = gives[..., None] & takes
    after = _after(whole * step, givers, receivers, size * step, region)
    before = _missed(whole * step, region)
    gain = (before[:, None, None, None] - after) / np.maximum(size, 1)[..., None]
    # of transfers that gain as much for each step, the largest
    score = np.where(allowed, gain + 1e-12 * size[..., None], -np.inf).reshape(len(whole), -1)
    best = score.argmax(1)
    g, s, r = np.unravel_index(best, after.shape[1:])
    better = after.reshape(len(whole), -1)[rows, best] < before - TOLERANCE
    better &= np.isfinite(score[rows, best])
    moved = whole.copy()
    amount = np.where(better, size[rows, g, s], 0)
    moved[rows, givers[rows, g]] -= amount
    moved[rows, receivers[r]] += amount
    return moved, better


def _after(
    fractions: NDArray[np.float64],
    givers: NDArray[np.int_],
    receivers: NDArray[np.int_],
    size: NDArray[np.float64],
    region: Region,
) -> NDArray[np.float64]:
    """Total excess after each transfer, (n, g, s, r)."""
    total = np.zeros((*size.shape, len(receivers)))
    for bound in region.linear:
        if isinstance(bound, Sum):
            change = bound.weights[receivers] - bound.weights[givers][..., None]  # (n, g, r)
            value = (fractions @ bound.weights)[:, None, None, None]
            value = value + size[..., None] * change[:, :, None, :]
            outside = np.maximum(np.maximum(value - bound.high, bound.low - value), 0.0)
            total += outside / max(float(np.abs(bound.weights).max()), 1e-300)
        elif isinstance(bound, Near):
            away = fractions - bound.centre
            given = np.take_along_axis(away, givers, 1)[..., None]
            less = np.abs(given - size) - np.abs(given)  # (n, g, s)
            to = away[:, None, None, receivers]
            more = np.abs(to + size[..., None]) - np.abs(to)
            distance = np.abs(away).sum(1)[:, None, None, None] + less[..., None] + more
            total += np.maximum(distance / 2 - bound.distance, 0.0)
    return total
