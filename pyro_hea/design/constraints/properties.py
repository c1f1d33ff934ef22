"""Bounds on the features and the density of an alloy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.constraints.base import Constraint, check_bounds, outside
from pyro_hea.design.region import TOLERANCE, Region, Sum
from pyro_hea.errors import ConstraintError, nearest
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.materials.alloys.features import FEATURES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FeatureBounds(Constraint):
    """Bounds on a feature in its unit, e.g. `FeatureBounds("mixing_enthalpy", -15, 5)`."""

    feature: str
    low: float = field(default=-np.inf)
    high: float = field(default=np.inf)

    def __post_init__(self) -> None:
        if self.feature not in FEATURES:
            raise ConstraintError(
                f"'{self.feature}' is no feature.{nearest(self.feature, FEATURES)} Features: "
                f"{', '.join(FEATURES)}"
            )
        check_bounds(repr(self), self.low, self.high)

    def __repr__(self) -> str:
        bounds = {"low": self.low, "high": self.high}
        finite = [f", {name}={bound!r}" for name, bound in bounds.items() if np.isfinite(bound)]
        return f"FeatureBounds({self.feature!r}{''.join(finite)})"

    def tighten(self, region: Region) -> Region:
        """Where the feature is a mean over the elements, bound that sum."""
        if region.properties is None or self.feature not in region.properties:
            return region
        weights = region.properties[self.feature].to_numpy(float)
        margin = 3 * TOLERANCE * float(np.abs(weights).max())  # so that rounding errors stay inside
        if self.high - self.low < 4 * margin:
            margin = 0.0
        return region.bounded(Sum(weights, self.low + margin, self.high - margin))

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """Whether each alloy is within the bounds, to the last digit."""
        return self.excess(fractions, features, region) <= 0

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much the feature is outside, in its unit; infinite where it is undefined."""
        return outside(features[self.feature].to_numpy(float), self.low, self.high)


@dataclass(frozen=True)
class Density(Constraint):
    """Bounds on the density of an ideal mixture in g/cm³, Σ c M / Σ c V of the element table."""

    low: float = 0.0
    high: float = float("inf")

    def __post_init__(self) -> None:
        check_bounds(repr(self), self.low, self.high)

    def tighten(self, region: Region) -> Region:
        """Bound two sums: mass against volume."""
        return region.bounded(*self._sums(region))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much the density is outside, g/cm³."""
        return outside(density(fractions, region.elements), self.low, self.high)

    def _sums(self, region: Region) -> list[Sum]:
        mass, volume = of_elements(region.elements, "atomic_mass", "molar_volume")
        sums = [Sum(mass - self.low * volume, low=0.0)]
        if np.isfinite(self.high):
            sums.append(Sum(mass - self.high * volume, high=0.0))
        return sums


def density(fractions: NDArray[np.float64], elements: Sequence[str]) -> NDArray[np.float64]:
    """Density of ideal mixtures in g/cm³, Σ c M / Σ c V, of alloys (N, E), (N,)."""
    mass, volume = of_elements(elements, "atomic_mass", "molar_volume")
    return np.asarray(fractions @ mass / (fractions @ volume))


def of_elements(elements: Sequence[str], *names: str) -> list[NDArray[np.float64]]:
    """Properties of elements, of the field's table."""
    table = load_tables("field").properties.loc[list(elements)]
    return [table[name].to_numpy(float) for name in names]
