"""Bounds on what a kilogram of an alloy costs: money, energy, supply risk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.constraints.base import Constraint, check_bounds, outside
from pyro_hea.design.constraints.properties import of_elements
from pyro_hea.design.region import Sum
from pyro_hea.errors import ConstraintError, nearest
from pyro_hea.materials.alloys.indicators import INDICATOR_UNITS, load_element_indicators

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from pyro_hea.design.region import Region


class _PerKilogram(Constraint):
    """Bounds on a mean over the elements by mass; an element without a value is not used."""

    low: float
    high: float

    @abstractmethod
    def _values(self, elements: Sequence[str]) -> NDArray[np.float64]:
        """Of each element, NaN where there is none, (E,)."""

    def tighten(self, region: Region) -> Region:
        """Bound two sums of mass; close the elements without a value."""
        values = self._values(region.elements)
        upper = np.where(np.isnan(values), 0.0, region.upper)
        (mass,) = of_elements(region.elements, "atomic_mass")
        region = replace(region, upper=upper)
        if np.isfinite(self.high):
            more = np.nan_to_num(mass * (values - self.high))
            region = region.bounded(Sum(more, high=0.0))
        if np.isfinite(self.low):
            less = np.nan_to_num(mass * (values - self.low))
            region = region.bounded(Sum(less, low=0.0))
        return region

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much a kilogram is outside; infinite with an element without a value."""
        values = self._values(region.elements)
        return outside(mass_mean(fractions, region.elements, values), self.low, self.high)


@dataclass(frozen=True)
class IndicatorBounds(_PerKilogram):
    """Bounds on an indicator of a kilogram, e.g. `IndicatorBounds("price_USD_kg", high=20)`.

    Indicators and their units are those of `pyro_hea.materials.alloys.indicators`, of 18 elements;
    an element without a value is not used.
    """

    indicator: str
    low: float = field(default=-np.inf)
    high: float = field(default=np.inf)

    def __post_init__(self) -> None:
        if self.indicator not in INDICATOR_UNITS:
            raise ConstraintError(
                f"'{self.indicator}' is no indicator.{nearest(self.indicator, INDICATOR_UNITS)} "
                f"Indicators: {', '.join(INDICATOR_UNITS)}"
            )
        check_bounds(repr(self), self.low, self.high)

    def __repr__(self) -> str:
        bounds = {"low": self.low, "high": self.high}
        finite = [f", {name}={bound!r}" for name, bound in bounds.items() if np.isfinite(bound)]
        return f"IndicatorBounds({self.indicator!r}{''.join(finite)})"

    def _values(self, elements: Sequence[str]) -> NDArray[np.float64]:
        return indicator_values(self.indicator, elements)


@dataclass(frozen=True)
class MaxPrice(_PerKilogram):
    """At most so much per kilogram by the user's own prices, e.g. `MaxPrice(20, {"Fe": 0.1, …})`.

    Raw materials only. An element without a price is not used.
    """

    high: float
    prices: Mapping[str, float]

    low = -np.inf

    def __post_init__(self) -> None:
        prices = dict(self.prices).items()
        bad = {e: p for e, p in prices if not (isinstance(p, Real) and 0 <= p < np.inf)}
        if not self.prices or bad:
            raise ConstraintError(f"MaxPrice needs prices of 0 or more by element, not {bad}")
        check_bounds("MaxPrice", 0.0, self.high)
        object.__setattr__(self, "prices", MappingProxyType(dict(sorted(self.prices.items()))))

    def __hash__(self) -> int:
        return hash((self.high, tuple(self.prices.items())))

    def __repr__(self) -> str:
        return f"MaxPrice(high={self.high!r}, prices={dict(self.prices)!r})"

    def _values(self, elements: Sequence[str]) -> NDArray[np.float64]:
        return np.array([self.prices.get(e, np.nan) for e in elements])


def indicator_values(indicator: str, elements: Sequence[str]) -> NDArray[np.float64]:
    """An indicator of each element, NaN where there is no value, (E,)."""
    return load_element_indicators()[indicator].reindex(list(elements)).to_numpy(float)


def mass_mean(
    fractions: NDArray[np.float64], elements: Sequence[str], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of values (E,) over the elements of alloys (N, E) by mass, (N,).

    NaN where an alloy holds an element without a value.
    """
    (mass,) = of_elements(elements, "atomic_mass")
    mean = fractions @ np.nan_to_num(mass * values) / (fractions @ mass)
    return np.where((fractions[:, np.isnan(values)] > 0).any(1), np.nan, mean)
