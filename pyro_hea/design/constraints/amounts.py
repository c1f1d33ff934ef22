"""Bounds on what an alloy holds of an element, of several together, or of one beside another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.constraints.base import Constraint, check_bounds, outside
from pyro_hea.design.region import Region, Sum
from pyro_hea.errors import ConstraintError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ElementBounds(Constraint):
    """Bounds on the fraction of one element, e.g. `ElementBounds("Co", 0, 0.05)`."""

    element: str
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_bounds(repr(self), self.low, self.high)
        if self.low < 0 or self.high > 1:
            raise ConstraintError(f"{self!r}: bounds are fractions from 0 to 1, not at.%")

    def tighten(self, region: Region) -> Region:
        """Tighten the element's bounds."""
        one = region.mask([self.element])
        return replace(
            region,
            lower=np.where(one, np.maximum(region.lower, self.low), region.lower),
            upper=np.where(one, np.minimum(region.upper, self.high), region.upper),
        )

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much the fraction is outside."""
        return outside(fractions[:, region.index(self.element)], self.low, self.high)


@dataclass(frozen=True)
class LargestFraction(Constraint):
    """No element above this fraction."""

    high: float

    def __post_init__(self) -> None:
        if not (isinstance(self.high, Real) and 0 < self.high <= 1):
            raise ConstraintError(f"{self!r}: the bound is a fraction above 0 and at most 1")

    def tighten(self, region: Region) -> Region:
        """Tighten every upper bound."""
        return replace(region, upper=np.minimum(region.upper, self.high))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much the largest fraction is above."""
        return outside(fractions.max(1), -np.inf, self.high)


@dataclass(frozen=True)
class SumBounds(Constraint):
    """Bounds on what some elements are together, e.g. `SumBounds(["refractory", "Al"], 0.6)`."""

    elements: tuple[str, ...]
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.elements, str) or not self.elements:
            raise ConstraintError(
                f"{self!r}: SumBounds takes a list of elements or groups, as ['Co', 'Ni']"
            )
        object.__setattr__(self, "elements", tuple(self.elements))
        check_bounds(repr(self), self.low, self.high)
        if self.low < 0 or self.high > 1:
            raise ConstraintError(f"{self!r}: bounds are fractions from 0 to 1, not at.%")

    def tighten(self, region: Region) -> Region:
        """Bound the sum."""
        return region.bounded(self._sum(region))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much the sum is outside."""
        return self._sum(region).excess(fractions)

    def _sum(self, region: Region) -> Sum:
        return Sum(region.mask(self.elements).astype(float), self.low, self.high)


@dataclass(frozen=True)
class Ratio(Constraint):
    """Bounds on the ratio of two elements, e.g. `Ratio("Al", "Ni", 1, 3)` for Al = 1 to 3 Ni."""

    numerator: str
    denominator: str
    low: float = 0.0
    high: float = float("inf")

    def __post_init__(self) -> None:
        check_bounds(repr(self), self.low, self.high)
        if self.low < 0 or self.numerator == self.denominator:
            raise ConstraintError(f"{self!r}: a ratio of two elements is 0 or more")

    def tighten(self, region: Region) -> Region:
        """Bound two differences."""
        return region.bounded(*self._sums(region))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """Share of the atoms that is too much or too little."""
        return np.max([bound.excess(fractions) for bound in self._sums(region)], axis=0)

    def _sums(self, region: Region) -> list[Sum]:
        above, below = np.zeros((2, len(region.elements)))
        top, bottom = region.index(self.numerator), region.index(self.denominator)
        above[top], above[bottom] = 1.0, -self.low
        sums = [Sum(above, low=0.0)]
        if np.isfinite(self.high):
            below[top], below[bottom] = 1.0, -self.high
            sums.append(Sum(below, high=0.0))
        return sums
