"""Constraints on the structure of a crystal; those on its elements are the ones of alloys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from pyro_hea.design.constraints.base import Constraint
from pyro_hea.design.feasibility import feasible_region
from pyro_hea.errors import ConstraintError, nearest
from pyro_hea.materials.crystals import CRYSTAL_SYSTEMS, Prototype, WyckoffStructure
from pyro_hea.materials.crystals.checks import is_neutral, shortest_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.region import Region
    from pyro_hea.materials.crystals import CrystalVocabulary


class CrystalConstraint(ABC):
    """A condition on a crystal that every returned design satisfies."""

    def allows(self, prototype: Prototype) -> bool:
        """Whether crystals of a prototype can satisfy it."""
        return True

    @abstractmethod
    def holds(self, crystal: WyckoffStructure) -> bool:
        """Whether a crystal satisfies it."""


AnyConstraint: TypeAlias = Constraint | CrystalConstraint


def checked_crystal_constraints(constraints: Sequence[AnyConstraint]) -> tuple[AnyConstraint, ...]:
    """Constraints as a tuple, where each is one on elements or on the structure."""
    if isinstance(constraints, Constraint | CrystalConstraint):
        raise ConstraintError(f"constraints are a sequence: write [{constraints!r}]")
    given = [constraints] if isinstance(constraints, str) else list(constraints)
    for constraint in given:
        if not isinstance(constraint, Constraint | CrystalConstraint):
            own = ", ".join(kind.__name__ for kind in CrystalConstraint.__subclasses__())
            raise ConstraintError(
                f"{constraint!r} is no constraint; use {own}, or one of alloys on elements, as "
                "ForbiddenElements('Pb')"
            )
    return tuple(given)


@dataclass(frozen=True, init=False)
class SpaceGroups(CrystalConstraint):
    """One of these space groups, by number."""

    numbers: tuple[int, ...]

    def __init__(self, *numbers: int) -> None:
        for n in numbers or (None,):
            if not isinstance(n, Integral) or not 1 <= n <= 230:
                raise ConstraintError(
                    "SpaceGroups takes numbers from 1 to 230, as in SpaceGroups(225, 227), not "
                    f"{n!r}"
                )
        object.__setattr__(self, "numbers", tuple(map(int, numbers)))

    def allows(self, prototype: Prototype) -> bool:
        """Whether a prototype is in one of them."""
        return prototype.group.number in self.numbers

    def holds(self, crystal: WyckoffStructure) -> bool:
        """Whether a crystal is in one of them."""
        return crystal.number in self.numbers


@dataclass(frozen=True, init=False)
class CrystalSystems(CrystalConstraint):
    """One of these crystal systems, such as "cubic"."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        for name in names or ("",):
            if name not in CRYSTAL_SYSTEMS:
                raise ConstraintError(
                    f"'{name}' is no crystal system.{nearest(str(name), CRYSTAL_SYSTEMS)} There "
                    f"are {', '.join(CRYSTAL_SYSTEMS)}"
                )
        object.__setattr__(self, "names", names)

    def allows(self, prototype: Prototype) -> bool:
        """Whether a prototype is in one of them."""
        return prototype.group.crystal_system in self.names

    def holds(self, crystal: WyckoffStructure) -> bool:
        """Whether a crystal is in one of them."""
        return crystal.group.crystal_system in self.names


@dataclass(frozen=True, init=False)
class Prototypes(CrystalConstraint):
    """One of these prototypes, by label, such as "225:a|b"."""

    labels: tuple[str, ...]

    def __init__(self, *labels: str) -> None:
        if not labels or not all(isinstance(label, str) for label in labels):
            raise ConstraintError(
                f"Prototypes takes labels, as in Prototypes('225:a|b'), not {labels!r}"
            )
        object.__setattr__(self, "labels", labels)

    def allows(self, prototype: Prototype) -> bool:
        """Whether it is one of them."""
        return prototype.label in self.labels

    def holds(self, crystal: WyckoffStructure) -> bool:
        """Whether a crystal is of one of them."""
        return crystal.prototype in self.labels


