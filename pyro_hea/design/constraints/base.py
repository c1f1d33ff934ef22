"""The base class of constraints, sequences of them, and checks that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.design.region import TOLERANCE
from pyro_hea.errors import ConstraintError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from pyro_hea.design.region import Region


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

    def __and__(self, other: Constraint | Sequence[Constraint]) -> Constraints:
        """Both together, as a sequence of constraints."""
        return Constraints((self,)) & other


class Constraints(tuple[Constraint, ...]):
    """Constraints that hold together, as `a & b` gives them.

    Examples
    --------
    >>> from pyro_hea.design import MaxElements, MinElements
    >>> MinElements(4) & MaxElements(6) & MaxElements(5)
    (MinElements(count=4), MaxElements(count=6), MaxElements(count=5))
    """

    __slots__ = ()

    def __and__(self, other: Constraint | Sequence[Constraint]) -> Constraints:
        more = (other,) if isinstance(other, Constraint) else tuple(other)
        return Constraints((*self, *more))


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
