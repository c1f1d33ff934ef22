"""Space groups in one setting each: operations, Wyckoff positions, changes of origin.

The setting is the first Hall number that spglib lists for a space group: origin choice 1, axis b
unique, hexagonal axes. The Wyckoff positions are those of `data/wyckoff.csv`, built with spglib.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from pyro_hea.materials.crystals.cells import FREE_LATTICE, Floats, distinct, wrap
from pyro_hea.materials.crystals.settings import Setting, settings_of

SAME_POINT = 2e-3
"""Fractional coordinates up to which two images are one atom; stored ones have five decimals."""

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

# Basis of a primitive cell, rows in the axes of the standard cell.
_PRIMITIVE = {
    "P": np.eye(3),
    "A": np.array([[2, 0, 0], [0, 1, -1], [0, 1, 1]]) / 2,
    "C": np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 2]]) / 2,
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}


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
        first = distinct(images)
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
        return tuple(settings_of(self))


@contextmanager
def quiet_spglib() -> Iterator[None]:
    """Without spglib's announcement that it will raise errors one day; None is looked for here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


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
    with quiet_spglib():
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
        with quiet_spglib():
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
