"""What constraints are, and the region of compositions that a set of them leaves.

A region knows what is linear: bounds on elements, their number, bounds on weighted sums of them,
and the distance from alloys. Whether it holds any alloy is decided by counting, and where there
are sums and distances by mixed-integer linear programming, so that a clash is refused at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.design.bounds import TOLERANCE, Near, Sum
from pyro_hea.design.feasibility import holds_an_alloy
from pyro_hea.design.groups import GROUPS, expand
from pyro_hea.errors import ConstraintError, UnknownElementError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Region:
    """What constraints say of an alloy's composition.

    Attributes
    ----------
    elements : tuple of str
    lower, upper : ndarray, shape (E,)
        Bounds of each fraction, also where the element is present only by its lower bound.
    required : ndarray of bool, shape (E,)
    min_elements, max_elements : int
    linear : tuple of Sum or Near
        What is linear in several elements together.
    known : ndarray, shape (M, E)
        Fractions of the known alloys.
    properties : DataFrame, shape (E, P), or None
        Of the elements, as the features of the model read them.
    """

    elements: tuple[str, ...]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    required: NDArray[np.bool_]
    min_elements: int = 1
    max_elements: int = 1000
    linear: tuple[Sum | Near, ...] = ()
    known: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    properties: pd.DataFrame | None = None

    @classmethod
    def of(
        cls,
        constraints: Sequence[Constraint],
        elements: Sequence[str],
        minimum: float = 0.0,
        step: float = TOLERANCE,
        *,
        known: NDArray[np.float64] | None = None,
        properties: pd.DataFrame | None = None,
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
        known : ndarray, shape (M, E), optional
        properties : DataFrame, shape (E, P), optional
            Without them bounds on features are checked alloy by alloy and not beforehand.

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
                    f"{constraint!r} is no constraint; use {', '.join(_names(Constraint))}"
                )
        count = len(elements)
        everything = cls(
            tuple(elements),
            np.zeros(count),
            np.ones(count),
            np.zeros(count, bool),
            known=np.zeros((0, count)) if known is None else known,
            properties=properties,
        )
        region = everything._within(constraints)
        fault = region._fault(minimum, step)
        if fault is None:
            return region
        clash = list(constraints)
        for constraint in constraints:  # leave out what the others clash without
            rest = [other for other in clash if other is not constraint]
            if still := everything._within(rest)._fault(minimum, step):
                clash, fault = rest, still
        raise ConstraintError(f"no alloy satisfies {', '.join(map(repr, clash))}: {fault}")

    def _within(self, constraints: Iterable[Constraint]) -> Region:
        region: Region = self
        for constraint in constraints:
            region = constraint.tighten(region)
        return region

    def bounded(self, *bounds: Sum | Near) -> Region:
        """The part of the region where these bounds hold as well."""
        return replace(self, linear=(*self.linear, *bounds))

    @property
    def must(self) -> NDArray[np.bool_]:
        """True at the elements that every alloy holds, (E,)."""
        return self.required | (self.lower > 0)

    def amounts(self, minimum: float, step: float) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Fewest and most steps of each element where it is present, (E,) and (E,).

        An element of which the fewest are more than the most cannot be present.
        """
        units = round(1 / step)
        fewest = np.ceil((np.maximum(self.lower, minimum) - TOLERANCE) * units)
        most = np.floor((self.upper + TOLERANCE) * units)
        return np.maximum(fewest, 1).astype(int), most.astype(int)

    def index(self, element: str) -> int:
        """Position of an element."""
        if element not in self.elements:
            raise UnknownElementError(
                f"no training alloy holds '{element}'.{nearest(element, self.elements)} Designs "
                f"are made of: {', '.join(self.elements)}"
            )
        return self.elements.index(element)

    def mask(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """True at the named elements; of a group, at those that the model knows."""
        mask = np.zeros(len(self.elements), bool)
        for name in names:
            members = [e for e in expand([name]) if e in self.elements]
            if name in GROUPS and not members:
                raise UnknownElementError(
                    f"no training alloy holds an element of the group '{name}' "
                    f"({', '.join(GROUPS[name])}). Designs are made of: {', '.join(self.elements)}"
                )
            mask[[self.index(e) for e in (members if name in GROUPS else [name])]] = True
        return mask

    def _fault(self, minimum: float, step: float) -> str | None:
        """Why no alloy lies in the region, or None where one does."""
        units = round(1 / step)
        fewest, most = self.amounts(minimum, step)
        must, may = self.must, fewest <= most
        if (must & (self.upper <= 0)).any():
            return "a required element is not allowed"
        if (self.lower > self.upper + TOLERANCE).any():
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
        if self.linear and not holds_an_alloy(self, minimum, step):
            return (
                "no amounts within the bounds of the elements satisfy those on sums, ratios and "
                "distances"
            )
        return None


class Constraint(ABC):
    """A condition on an alloy that every returned design satisfies."""

    def tighten(self, region: Region) -> Region:
        """The part of a region where the constraint can hold."""
        return region

    @abstractmethod
    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much each alloy misses the constraint, 0 where it holds.

        Parameters
        ----------
        fractions : ndarray, shape (N, E)
        features : DataFrame, shape (N, F)
        region : Region
            Tells what the columns of the fractions are.

        Returns
        -------
        ndarray, shape (N,)
            A fraction of the atoms, a number of elements, or in the unit of a feature.
        """

    def holds(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.bool_]:
        """Whether each alloy satisfies the constraint, (N,); arguments as of `excess`."""
        return np.asarray(self.excess(fractions, features, region) <= TOLERANCE)

    def __and__(self, other: Constraint | Sequence[Constraint]) -> All:
        """Both together, as a sequence of constraints."""
        return All((self,)) & other


class All(tuple[Constraint, ...]):
    """Constraints that hold together, as `a & b` gives them.

    Examples
    --------
    >>> from pyro_hea.design import MaxElements, MinElements
    >>> MinElements(4) & MaxElements(6) & MaxElements(5)
    (MinElements(count=4), MaxElements(count=6), MaxElements(count=5))
    """

    __slots__ = ()

    def __and__(self, other: Constraint | Sequence[Constraint]) -> All:
        more = (other,) if isinstance(other, Constraint) else tuple(other)
        return All((*self, *more))


def _names(kind: Any) -> list[str]:
    """Names of the public constraints."""
    below = [name for sub in kind.__subclasses__() for name in _names(sub)]
    own = [] if kind is Constraint or kind.__name__.startswith("_") else [kind.__name__]
    return sorted({*own, *below})
