"""Space groups in one setting each: operations, Wyckoff positions, changes of origin.

The setting is the first Hall number that spglib lists for a space group: origin choice 1, axis b
unique, hexagonal axes. The Wyckoff positions are those of `data/wyckoff.csv`, built with spglib.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from importlib.resources import files
from types import MappingProxyType

import numpy as np
import pandas as pd
import spglib
from numpy.typing import NDArray

from pyro_hea.errors import StructureError

Floats = NDArray[np.float64]

SAME_POINT = 2e-3
"""Fractional coordinates up to which two images are one atom; stored ones have five decimals."""

_GRID = 24  # changes of origin are multiples of 1/24

CRYSTAL_SYSTEMS = (
    "triclinic",
    "monoclinic",
    "orthorhombic",
    "tetragonal",
    "trigonal",
    "hexagonal",
    "cubic",
)
_LAST = (2, 15, 74, 142, 167, 194, 230)  # last space group of each crystal system

# Free parameters among a, b, c, alpha, beta, gamma.
FREE_LATTICE: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "triclinic": (0, 1, 2, 3, 4, 5),
        "monoclinic": (0, 1, 2, 4),
        "orthorhombic": (0, 1, 2),
        "tetragonal": (0, 2),
        "trigonal": (0, 2),
        "hexagonal": (0, 2),
        "cubic": (0,),
    }
)

# Basis of a primitive cell, rows in the axes of the standard cell.
_PRIMITIVE = {
    "P": np.eye(3),
    "A": np.array([[2, 0, 0], [0, 1, -1], [0, 1, 1]]) / 2,
    "C": np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 2]]) / 2,
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}


def wrap(difference: Floats) -> Floats:
    """Differences of fractional coordinates, in [-0.5, 0.5]."""
    return difference - np.rint(difference)


@dataclass(frozen=True)
class WyckoffPosition:
    """One Wyckoff position, through its first point: `basis @ parameters + origin`.

    Attributes
    ----------
    letter : str
    multiplicity : int
        Atoms in the standard cell.
    site_symmetry : str
    basis : ndarray of int, shape (3, freedom)
        Each parameter is itself one of the coordinates.
    origin : ndarray, shape (3,)
    """

    letter: str
    multiplicity: int
    site_symmetry: str
    basis: Floats
    origin: Floats

    @property
    def freedom(self) -> int:
        """Number of free coordinates."""
        return self.basis.shape[1]

    @cached_property
    def rows(self) -> NDArray[np.int_]:
        """Which coordinate each parameter is, (freedom,)."""
        alone = np.count_nonzero(self.basis, axis=1) == 1
        return np.array(
            [np.flatnonzero((column == 1) & alone)[0] for column in self.basis.T], dtype=int
        )

    @cached_property
    def _inverse(self) -> Floats:
        return np.asarray(np.linalg.pinv(self.basis).T, float)

    def at(self, parameters: Floats) -> Floats:
        """Position of the first atom, (..., 3), of parameters (..., freedom)."""
        return np.asarray(parameters @ self.basis.T + self.origin)

    def parameters(self, points: Floats) -> tuple[Floats, Floats]:
        """Nearest parameters (..., freedom) in [0, 1) of points (..., 3), and how far off."""
        found = points[..., self.rows]
        rest = wrap(points - self.at(found))
        found = found + rest @ self._inverse
        return found % 1, np.abs(wrap(points - self.at(found))).max(-1)


@dataclass(frozen=True)
class SpaceGroup:
    """A space group; use `space_group`, which makes each once.

    Attributes
    ----------
    number : int
        International number, 1 to 230.
    hall_number : int
        Of the setting, in spglib.
    symbol : str
        Short international symbol.
    rotations : ndarray of int, shape (G, 3, 3)
        Centring translations are among the operations.
    translations : ndarray, shape (G, 3)
    positions : mapping of letter to WyckoffPosition
        From the most special to the general one.
    """

    number: int
    hall_number: int
    symbol: str
    rotations: NDArray[np.int_]
    translations: Floats
    positions: Mapping[str, WyckoffPosition]

    @property
    def crystal_system(self) -> str:
        """One of `CRYSTAL_SYSTEMS`."""
        return CRYSTAL_SYSTEMS[sum(self.number > last for last in _LAST)]

    @property
    def free_lattice(self) -> tuple[int, ...]:
        """Which of a, b, c, alpha, beta, gamma are free."""
        return FREE_LATTICE[self.crystal_system]

    @cached_property
    def representatives(self) -> tuple[NDArray[np.int_], Floats]:
        """One operation of each rotation: rotations (P, 3, 3) and translations (P, 3)."""
        first = np.unique(self.rotations.reshape(-1, 9), axis=0, return_index=True)[1]
        return self.rotations[first], self.translations[first]

    @cached_property
    def centring(self) -> Floats:
        """Lattice points in the standard cell, (C, 3)."""
        trivial = (self.rotations == np.eye(3)).all((1, 2))
        return self.translations[trivial] % 1

    @property
    def point_group_order(self) -> int:
        """Number of operations of the point group."""
        return len(self.rotations) // len(self.centring)

    @property
    def primitive(self) -> Floats:
        """Basis of a primitive cell, rows in the axes of the standard cell, (3, 3)."""
        return _PRIMITIVE[self.symbol[0]]

    @property
    def has_improper(self) -> bool:
        """Whether a crystal equals its mirror image."""
        return bool((np.linalg.det(self.rotations) < 0).any())

    def position(self, letter: str) -> WyckoffPosition:
        """The Wyckoff position of a letter.

        Raises
        ------
        StructureError
            For a letter that the space group does not have.
        """
        if letter not in self.positions:
            raise StructureError(
                f"space group {self.number} ({self.symbol}) has no Wyckoff position '{letter}'; "
                f"allowed: {', '.join(self.positions)}"
            )
        return self.positions[letter]

    def multiplicity(self, letter: str) -> int:
        """Atoms of a Wyckoff position in the primitive cell."""
        return self.position(letter).multiplicity // len(self.centring)

    def images(self, point: Floats) -> Floats:
        """What the operations make of a point, (G, 3), in [0, 1)."""
        return (self.rotations @ point + self.translations) % 1

    def orbit(self, letter: str, parameters: Floats) -> Floats:
        """Every atom of an orbit in the standard cell, (multiplicity, 3).

        Raises
        ------
        StructureError
            Where the parameters are those of a more special position.
        """
        position = self.position(letter)
        images = self.images(position.at(parameters))
        near = np.abs(wrap(images[:, None] - images)).max(-1) < 1e-6
        first = images[near.argmax(1) == np.arange(len(images))]
        if len(first) != position.multiplicity:
            raise StructureError(
                f"space group {self.number}, Wyckoff position '{letter}' at "
                f"{np.round(position.at(parameters), 5).tolist()}: {len(first)} atoms where there "
                f"have to be {position.multiplicity}; the point lies on a more special position"
            )
        return first

    def parameters(self, letter: str, point: Floats) -> Floats:
        """Parameters under which a point is one of an orbit, (choices, freedom).

        Raises
        ------
        StructureError
            If the point is not on that Wyckoff position.
        """
        found, off = self.position(letter).parameters(self.images(point))
        if off.min() > SAME_POINT:
            raise StructureError(
                f"space group {self.number}: {np.round(point, 5).tolist()} is no point of Wyckoff "
                f"position '{letter}' (off by {off.min():.3g} of the cell)"
            )
        return found[off <= max(SAME_POINT, 2 * off.min())]

    @cached_property
    def polar_axes(self) -> tuple[int, ...]:
        """Axes along which the origin is free."""
        moved = np.abs(np.eye(3) - self.rotations).max((0, 1))
        return tuple(int(axis) for axis in np.flatnonzero(moved == 0))

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Descriptions of one crystal in which the operations are the same, the present one first.

        Representatives of the normalizer modulo the group. They exchange axes of orthorhombic
        crystals, and the two cells of C2/c. Free shifts along polar axes are not among them.
        """
        return tuple(_settings(self))


