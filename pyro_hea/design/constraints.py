"""Constraints on designed alloys: frozen values that hold exactly on every alloy returned.

Examples
--------
>>> wishes = AllowedElements("Al", "Co", "Ni") & MaxElements(2)
>>> region = Region.of(wishes, ("Al", "Co", "Cr", "Ni"))
>>> region.upper.tolist(), region.max_elements
([1.0, 1.0, 0.0, 1.0], 2)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist

from pyro_hea.composition import load_tables, parse_composition
from pyro_hea.design.bounds import TOLERANCE, Near, Sum
from pyro_hea.design.groups import GROUPS
from pyro_hea.design.region import Constraint, Region
from pyro_hea.errors import ConstraintError, nearest
from pyro_hea.features import FEATURES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, init=False)
class _Elements(Constraint):
    """A constraint on some named elements."""

    elements: tuple[str, ...]

    def __init__(self, *elements: str) -> None:
        if not elements or not all(isinstance(element, str) for element in elements):
            raise ConstraintError(
                f"{type(self).__name__} takes element symbols, as in "
                f"{type(self).__name__}('Al', 'Co'), not {elements!r}"
            )
        object.__setattr__(self, "elements", elements)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.elements))})"


@dataclass(frozen=True, init=False, repr=False)
class AllowedElements(_Elements):
    """Only these elements; names of groups (`refractory`, `noble`, `3d`) stand for theirs."""

    def tighten(self, region: Region) -> Region:
        """Put the other elements' upper bounds to zero."""
        return replace(region, upper=np.where(region.mask(self.elements), region.upper, 0.0))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """Share of the other elements."""
        return np.asarray(fractions[:, ~region.mask(self.elements)].sum(1))


@dataclass(frozen=True, init=False, repr=False)
class ForbiddenElements(_Elements):
    """None of these elements, or of those of a named group."""

    def tighten(self, region: Region) -> Region:
        """Put these elements' upper bounds to zero."""
        return replace(region, upper=np.where(self._mask(region), 0.0, region.upper))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """Their share."""
        return np.asarray(fractions[:, self._mask(region)].sum(1))

    def _mask(self, region: Region) -> NDArray[np.bool_]:
        """What the model does not know of a group needs no forbidding."""
        known = [e for name in self.elements for e in GROUPS.get(name, (name,))]
        groups = {e for name in self.elements if name in GROUPS for e in GROUPS[name]}
        return region.mask([e for e in known if e in region.elements or e not in groups])


@dataclass(frozen=True, init=False, repr=False)
class RequiredElements(_Elements):
    """All of these elements, each with at least the smallest fraction that is reported."""

    def tighten(self, region: Region) -> Region:
        """Require them."""
        for name in self.elements:
            if name in GROUPS:
                raise ConstraintError(
                    f"{self!r}: a group is not required as a whole; write "
                    f"SumBounds([{name!r}], 0.01) for at least 1 at.% of it together"
                )
        return replace(region, required=region.required | region.mask(self.elements))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """How many of them are missing."""
        return np.asarray((fractions[:, region.mask(self.elements)] == 0).sum(1).astype(float))


