"""Prototypes: space group and Wyckoff letters of anonymous elements, and crystals seen as such.

A crystal of a prototype is told by which element is where (its assignment), the shape of its cell
and its free coordinates. There are many ways to write the same crystal: other origins, axes,
atoms of an orbit. `align` takes the one nearest to a reference crystal of the prototype, so that
coordinates of its crystals can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pyro_hea.crystals.features import roles_of
from pyro_hea.crystals.symmetry import Floats, SpaceGroup, space_group, wrap
from pyro_hea.crystals.wyckoff import (
    Orbit,
    WyckoffStructure,
    cell_matrix,
    cell_parameters,
    full_lattice,
    orbit_order,
)
from pyro_hea.errors import StructureError

SHAPE = ("log_b_over_a", "log_c_over_a", "alpha", "beta", "gamma")
"""Parameters of the shape of a cell: logarithms and radians."""

_AS_GOOD = 0.02  # root mean square of fractional coordinates within which two ways are equal


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
        unit = full_lattice(group, free)
        volume = math.exp(log_volume) * self.atoms * len(group.centring)
        scale = (volume / abs(np.linalg.det(cell_matrix(unit)))) ** (1 / 3)
        lattice = tuple(
            value * scale if i < 3 else value
            for i, value in zip(group.free_lattice, free, strict=True)
        )
        return WyckoffStructure(self.group.number, lattice, tuple(sorted(orbits, key=orbit_order)))


@dataclass(frozen=True)
class Aligned:
    """A crystal as one of its prototype.

    Attributes
    ----------
    elements : tuple of str
        Of each role.
    assignment : int
        Place among `assignments`.
    log_volume : float
        Logarithm of the volume per atom in Å³.
    shape : ndarray, shape (5,)
        `SHAPE`.
    coordinates : ndarray, shape (K,)
        Free coordinates in [0, 1), in the order of `Prototype.orbits`.
    distance : float
        Root mean square difference to the coordinates of the reference.
    """

    elements: tuple[str, ...]
    assignment: int
    log_volume: float
    shape: Floats
    coordinates: Floats
    distance: float


def prototype_like(crystal: WyckoffStructure) -> tuple[Prototype, Aligned]:
    """The prototype whose reference is this crystal, in the canonical setting."""
    crystal = crystal.canonical()
    group, counts, letters = crystal.group, crystal.counts, crystal.letters
    kinds = sorted(counts, key=lambda e: (counts[e], letters[e]))
    own = sorted(crystal.orbits, key=lambda o: (kinds.index(o.element), o.letter, o.point))
    coordinates = [
        value
        for orbit in own
        for value in group.parameters(orbit.letter, np.array(orbit.point))[0].tolist()
    ]
    prototype = Prototype(
        crystal.prototype,
        tuple(letters[element] for element in kinds),
        tuple(coordinates),
        tuple(cell_shape(crystal.cell_parameters).tolist()),
    )
    return prototype, align(crystal, prototype)


def align(crystal: WyckoffStructure, prototype: Prototype) -> Aligned:
    """See a crystal as one of its prototype, as near to the reference as can be.

    Settings of the space group, shifts along polar axes, the mirror image of a chiral crystal,
    points of an orbit and the order of orbits with one letter are gone through. Of assignments
    that are as good the first is taken.

    Raises
    ------
    StructureError
        If the crystal is of another prototype.
    """
    group, roles = crystal.group, roles_of(crystal.counts)
    ways = assignments(formula_type(crystal.counts))
    best: list[tuple[float, Floats, Floats] | None] = [None] * len(ways)
    for setting in group.settings:
        letters = {
            element: "".join(sorted(setting.letters[x] for x in word))
            for element, word in crystal.letters.items()
        }
        matching = [
            k
            for k, way in enumerate(ways)
            if len(roles) == len(way) == len(prototype.kinds)
            and all(
                letters[roles[role]] == kind
                for role, kind in zip(way, prototype.kinds, strict=True)
            )
        ]
        if not matching:
            continue
        matrix = setting.lattice(cell_matrix(crystal.cell_parameters))
        shape = cell_shape(cell_parameters(matrix))
        off = float(np.square(shape - prototype.reference_shape).sum())
        moved = [
            (
                orbit.element,
                setting.letters[orbit.letter],
                setting.rotation @ np.array(orbit.point) + setting.translation,
            )
            for orbit in crystal.orbits
        ]
        for k in matching:
            of_kind = [roles[role] for role in ways[k]]
            for squares, found in _placed(group, prototype, moved, of_kind):
                distance = math.sqrt((squares + off) / max(1, prototype.free))
                known = best[k]
                if known is None or distance < known[0] - 1e-9:
                    best[k] = (distance, shape, found)
    distances = [np.inf if way is None else way[0] for way in best]
    if not np.isfinite(min(distances)):
        raise StructureError(f"{crystal.formula} is of {crystal.prototype}, not {prototype.label}")
    chosen = next(k for k, d in enumerate(distances) if d <= min(distances) + _AS_GOOD)
    way = best[chosen]
    assert way is not None
    distance, shape, found = way
    volume = math.log(crystal.volume_per_atom)
    return Aligned(tuple(roles), chosen, volume, shape, found % 1, distance)


def _placed(
    group: SpaceGroup,
    prototype: Prototype,
    moved: Sequence[tuple[str, str, Floats]],
    of_kind: Sequence[str],
) -> list[tuple[float, Floats]]:
    """Ways to put orbits on those of the prototype: sum of squares and coordinates (K,)."""
    places: dict[tuple[str, int], list[int]] = {}
    for k, place in enumerate(prototype.orbits):
        places.setdefault(place, []).append(k)
    own = {
        (letter, kind): [p for e, x, p in moved if (e, x) == (of_kind[kind], letter)]
        for letter, kind in places
    }
    reference = np.array(prototype.reference)
    found = []
    for shift in _polar_shifts(group, prototype, places, own):
        squares, coordinates = 0.0, np.empty(prototype.free)
        for place, indices in places.items():
            position = group.position(place[0])
            if not position.freedom:
                continue
            targets = np.array([reference[prototype.slices[k]] for k in indices])
            costs = np.empty((len(indices), len(indices)))
            nearest = np.empty((len(indices), len(indices), position.freedom))
            for row, point in enumerate(own[place]):
                choices = group.parameters(place[0], point + shift)
                off = wrap(choices[:, None] - targets)  # (choices, places, freedom)
                square = np.square(off).sum(-1)
                at = square.argmin(0)
                costs[row] = square.min(0)
                nearest[row] = targets + off[at, np.arange(len(targets))]
            rows, columns = linear_sum_assignment(costs)
            squares += float(costs[rows, columns].sum())
            for row, column in zip(rows, columns, strict=True):
                coordinates[prototype.slices[indices[column]]] = nearest[row, column]
        found.append((squares, coordinates))
    return found


def _polar_shifts(
    group: SpaceGroup,
    prototype: Prototype,
    places: Mapping[tuple[str, int], Sequence[int]],
    own: Mapping[tuple[str, int], Sequence[Floats]],
) -> list[Floats]:
    """Shifts along polar axes that put some orbit where one of the reference is."""
    axes = list(group.polar_axes)
    if not axes:
        return [np.zeros(3)]
    rarest = min(places, key=lambda place: len(places[place]))
    position = group.position(rarest[0])
    point = own[rarest][0]
    shifts = []
    for k in places[rarest]:
        target = position.at(np.array(prototype.reference[prototype.slices[k]]))
        for image in group.images(point):
            shift = np.zeros(3)
            shift[axes] = wrap(target - image)[axes]
            shifts.append(shift)
    return list(np.unique(np.round(shifts, 6), axis=0))


def cell_shape(parameters: Sequence[float]) -> Floats:
    """`SHAPE` of a cell with a, b, c (any unit), α, β, γ (degrees), (5,)."""
    a, b, c, *angles = parameters
    return np.array([math.log(b / a), math.log(c / a), *np.radians(angles)])


def shape_mask(group: SpaceGroup) -> NDArray[np.bool_]:
    """Which of `SHAPE` are free, (5,)."""
    return np.array([place in group.free_lattice for place in (1, 2, 3, 4, 5)])