@dataclass(frozen=True)
class Setting:
    """A change of description, x -> rotation @ x + translation, and its names of the positions.

    Attributes
    ----------
    rotation : ndarray of int, shape (3, 3)
    translation : ndarray, shape (3,)
    letters : mapping of str to str
        New letter of each old one.
    mirrored : bool
        Whether the crystal becomes its mirror image, which it does not equal.
    """

    rotation: Floats
    translation: Floats
    letters: Mapping[str, str]
    mirrored: bool

    def lattice(self, matrix: Floats) -> Floats:
        """Basis vectors (rows) in which the changed coordinates are."""
        return np.linalg.inv(self.rotation).T @ matrix


def _settings(group: SpaceGroup) -> list[Setting]:
    axes = [np.arange(1 if axis in group.polar_axes else _GRID) / _GRID for axis in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    point_group = {tuple(rotation.ravel()) for rotation in group.rotations}
    generic = np.array([0.1234, 0.3217, 0.2771])
    points = {
        letter: position.at(generic[: position.freedom])
        for letter, position in group.positions.items()
    }
    seen: set[tuple[int, ...]] = set()
    found = []
    for rotation in _lattice_operations(group.crystal_system, group.number == 15):
        if tuple(rotation.ravel()) in seen:
            continue
        seen |= {tuple((np.reshape(g, (3, 3)) @ rotation).ravel()) for g in point_group}
        improper = np.linalg.det(rotation) < 0
        if improper and group.has_improper:
            rotation = next(g for g in group.rotations if np.linalg.det(g) < 0) @ rotation
            improper = False
        off = wrap((group.centring @ rotation.T)[:, None] - group.centring)
        keeps_centring = (np.abs(off).max(-1) < 1e-6).any(1).all()
        shifts = grid if keeps_centring else grid[:0]
        inverse = np.rint(np.linalg.inv(rotation)).astype(int)
        for operation, translation in zip(*group.representatives, strict=True):
            image = rotation @ operation @ inverse
            same = (group.rotations == image).all((1, 2))
            if not same.any():
                shifts = shifts[:0]
                break
            moved = shifts + rotation @ translation - shifts @ image.T
            off = wrap(moved[:, None] - group.translations[same])
            shifts = shifts[(np.abs(off).max(-1) < 1e-6).any(1)]
        for shift in _distinct(shifts, group):
            letters = {
                letter: _renamed(group, letter, rotation @ point + shift)
                for letter, point in points.items()
            }
            found.append(
                Setting(rotation.astype(float), shift, MappingProxyType(letters), bool(improper))
            )
    return found


def _renamed(group: SpaceGroup, letter: str, point: Floats) -> str:
    """Letter of the position on which a point lies that had another letter before."""
    old = group.positions[letter]
    alike = [
        position
        for position in group.positions.values()
        if (position.multiplicity, position.freedom) == (old.multiplicity, old.freedom)
    ]
    if len(alike) == 1:
        return letter
    images = group.images(point)
    return next(p.letter for p in alike if p.parameters(images)[1].min() < 1e-6)


def _distinct(shifts: Floats, group: SpaceGroup) -> list[Floats]:
    """One shift of those that differ by a translation of the group."""
    kept: list[Floats] = []
    for shift in shifts[np.argsort(np.abs(wrap(shifts)).sum(1), kind="stable")]:
        difference = wrap(np.array(kept).reshape(-1, 1, 3) - shift - group.centring)
        if not (np.abs(difference).max(-1) < 1e-6).any():
            kept.append(shift)
    return kept


def _lattice_operations(system: str, glides: bool) -> list[NDArray[np.int_]]:
    """Changes of axes that the settings of a crystal system allow, the identity first.

    The point operations of the lattice; in orthorhombic crystals also those that exchange axes; in
    C2/c (`glides`) also the other cell with the same b and the same glide plane.
    """
    if system == "triclinic":
        return [np.eye(3, dtype=int), -np.eye(3, dtype=int)]
    if system in {"trigonal", "hexagonal"}:
        # 6/mmm; the lattice of R has half of it, which the search for shifts finds.
        six = np.array([[1, -1, 0], [1, 0, 0], [0, 0, 1]])
        powers = [np.linalg.matrix_power(six, n) for n in range(6)]
        swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
        proper = [p @ q for p in powers for q in (np.eye(3, dtype=int), swap)]
        return [sign * p for p in proper for sign in (1, -1)]
    signs = [np.diag(s) for s in itertools.product((1, -1), repeat=3)]
    if system == "monoclinic":
        shears = [
            np.array([[1, 0, n], [0, 1, 0], [0, 0, 1]]) for n in ((0, 1, -1) if glides else (0,))
        ]
        return [s @ shear for shear in shears for s in signs if s[0, 0] == s[2, 2]]
    orders = [(0, 1, 2)]
    if system == "tetragonal":
        orders = [(0, 1, 2), (1, 0, 2)]
    elif system in {"orthorhombic", "cubic"}:
        orders = [(i, j, 3 - i - j) for i, j in itertools.permutations(range(3), 2)]
    return [s[:, list(order)] for order in orders for s in signs]


@cache
def space_group(number: int) -> SpaceGroup:
    """The space group of an international number.

    Raises
    ------
    StructureError
        If `number` is not from 1 to 230.

    Examples
    --------
    >>> group = space_group(225)
    >>> group.symbol, group.crystal_system, group.multiplicity("e"), group.point_group_order
    ('Fm-3m', 'cubic', 6, 48)
    """
    if number not in _hall_numbers():
        raise StructureError(f"there is no space group {number}; they are numbered from 1 to 230")
    hall = _hall_numbers()[number]
    operations = spglib.get_symmetry_from_database(hall)
    kind = spglib.get_spacegroup_type(hall)
    assert operations is not None
    assert kind is not None
    return SpaceGroup(
        number,
        hall,
        kind.international_short,
        operations["rotations"],
        operations["translations"],
        MappingProxyType(_wyckoff_positions()[number]),
    )


@cache
def _hall_numbers() -> dict[int, int]:
    found: dict[int, int] = {}
    for hall in range(1, 531):
        kind = spglib.get_spacegroup_type(hall)
        assert kind is not None
        found.setdefault(kind.number, hall)
    return found


@cache
def _wyckoff_positions() -> dict[int, dict[str, WyckoffPosition]]:
    with (files("pyro_hea.data") / "wyckoff.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, dtype={"site_symmetry": str})
    found: dict[int, dict[str, WyckoffPosition]] = {}
    for number, letter, multiplicity, site_symmetry, coordinates in zip(
        *(table[name].tolist() for name in table), strict=True
    ):
        basis, origin = _affine(coordinates)
        position = WyckoffPosition(letter, multiplicity, site_symmetry, basis, origin)
        found.setdefault(number, {})[letter] = position
    return found


def _affine(expression: str) -> tuple[Floats, Floats]:
    """Basis (3, freedom) and origin (3,) of coordinates such as ``x,-x,z+1/2``."""
    names = sorted(set(expression) & set("xyz"))
    basis, origin = np.zeros((3, len(names))), np.zeros(3)
    for row, text in enumerate(expression.split(",")):
        for sign, number, name in re.findall(r"([+-]?)([\d/]*)([xyz]?)", text):
            value = float(Fraction(number)) if number else float(bool(name))
            value = -value if sign == "-" else value
            if name:
                basis[row, names.index(name)] += value
            else:
                origin[row] += value
    return basis, origin
