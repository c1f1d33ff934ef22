"""From a decoded composition to a rounded one: whole steps of each element, as it is weighed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.repair import repair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.region import Region

_BISECTIONS = 60

_TOLERANCE = 1e-9
"""Of a comparison of fractions."""


def round_compositions(
    fractions: NDArray[np.float64], region: Region, step: float, min_fraction: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Drop small and forbidden elements, keep within the bounds and round.

    Parameters
    ----------
    fractions : ndarray, shape (N, E)
    region : Region
        Bounds on the fractions and on the number of elements.
    step : float
        Fractions are multiples of it; its inverse is a whole number.
    min_fraction : float
        Elements below it are dropped, unless they are required.

    Returns
    -------
    rounded : ndarray, shape (N, E)
        Multiples of the step that sum to 1, within the region where `possible`.
    possible : ndarray of bool, shape (N,)
        False where no composition of these elements lies within the region.
    """
    units = round(1 / step)
    low, high = region.amounts(min_fraction, step)
    present = _present(fractions, region, low, low <= high, max(min_fraction, step / 2), units)
    low, high = np.where(present, low, 0), np.where(present, high, 0)
    possible = (low <= high).all(1) & (low.sum(1) <= units) & (high.sum(1) >= units)
    possible &= present.sum(1) >= region.min_elements
    amounts = _fill(np.where(present, np.maximum(fractions, 1e-12), 0.0), low, high, units)
    whole = _round(amounts, low, high, units)
    if region.linear:
        possible &= repair(whole, region, step, min_fraction, possible)
    return whole / units, possible


def _present(
    fractions: NDArray[np.float64],
    region: Region,
    low: NDArray[np.int_],
    fits: NDArray[np.bool_],
    smallest: float,
    units: int,
) -> NDArray[np.bool_]:
    """The required elements, and the largest others that fit, up to the number allowed."""
    must = region.must
    may = np.where(fits, fractions, 0.0)
    may = may / np.maximum(may.sum(1, keepdims=True), 1e-12)
    order = np.argsort(-np.where(must, 2.0 + may, may), axis=1, kind="stable")
    rank = np.argsort(order, axis=1)
    needed = np.take_along_axis(low[order].cumsum(1), rank, axis=1)
    wanted = must | ((may >= smallest - _TOLERANCE) & (needed <= units))
    return wanted & (rank < region.max_elements)


def _fill(
    weights: NDArray[np.float64], low: NDArray[np.int_], high: NDArray[np.int_], units: int
) -> NDArray[np.float64]:
    """Amounts in proportion to the weights, cut at the bounds, that sum to `units`."""
    bottom, top = np.zeros(len(weights)), np.full(len(weights), 1e15)
    for _ in range(_BISECTIONS):  # in the logarithm, since the scale may be anything
        scale = np.sqrt(np.maximum(bottom, 1e-15) * top)
        over = np.clip(weights * scale[:, None], low, high).sum(1) > units
        top, bottom = np.where(over, scale, top), np.where(over, bottom, scale)
    return np.clip(weights * bottom[:, None], low, high)


def _round(
    amounts: NDArray[np.float64], low: NDArray[np.int_], high: NDArray[np.int_], units: int
) -> NDArray[np.float64]:
    """Whole amounts within the bounds that sum to `units`, by largest remainder."""
    whole = np.clip(np.floor(amounts + 1e-9), low, high)
    rows = np.arange(len(whole))
    for _ in range(2 * amounts.shape[1]):
        missing = units - whole.sum(1)
        if not missing.any():
            break
        sign = np.sign(missing)
        room = np.where(sign[:, None] > 0, whole < high, whole > low)
        need = np.where(room, (amounts - whole) * sign[:, None], -np.inf)
        chosen = need.argmax(1)
        movable = room[rows, chosen]
        whole[rows, chosen] += np.where(movable, sign, 0.0)
    return whole
