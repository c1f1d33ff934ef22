"""A constraint as a preference."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.constraints.base import Constraint
from pyro_hea.design.region import Region
from pyro_hea.errors import ConstraintError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


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
        valid = isinstance(self.weight, Real) and self.weight > 0
        if not isinstance(self.constraint, Constraint) or not valid:
            raise ConstraintError(f"{self!r}: Soft takes a constraint and a weight above 0")

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """Nothing: it never forbids."""
        return np.zeros(len(fractions))

    def cost(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """Penalty of each alloy, nats."""
        missed = self.constraint.excess(fractions, features, region)
        return np.asarray(self.weight * np.minimum(missed, 1e6))
