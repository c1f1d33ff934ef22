"""Which elements an alloy holds, and how many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.constraints.base import Constraint, outside
from pyro_hea.design.region import GROUPS, Region, expand
from pyro_hea.errors import ConstraintError
from pyro_hea.materials.alloys.formula import SYMBOLS

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
        # an element that no training alloy holds is absent from every design
        there = [e for e in expand(self.elements) if e in region.elements or e not in SYMBOLS]
        return region.mask(there)


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
        return outside((fractions > 0).sum(1), self.count, np.inf)


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
        return outside((fractions > 0).sum(1), 0, self.count)


def _check_count(constraint: Constraint, count: int) -> None:
    if not isinstance(count, int) or count < 1:
        raise ConstraintError(f"{constraint!r}: the number of elements is a whole number above 0")
