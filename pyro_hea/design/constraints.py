"""Constraints on designed alloys: frozen values that hold exactly on every alloy returned.

Examples
--------
>>> wishes = [AllowedElements("Al", "Co", "Ni"), MaxElements(2)]
>>> region = Region.of(wishes, ("Al", "Co", "Cr", "Ni"))
>>> region.upper.tolist(), region.max_elements
([1.0, 1.0, 0.0, 1.0], 2)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.errors import ConstraintError, UnknownElementError, nearest
from pyro_hea.features import FEATURES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_TOLERANCE = 1e-9
"""Of a comparison of fractions."""


@dataclass(frozen=True)
class Region:
    """What constraints say of each element's fraction and of how many elements there are.

    Attributes
    ----------
    elements : tuple of str
    lower, upper : ndarray, shape (E,)
        Bounds of each fraction, also where the element is present only by its lower bound.
    required : ndarray of bool, shape (E,)
    min_elements, max_elements : int
    """

    elements: tuple[str, ...]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    required: NDArray[np.bool_]
    min_elements: int = 1
    max_elements: int = 1000

    @classmethod
    def of(
        cls,
        constraints: Sequence[Constraint],
        elements: Sequence[str],
        minimum: float = 0.0,
        step: float = _TOLERANCE,
    ) -> Region:
        """The region that all constraints leave.

        Parameters
        ----------
        constraints : sequence of Constraint
        elements : sequence of str
            Elements of the model.
        minimum : float
            Smallest fraction of an element that is present.
        step : float
            Fractions are multiples of it; by default it is so small that they may be anything.

        Raises
        ------
        ConstraintError
            Where they leave nothing, naming those that clash.
        UnknownElementError
            For an element that the model was not trained on.
        """
        if isinstance(constraints, Constraint):
            raise ConstraintError(f"constraints are a sequence: write [{constraints!r}]")
        for constraint in constraints:
            if not isinstance(constraint, Constraint):
                raise ConstraintError(
                    f"{constraint!r} is no constraint; use {', '.join(sorted(_names()))}"
                )
        region = cls._within(constraints, elements)
        fault = region._fault(minimum, step)
        if fault is None:
            return region
        clash = list(constraints)
        for constraint in constraints:  # leave out what the others clash without
            rest = [other for other in clash if other is not constraint]
            if still := cls._within(rest, elements)._fault(minimum, step):
                clash, fault = rest, still
        raise ConstraintError(f"no alloy satisfies {', '.join(map(repr, clash))}: {fault}")

    @classmethod
    def _within(cls, constraints: Sequence[Constraint], elements: Sequence[str]) -> Region:
        count = len(elements)
        region = cls(tuple(elements), np.zeros(count), np.ones(count), np.zeros(count, bool))
        for constraint in constraints:
            region = constraint.tighten(region)
        return region

    @property
    def must(self) -> NDArray[np.bool_]:
        """True at the elements that every alloy holds, (E,)."""
        return self.required | (self.lower > 0)

    def amounts(self, minimum: float, step: float) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Fewest and most steps of each element where it is present, (E,) and (E,).

        An element of which the fewest are more than the most cannot be present.
        """
        units = round(1 / step)
        fewest = np.ceil((np.maximum(self.lower, minimum) - _TOLERANCE) * units)
        most = np.floor((self.upper + _TOLERANCE) * units)
        return np.maximum(fewest, 1).astype(int), most.astype(int)

    def index(self, element: str) -> int:
        """Position of an element."""
        if element not in self.elements:
            raise UnknownElementError(
                f"no training alloy holds '{element}'.{nearest(element, self.elements)} Designs "
                f"are made of: {', '.join(self.elements)}"
            )
        return self.elements.index(element)

    def mask(self, elements: Sequence[str]) -> NDArray[np.bool_]:
        """True at the named elements."""
        mask = np.zeros(len(self.elements), bool)
        mask[[self.index(element) for element in elements]] = True
        return mask

    def _fault(self, minimum: float, step: float) -> str | None:
        """Why no alloy lies in the region, or None where one does."""
        units = round(1 / step)
        fewest, most = self.amounts(minimum, step)
        must, may = self.must, fewest <= most
        if (must & (self.upper <= 0)).any():
            return "a required element is not allowed"
        if (self.lower > self.upper + _TOLERANCE).any():
            return "a lower bound is above the upper"
        if (must & ~may).any():
            return (
                "the bounds of a required element hold no fraction that could be weighed in (at "
                f"least {minimum:g}, in steps of {step:g})"
            )
        if self.min_elements > self.max_elements:
            return "the smallest number of elements is above the largest"
        if must.sum() > self.max_elements:
            return "more elements are required than may be present"
        if may.sum() < self.min_elements:
            return "fewer elements are allowed than must be present"
        # With so many elements, those with the largest upper bounds reach furthest; the lower
        # bounds of all that need not be present are the same.
        last = min(self.max_elements, int(may.sum()))
        order = np.lexsort((-most, ~may, ~must))[:last]
        first = max(self.min_elements, int(must.sum())) - 1
        bottom, top = fewest[order].cumsum()[first:], most[order].cumsum()[first:]
        if top[-1] < units:
            return "the upper bounds do not add up to 100 at.%"
        if bottom[0] > units:
            return "the lower bounds and smallest fractions add up to more than 100 at.%"
        if not ((bottom <= units) & (units <= top)).any():
            return "the upper bounds of few elements and the lower of more both miss 100 at.%"
        return None