def _outside(values: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Distance of each value from an interval; infinite for NaN."""
    missed = np.maximum(np.maximum(low - values, values - high), 0.0)
    return np.where(np.isnan(values), np.inf, missed)


def _check_bounds(name: str, low: float, high: float) -> None:
    if not low <= high:
        raise ConstraintError(f"{name}: the lower bound {low} is above the upper bound {high}")


@dataclass(frozen=True)
class ElementBounds(Constraint):
    """Bounds on the fraction of one element, e.g. `ElementBounds("Co", 0, 0.05)`."""

    element: str
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _check_bounds(repr(self), self.low, self.high)
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
        return _outside(fractions[:, region.index(self.element)], self.low, self.high)


@dataclass(frozen=True)
class LargestFraction(Constraint):
    """No element above this fraction."""

    high: float

    def __post_init__(self) -> None:
        if not 0 < self.high <= 1:
            raise ConstraintError(f"{self!r}: the bound is a fraction above 0 and at most 1")

    def tighten(self, region: Region) -> Region:
        """Tighten every upper bound."""
        return replace(region, upper=np.minimum(region.upper, self.high))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much the largest fraction is above."""
        return _outside(fractions.max(1), -np.inf, self.high)


@dataclass(frozen=True)
class MinElements(Constraint):
    """At least this many elements."""

    count: int

    def __post_init__(self) -> None:
        _check_count(self, self.count)

    def tighten(self, region: Region) -> Region:
        """Raise the smallest number of elements."""
        return replace(region, min_elements=max(region.min_elements, self.count))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """How many more are needed."""
        return _outside((fractions > 0).sum(1), self.count, np.inf)


@dataclass(frozen=True)
class MaxElements(Constraint):
    """At most this many elements."""

    count: int

    def __post_init__(self) -> None:
        _check_count(self, self.count)

    def tighten(self, region: Region) -> Region:
        """Lower the largest number of elements."""
        return replace(region, max_elements=min(region.max_elements, self.count))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """How many there are too many."""
        return _outside((fractions > 0).sum(1), 0, self.count)


def _check_count(constraint: Constraint, count: int) -> None:
    if not isinstance(count, int) or count < 1:
        raise ConstraintError(f"{constraint!r}: the number of elements is a whole number above 0")


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
        _check_bounds(repr(self), self.low, self.high)

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
        return _add(region, Sum(weights, self.low + margin, self.high - margin))

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """Whether each alloy is within the bounds, to the last digit."""
        return self.excess(fractions, features, region) <= 0

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much the feature is outside, in its unit; infinite where it is undefined."""
        return _outside(features[self.feature].to_numpy(float), self.low, self.high)


def _add(region: Region, *bounds: Sum | Near) -> Region:
    return replace(region, linear=(*region.linear, *bounds))


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
        _check_bounds(repr(self), self.low, self.high)
        if self.low < 0 or self.high > 1:
            raise ConstraintError(f"{self!r}: bounds are fractions from 0 to 1, not at.%")

    def tighten(self, region: Region) -> Region:
        """Bound the sum."""
        return _add(region, self._sum(region))

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
        _check_bounds(repr(self), self.low, self.high)
        if self.low < 0 or self.numerator == self.denominator:
            raise ConstraintError(f"{self!r}: a ratio of two elements is 0 or more")

    def tighten(self, region: Region) -> Region:
        """Bound two differences."""
        return _add(region, *self._sums(region))

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


@dataclass(frozen=True)
class NearAlloy(Constraint):
    """At most so far from an alloy: total variation, the share of the atoms that is exchanged."""

    alloy: str
    distance: float

    def __post_init__(self) -> None:
        parse_composition(self.alloy)
        if not 0 <= self.distance <= 1:
            raise ConstraintError(f"{self!r}: the distance is a share of the atoms from 0 to 1")

    def tighten(self, region: Region) -> Region:
        """Bound the distance."""
        return _add(region, self._near(region))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much it is further away."""
        return self._near(region).excess(fractions)

    def _near(self, region: Region) -> Near:
        centre = np.zeros(len(region.elements))
        for element, fraction in parse_composition(self.alloy).items():
            centre[region.index(element)] = fraction
        return Near(centre, self.distance)


@dataclass(frozen=True)
class Novel(Constraint):
    """At least so far from every known alloy: total variation, a share of the atoms."""

    distance: float

    def __post_init__(self) -> None:
        if not 0 <= self.distance <= 1:
            raise ConstraintError(f"{self!r}: the distance is a share of the atoms from 0 to 1")

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much the nearest known alloy is too near."""
        if not len(region.known) or not self.distance:
            return np.zeros(len(fractions))
        nearest_known = cdist(fractions, region.known, "cityblock").min(1) / 2
        return np.asarray(np.maximum(self.distance - nearest_known, 0.0))


@dataclass(frozen=True)
class Density(Constraint):
    """Bounds on the density of an ideal mixture in g/cm³, Σ c M / Σ c V of the element table."""

    low: float = 0.0
    high: float = float("inf")

    def __post_init__(self) -> None:
        _check_bounds(repr(self), self.low, self.high)

    def tighten(self, region: Region) -> Region:
        """Bound two sums: mass against volume."""
        return _add(region, *self._sums(region))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much the density is outside, g/cm³."""
        mass, volume = _of_elements(region, "atomic_mass", "molar_volume")
        return _outside(fractions @ mass / (fractions @ volume), self.low, self.high)

    def _sums(self, region: Region) -> list[Sum]:
        mass, volume = _of_elements(region, "atomic_mass", "molar_volume")
        sums = [Sum(mass - self.low * volume, low=0.0)]
        if np.isfinite(self.high):
            sums.append(Sum(mass - self.high * volume, high=0.0))
        return sums


@dataclass(frozen=True)
class MaxPrice(Constraint):
    """At most so much per kilogram by the user's own prices, e.g. `MaxPrice(20, {"Fe": 0.1, …})`.

    Raw materials only. An element without a price is not used.
    """

    high: float
    prices: Mapping[str, float]

    def __post_init__(self) -> None:
        bad = {e: p for e, p in dict(self.prices).items() if not 0 <= p < np.inf}
        if not self.prices or bad:
            raise ConstraintError(f"MaxPrice needs prices of 0 or more by element, not {bad}")
        object.__setattr__(self, "prices", MappingProxyType(dict(sorted(self.prices.items()))))

    def __hash__(self) -> int:
        return hash((self.high, tuple(self.prices.items())))

    def __repr__(self) -> str:
        return f"MaxPrice(high={self.high!r}, prices={dict(self.prices)!r})"

    def tighten(self, region: Region) -> Region:
        """Bound the sum of what each element costs more; close those without a price."""
        priced = np.array([e in self.prices for e in region.elements])
        region = replace(region, upper=np.where(priced, region.upper, 0.0))
        return _add(region, Sum(self._dearer(region), high=0.0))

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much a kilogram is too dear; infinite with an element without a price."""
        (mass,) = _of_elements(region, "atomic_mass")
        dearer = (fractions @ self._dearer(region)) / (fractions @ mass)
        priced = np.array([e in self.prices for e in region.elements])
        return np.where((fractions[:, ~priced] > 0).any(1), np.inf, np.maximum(dearer, 0.0))

    def _dearer(self, region: Region) -> NDArray[np.float64]:
        (mass,) = _of_elements(region, "atomic_mass")
        price = np.array([self.prices.get(e, self.high) for e in region.elements])
        return np.asarray(mass * (price - self.high))


@dataclass(frozen=True)
class Soft(Constraint):
    """Prefer what satisfies a constraint, without insisting.

    A miss costs `weight` nats for each unit of the constraint's excess: for all of the atoms, for
    an element, or for a unit of the feature. `Soft(ElementBounds("Co", 0, 0), 100)` counts a nat
    for each at.% of cobalt.
    """

    constraint: Constraint
    weight: float

    def __post_init__(self) -> None:
        if not isinstance(self.constraint, Constraint) or not self.weight > 0:
            raise ConstraintError(f"{self!r}: Soft takes a constraint and a weight above 0")

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """Nothing: it never forbids."""
        return np.zeros(len(fractions))

    def cost(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """Nats by which each alloy is less welcome."""
        missed = self.constraint.excess(fractions, features, region)
        return np.asarray(self.weight * np.minimum(missed, 1e6))


def _of_elements(region: Region, *names: str) -> list[NDArray[np.float64]]:
    """Properties of the region's elements, of the field's table."""
    table = load_tables("field").properties.loc[list(region.elements)]
    return [table[name].to_numpy(float) for name in names]