@dataclass(frozen=True)
class MaxAtoms(CrystalConstraint):
    """At most so many atoms in the primitive cell."""

    count: int

    def __post_init__(self) -> None:
        if not (isinstance(self.count, Integral) and self.count > 0):
            raise ConstraintError(f"MaxAtoms takes a whole number above 0, not {self.count!r}")

    def allows(self, prototype: Prototype) -> bool:
        """Whether a prototype has no more."""
        return prototype.atoms <= self.count

    def holds(self, crystal: WyckoffStructure) -> bool:
        """Whether a crystal has no more."""
        return crystal.atoms <= self.count


@dataclass(frozen=True)
class Neutral(CrystalConstraint):
    """Oxidation states that add up to no charge, by SMACT; alloys of metals pass."""

    def holds(self, crystal: WyckoffStructure) -> bool:
        """Whether there are such states."""
        return is_neutral(crystal.counts)


@dataclass(frozen=True)
class ShortestDistance(CrystalConstraint):
    """No two atoms nearer than a share of the sum of their covalent radii."""

    share: float = 0.75

    def __post_init__(self) -> None:
        if not isinstance(self.share, Real) or not 0 < self.share < 2:
            raise ConstraintError(
                f"ShortestDistance takes a share from 0 to 2, as 0.75, not {self.share!r}"
            )

    def holds(self, crystal: WyckoffStructure) -> bool:
        """Whether none are."""
        return shortest_distance(crystal)[1] >= self.share


@dataclass(frozen=True)
class CrystalRegion:
    """What constraints leave: elements, prototypes, and what is looked at crystal by crystal.

    Attributes
    ----------
    elements : ndarray of bool, shape (E,)
    prototypes : ndarray of bool, shape (P,)
    region : Region
        Of the compositions.
    of_composition : tuple of Constraint
    of_structure : tuple of CrystalConstraint
    """

    elements: NDArray[np.bool_]
    prototypes: NDArray[np.bool_]
    region: Region
    of_composition: tuple[Constraint, ...]
    of_structure: tuple[CrystalConstraint, ...]

    @classmethod
    def of(
        cls, constraints: Sequence[AnyConstraint], vocabulary: CrystalVocabulary
    ) -> CrystalRegion:
        """The region that all constraints leave.

        Raises
        ------
        ConstraintError
            Where they leave no element, or for one that reads features of alloys.
        """
        of_structure = tuple(c for c in constraints if isinstance(c, CrystalConstraint))
        others = tuple(c for c in constraints if not isinstance(c, CrystalConstraint))
        seen = vocabulary.element_seen.numpy()
        region = feasible_region(others, vocabulary.elements)
        for constraint in others:
            try:
                constraint.holds(seen[None] / seen.sum(), pd.DataFrame(index=[0]), region)
            except (KeyError, AttributeError, IndexError):
                raise ConstraintError(
                    f"{constraint!r} reads features of alloys, which crystals do not have"
                ) from None
        elements = seen & (region.upper > 0)
        if not elements.any():
            raise ConstraintError("the constraints leave no element that a training crystal holds")
        kept = np.array([all(c.allows(p) for c in of_structure) for p in vocabulary.prototypes])
        kinds = np.array([len(p.kinds) for p in vocabulary.prototypes])
        kept &= (kinds >= region.min_elements) & (kinds <= region.max_elements)
        kept &= kinds <= elements.sum()
        return cls(elements, kept, region, others, of_structure)

    def holds(self, fractions: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which compositions (N, E) satisfy the constraints on them, (N,)."""
        nothing = pd.DataFrame(index=range(len(fractions)))
        held = np.ones(len(fractions), bool)
        for constraint in self.of_composition:
            held &= constraint.holds(fractions, nothing, self.region)
        return held