class Constraint(ABC):
    """A condition on an alloy that every returned design satisfies."""

    def tighten(self, region: Region) -> Region:
        """The part of a region where the constraint can hold."""
        return region

    @abstractmethod
    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """Whether each alloy satisfies the constraint.

        Parameters
        ----------
        fractions : ndarray, shape (N, E)
        features : DataFrame, shape (N, F)
        region : Region
            Tells what the columns of the fractions are.
        """


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
    """Only these elements."""

    def tighten(self, region: Region) -> Region:
        """Put the other elements' upper bounds to zero."""
        return replace(region, upper=np.where(region.mask(self.elements), region.upper, 0.0))

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """No other element is present."""
        return (fractions[:, ~region.mask(self.elements)] == 0).all(1)


@dataclass(frozen=True, init=False, repr=False)
class ForbiddenElements(_Elements):
    """None of these elements."""

    def tighten(self, region: Region) -> Region:
        """Put these elements' upper bounds to zero."""
        return replace(region, upper=np.where(region.mask(self.elements), 0.0, region.upper))

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """None of them is present."""
        return (fractions[:, region.mask(self.elements)] == 0).all(1)


@dataclass(frozen=True, init=False, repr=False)
class RequiredElements(_Elements):
    """All of these elements, each with at least the smallest fraction that is reported."""

    def tighten(self, region: Region) -> Region:
        """Require them."""
        return replace(region, required=region.required | region.mask(self.elements))

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """All of them are present."""
        return np.asarray((fractions[:, region.mask(self.elements)] > 0).all(1))


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

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """The fraction is within the bounds."""
        x = fractions[:, region.index(self.element)]
        return (x >= self.low - _TOLERANCE) & (x <= self.high + _TOLERANCE)


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

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """The largest fraction is within the bound."""
        return fractions.max(1) <= self.high + _TOLERANCE


@dataclass(frozen=True)
class MinElements(Constraint):
    """At least this many elements."""

    count: int

    def __post_init__(self) -> None:
        _check_count(self, self.count)

    def tighten(self, region: Region) -> Region:
        """Raise the smallest number of elements."""
        return replace(region, min_elements=max(region.min_elements, self.count))

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """Enough elements are present."""
        return (fractions > 0).sum(1) >= self.count


@dataclass(frozen=True)
class MaxElements(Constraint):
    """At most this many elements."""

    count: int

    def __post_init__(self) -> None:
        _check_count(self, self.count)

    def tighten(self, region: Region) -> Region:
        """Lower the largest number of elements."""
        return replace(region, max_elements=min(region.max_elements, self.count))

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """Few enough elements are present."""
        return (fractions > 0).sum(1) <= self.count


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

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """The feature is within the bounds."""
        values = features[self.feature].to_numpy()
        return (values >= self.low) & (values <= self.high)


def _names() -> list[str]:
    return [name for name, value in globals().items() if _is_public_constraint(name, value)]


def _is_public_constraint(name: str, value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Constraint)
        and value is not Constraint
        and not name.startswith("_")
    )
