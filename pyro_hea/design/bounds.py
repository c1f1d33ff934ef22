"""Bounds on several fractions together: weighted sums, and distances from an alloy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
