"""Changes of axes and origin that leave the operations of a space group as they are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyro_hea.materials.crystals.cells import Floats, wrap

if TYPE_CHECKING:
    from pyro_hea.materials.crystals.symmetry import SpaceGroup

_GRID = 24  # changes of origin are multiples of 1/24


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

    def renamed(self, letters: str) -> str:
        """New letters of old ones, sorted."""
        return "".join(sorted(self.letters[letter] for letter in letters))

    def lattice(self, matrix: Floats) -> Floats:
        """Basis vectors (rows) in which the changed coordinates are."""
        return np.linalg.inv(self.rotation).T @ matrix


def settings_of(group: SpaceGroup) -> list[Setting]:
    """See `SpaceGroup.settings`."""
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
