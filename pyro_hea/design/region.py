"""The region of compositions that constraints leave: what of them is linear.

Bounds on the fraction of each element, the number of elements, bounds on weighted sums of
fractions and on the distance from alloys. Whether a region holds any alloy at all is decided in
`pyro_hea.design.feasibility`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_hea.errors import UnknownElementError, nearest

GROUPS: dict[str, tuple[str, ...]] = {
    "refractory": ("Ti", "V", "Cr", "Zr", "Nb", "Mo", "Hf", "Ta", "W"),
    "noble": ("Ag", "Au", "Ir", "Os", "Pd", "Rh", "Ru", "Pt"),
    "3d": ("Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn"),
}
"""Elements by group; refractory as in Senkov et al., J. Mater. Res. 33 (2018) 3092."""


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Element symbols of names that are symbols or groups, without repeats.

    Examples
    --------
    >>> expand(["noble", "Cu"])[-2:]
    ('Pt', 'Cu')
    """
    return tuple(dict.fromkeys(e for name in names for e in GROUPS.get(name, (name,))))


TOLERANCE = 1e-9
"""Of a comparison of fractions."""


@dataclass(frozen=True)
class Sum:
    """Bounds on a weighted sum of fractions: `low` ≤ weights · x ≤ `high`."""

    weights: NDArray[np.float64]
    low: float = -np.inf
    high: float = np.inf

    def excess(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much the sum of each alloy (..., E) is outside, relative to the weights."""
        value = fractions @ self.weights
        outside = np.maximum(np.maximum(value - self.high, self.low - value), 0.0)
        return np.asarray(outside / max(float(np.abs(self.weights).max()), 1e-300))


@dataclass(frozen=True)
class Near:
    """At most so far (total variation) from an alloy."""

    centre: NDArray[np.float64]
    distance: float

    def excess(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much each alloy (..., E) is further away."""
        away = np.abs(fractions - self.centre).sum(-1) / 2
        return np.asarray(np.maximum(away - self.distance, 0.0))


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

    def bounded(self, *bounds: Sum | Near) -> Region:
        """The part of the region where these bounds hold as well."""
        return replace(self, linear=(*self.linear, *bounds))

    @property
    def must(self) -> NDArray[np.bool_]:
        """True at the elements that every alloy holds, (E,)."""
        return self.required | (self.lower > 0)

    def amounts(
        self, min_fraction: float, step: float
    ) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Fewest and most steps of each element where it is present, (E,) and (E,).

        An element of which the fewest are more than the most cannot be present.
        """
        units = round(1 / step)
        fewest = np.ceil((np.maximum(self.lower, min_fraction) - TOLERANCE) * units)
        most = np.floor((self.upper + TOLERANCE) * units)
        return np.maximum(fewest, 1).astype(int), most.astype(int)

    def index(self, element: str) -> int:
        """Position of an element."""
        if element not in self.elements:
            hint = nearest(element, (*self.elements, *GROUPS))
            raise UnknownElementError(
                f"no training alloy holds '{element}'.{hint} Designs are made of: "
                f"{', '.join(self.elements)}"
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
