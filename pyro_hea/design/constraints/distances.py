"""How far an alloy is from others, in total variation: the share of the atoms that differs."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from pyro_hea.design.constraints.base import Constraint
from pyro_hea.design.region import Near, Region
from pyro_hea.errors import ConstraintError
from pyro_hea.materials.alloys.amounts import parse_composition

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class NearAlloy(Constraint):
    """At most so far from an alloy: total variation, the share of the atoms that is exchanged."""

    alloy: str
    distance: float

    def __post_init__(self) -> None:
        parse_composition(self.alloy)
        if not (isinstance(self.distance, Real) and 0 <= self.distance <= 1):
            raise ConstraintError(f"{self!r}: the distance is a share of the atoms from 0 to 1")

    def tighten(self, region: Region) -> Region:
        """Bound the distance."""
        return region.bounded(self._near(region))

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
        if not (isinstance(self.distance, Real) and 0 <= self.distance <= 1):
            raise ConstraintError(f"{self!r}: the distance is a share of the atoms from 0 to 1")

    def excess(
        self, fractions: NDArray[np.float64], features: pd.DataFrame, region: Region
    ) -> NDArray[np.float64]:
        """By how much the nearest known alloy is too near."""
        if not len(region.known) or not self.distance:
            return np.zeros(len(fractions))
        # atoms of a known alloy in elements that none here holds are one coordinate of it
        used = (fractions > 0).any(0)
        beyond = region.known[:, ~used].sum(1)
        near = beyond < self.distance
        if not near.any():
            return np.zeros(len(fractions))
        # 1 is added to all coordinates: beside 0 the tree splits at denormal numbers, without end
        # where the processor takes these for 0 (torch.set_flush_denormal)
        tree = KDTree(1 + np.column_stack([region.known[near][:, used], beyond[near]]))
        here = 1 + np.column_stack([fractions[:, used], np.zeros(len(fractions))])
        away = tree.query(here, p=1, distance_upper_bound=2 * self.distance)[0]
        return np.asarray(np.maximum(self.distance - away / 2, 0.0))
