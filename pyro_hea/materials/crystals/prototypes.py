"""Prototypes: space group and Wyckoff letters of anonymous elements, and crystals seen as such.

A crystal of a prototype is told by which element is where (its assignment), the shape of its cell
and its free coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from pyro_hea.errors import StructureError
from pyro_hea.materials.crystals.cells import Floats, cell_matrix, full_lattice
from pyro_hea.materials.crystals.symmetry import SpaceGroup, space_group
from pyro_hea.materials.crystals.wyckoff import Orbit, WyckoffStructure, orbit_order

SHAPE = ("log_b_over_a", "log_c_over_a", "alpha", "beta", "gamma")
"""Parameters of the shape of a cell: logarithms and radians."""


def formula_type(counts: Mapping[str, int]) -> tuple[int, ...]:
    """Smallest whole amounts, ascending: the anonymous formula.

    Examples
    --------
    >>> formula_type({"Ti": 2, "O": 6, "Sr": 2})
    (1, 1, 3)
    """
    divisor = math.gcd(*counts.values())
    return tuple(sorted(count // divisor for count in counts.values()))


@cache
def assignments(counts: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Ways to put roles on kinds of places with the same counts, the identity first.

    Entry k of each is the role on kind k.

    Examples
    --------
    >>> assignments((1, 1, 3))
    ((0, 1, 2), (1, 0, 2))
    """
    groups = [[i for i, n in enumerate(counts) if n == m] for m in sorted(set(counts))]
    choices = product(*(permutations(group) for group in groups))
    return tuple(tuple(role for part in choice for role in part) for choice in choices)


@dataclass(frozen=True)
class Prototype:
    """Space group and Wyckoff letters of anonymous elements.

    Attributes
    ----------
    label : str
        As `WyckoffStructure.prototype`.
    kinds : tuple of str
        Wyckoff letters of each kind of atom, kinds by their number of atoms.
    reference : tuple of float
        Free coordinates of a crystal of the prototype, orbit by orbit; (K,).
    reference_shape : tuple of float
        Its `SHAPE`.
    members : int
        Number of crystals that it was made from.
    """

    label: str
    kinds: tuple[str, ...]
    reference: tuple[float, ...]
    reference_shape: tuple[float, ...]
    members: int = 1

    @property
    def group(self) -> SpaceGroup:
        """The space group."""
        return space_group(int(self.label.split(":")[0]))

    @cached_property
    def orbits(self) -> tuple[tuple[str, int], ...]:
        """Wyckoff letter and kind of each orbit."""
        return tuple((letter, k) for k, letters in enumerate(self.kinds) for letter in letters)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Atoms of each kind in the primitive cell."""
        group = self.group
        return tuple(sum(group.multiplicity(x) for x in letters) for letters in self.kinds)

    @property
    def formula_type(self) -> tuple[int, ...]:
        """Smallest whole amounts, ascending."""
        divisor = math.gcd(*self.counts)
        return tuple(count // divisor for count in self.counts)

    @property
    def atoms(self) -> int:
        """Atoms in the primitive cell."""
        return sum(self.counts)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where the free coordinates of each orbit are among all of them."""
        ends = np.cumsum([self.group.position(letter).freedom for letter, _ in self.orbits])
        return tuple(slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends, strict=True))

    @property
    def free(self) -> int:
        """Number of free coordinates."""
        return self.slices[-1].stop

    def crystal(
        self,
        elements: Sequence[str],
        assignment: int,
        log_volume: float,
        shape: Sequence[float],
        coordinates: Sequence[float],
    ) -> WyckoffStructure:
        """The crystal that these numbers describe; the inverse of `align`.

        Parameters
        ----------
        elements : sequence of str
            Of each role, in the order of `roles_of`.
        assignment : int
            Place among `assignments`.
        log_volume : float
            Logarithm of the volume per atom in Å³.
        shape : sequence of float
            `SHAPE`; what the crystal system fixes is not read.
        coordinates : sequence of float
            Free coordinates, (K,).

        Raises
        ------
        StructureError
            If the elements are too few or too many, or no cell has this shape.
        """
        if len(elements) != len(self.kinds):
            raise StructureError(
                f"prototype {self.label} has {len(self.kinds)} elements, not {len(elements)}"
            )
        group = self.group
        role_of = assignments(self.formula_type)[assignment]
        orbits = []
        for (letter, kind), part in zip(self.orbits, self.slices, strict=True):
            point = group.position(letter).at(np.asarray(coordinates[part], float)) % 1
            x, y, z = (float(value) for value in point)
            orbits.append(Orbit(elements[role_of[kind]], letter, (x, y, z)))
        ratios = [1.0, math.exp(shape[0]), math.exp(shape[1])]
        angles = [math.degrees(angle) for angle in shape[2:]]
        free = [([*ratios, *angles])[i] for i in group.free_lattice]
        unit = full_lattice(group.crystal_system, free)
        volume = math.exp(log_volume) * self.atoms * len(group.centring)
        scale = (volume / abs(np.linalg.det(cell_matrix(unit)))) ** (1 / 3)
        lattice = tuple(
            value * scale if i < 3 else value
            for i, value in zip(group.free_lattice, free, strict=True)
        )
        return WyckoffStructure(self.group.number, lattice, tuple(sorted(orbits, key=orbit_order)))


def cell_shape(parameters: Sequence[float]) -> Floats:
    """`SHAPE` of a cell with a, b, c (any unit), α, β, γ (degrees), (5,)."""
    a, b, c, *angles = parameters
    return np.array([math.log(b / a), math.log(c / a), *np.radians(angles)])


def shape_mask(group: SpaceGroup) -> NDArray[np.bool_]:
    """Which of `SHAPE` are free, (5,)."""
    return np.array([place in group.free_lattice for place in (1, 2, 3, 4, 5)])
