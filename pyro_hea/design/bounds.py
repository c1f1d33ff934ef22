"""What is outside an interval; bounds on several fractions: weighted sums, distances; checks."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.errors import ConstraintError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-9
"""Of a comparison of fractions."""


@dataclass(frozen=True)
class Sum:
    """Bounds on a weighted sum of fractions: `low` ≤ weights · x ≤ `high`."""

    weights: NDArray[np.float64]
    low: float = -np.inf
    high: float = np.inf

    def excess(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much the sum of each alloy (..., E) is outside, relative to the weights."""
        value = fractions @ self.weights
        outside = np.maximum(np.maximum(value - self.high, self.low - value), 0.0)
        return np.asarray(outside / max(float(np.abs(self.weights).max()), 1e-300))


@dataclass(frozen=True)
class Near:
    """At most so far (total variation) from an alloy."""

    centre: NDArray[np.float64]
    distance: float

    def excess(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much each alloy (..., E) is further away."""
        away = np.abs(fractions - self.centre).sum(-1) / 2
        return np.asarray(np.maximum(away - self.distance, 0.0))


def check_count(n: int, seed: int) -> None:
    """Refuse a number of alloys, or a seed, that is none."""
    if not isinstance(n, Integral) or n < 1:
        raise ConstraintError(
            f"n={n!r} is not allowed; ask for at least one design, a whole number"
        )
    if not isinstance(seed, Integral) or seed < 0:
        raise ConstraintError(f"seed={seed!r} is not allowed; a seed is a whole number, 0 or more")


def check_bounds(name: str, low: float, high: float) -> None:
    """Refuse bounds that are no numbers or upside down, naming whose they are."""
    if not (isinstance(low, Real) and isinstance(high, Real)):
        raise ConstraintError(f"{name}: bounds are numbers, not {low!r} and {high!r}")
    if not low <= high:
        raise ConstraintError(f"{name}: the lower bound {low} is above the upper bound {high}")


def outside(values: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Distance of each value from an interval; infinite for NaN."""
    missed = np.maximum(np.maximum(low - values, values - high), 0.0)
    return np.where(np.isnan(values), np.inf, missed)
