"""Build `wyckoff.csv`, the Wyckoff positions of the 230 space groups, with spglib.

``--check`` compares instead of writing::

    python data/build_wyckoff.py [--check]

The setting of each space group is the first Hall number that spglib lists for it. The positions
are found as the points, lines and planes that symmetry operations leave fixed; what each is called
(letter, site symmetry) is what spglib says of a crystal with atoms there.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import spglib
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
GRID = 24
"""Coordinates of special points are multiples of 1/24."""
TOLERANCE = 1e-6

Floats = NDArray[np.float64]
SHIFTS = np.array(list(itertools.product(range(-2, 3), repeat=3)))

LATTICES = {
    "triclinic": (5.1, 6.3, 7.7, 83.0, 101.0, 95.0),
    "monoclinic": (5.1, 6.3, 7.7, 90.0, 101.0, 90.0),
    "orthorhombic": (5.1, 6.3, 7.7, 90.0, 90.0, 90.0),
    "tetragonal": (5.1, 5.1, 7.7, 90.0, 90.0, 90.0),
    "hexagonal": (5.1, 5.1, 7.7, 90.0, 90.0, 120.0),
    "cubic": (5.1, 5.1, 5.1, 90.0, 90.0, 90.0),
}


@dataclass(frozen=True)
class Group:
    """A space group in one setting: operations x -> W x + w, centring translations included."""

    number: int
    hall_number: int
    rotations: NDArray[np.int_]
    translations: Floats

    @cached_property
    def lattice(self) -> Floats:
        limits = ((2, "triclinic"), (15, "monoclinic"), (74, "orthorhombic"), (142, "tetragonal"))
        family = next((name for last, name in limits if self.number <= last), None)
        return cell(LATTICES[family or ("hexagonal" if self.number <= 194 else "cubic")])

    def images(self, point: Floats) -> Floats:
        return self.rotations @ point + self.translations

    def orbit(self, point: Floats) -> Floats:
        images = self.images(point) % 1
        keys = np.rint(images / (10 * TOLERANCE)).astype(int) % round(0.1 / TOLERANCE)
        return images[np.sort(np.unique(keys, axis=0, return_index=True)[1])]

    def fixed_space(self, point: Floats) -> tuple[Floats, Floats]:
        """Points that share the site symmetry of `point`: matrix and origin of the projection."""
        moved = self.images(point) - point
        shift = np.rint(moved)
        stable = np.abs(moved - shift).max(-1) < TOLERANCE
        projection = self.rotations[stable].mean(0)
        origin = (self.translations[stable] - shift[stable]).mean(0)
        return projection, origin


def cell(parameters: tuple[float, ...]) -> Floats:
    """Rows are the basis vectors."""
    a, b, c = parameters[:3]
    alpha, beta, gamma = np.radians(parameters[3:])
    x = (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    return np.array(
        [
            [a, 0, 0],
            [b * np.cos(gamma), b * np.sin(gamma), 0],
            [c * np.cos(beta), c * x, c * np.sqrt(1 - np.cos(beta) ** 2 - x**2)],
        ]
    )


def groups() -> dict[int, Group]:
    """The first setting of each space group."""
    found: dict[int, Group] = {}
    for hall in range(1, 531):
        number = spglib.get_spacegroup_type(hall).number
        if number not in found:
            operations = spglib.get_symmetry_from_database(hall)
            found[number] = Group(number, hall, operations["rotations"], operations["translations"])
    return found


def candidates(group: Group) -> list[Floats]:
    """A point on every fixed plane and line, every fixed point of the grid, and a general point."""
    generic = np.array([0.1234, 0.3217, 0.2771])
    points = [generic]
    for rotation, translation in zip(group.rotations, group.translations, strict=True):
        if np.array_equal(rotation, np.eye(3)):
            continue
        powers = [np.eye(3)]
        while not np.array_equal(following := powers[-1] @ rotation, np.eye(3)):
            powers.append(following)
        total = sum(powers)
        for shift in SHIFTS:
            vector = translation + shift
            if np.abs(total @ vector).max() > TOLERANCE:
                continue  # a screw axis or a glide plane, which leaves no point fixed
            moved, images = generic, []
            for _ in powers:
                images.append(moved)
                moved = rotation @ moved + vector
            points.append(np.mean(images, axis=0))
    grid = np.array(list(itertools.product(range(GRID), repeat=3))) / GRID
    rank_zero = np.zeros(len(grid), bool)
    fixed = np.zeros((len(grid), 3, 3))
    count = np.zeros(len(grid))
    for rotation, translation in zip(group.rotations, group.translations, strict=True):
        moved = grid @ rotation.T + translation - grid
        stable = np.abs(moved - np.rint(moved)).max(-1) < TOLERANCE
        fixed[stable] += rotation
        count += stable
    rank_zero = np.abs(fixed).max((-1, -2)) == 0
    left = {tuple(index) for index in np.rint(grid[rank_zero] * GRID).astype(int)}
    while left:
        point = np.array(min(left)) / GRID
        points.append(point)
        left -= {tuple(index) for index in np.rint(group.images(point) * GRID).astype(int) % GRID}
    return points


@dataclass(frozen=True)
class Position:
    """A Wyckoff position: the affine space `basis @ parameters + origin`, and its images."""

    multiplicity: int
    basis: Floats  # (3, freedom), reduced so that each parameter is one of the coordinates
    origin: Floats

    @property
    def freedom(self) -> int:
        return self.basis.shape[1]

    def contains(self, points: Floats) -> bool:
        """Whether any of the points (N, 3) lies on it modulo lattice translations."""
        rest = (points - self.origin)[:, None] + SHIFTS
        rest = rest - rest @ (self.basis @ np.linalg.pinv(self.basis)).T
        return bool((np.abs(rest).max(-1) < TOLERANCE).any())

    @property
    def expression(self) -> str:
        names = ["xyz"[row] for row in parameter_rows(self.basis)]
        parts = []
        for row, constant in zip(self.basis, self.origin, strict=True):
            text = "".join(
                f"{'-' if value < 0 else '+'}{'' if abs(value) == 1 else round(abs(value))}{name}"
                for value, name in zip(row, names, strict=True)
                if value
            )
            if constant or not text:
                text += f"+{Fraction(constant).limit_denominator(GRID)}"
            parts.append(text.lstrip("+"))
        return ",".join(parts)

    @property
    def simplicity(self) -> tuple[float, ...]:
        negative = (self.basis < 0).sum() + (np.abs(self.basis) > 1).sum()
        constants = self.origin.tolist()
        return (sum(c != 0 for c in constants), negative, sum(constants), *constants)


def position_at(group: Group, point: Floats) -> Position:
    """The Wyckoff position of a point, through the simplest of its images."""
    found = []
    for image in group.orbit(point):
        projection, origin = group.fixed_space(image)
        basis = reduced(projection)
        pivots = parameter_rows(basis)
        origin = (origin - basis @ origin[pivots]) % 1  # parameters are coordinates themselves
        origin = np.rint(origin * GRID) / GRID % 1
        found.append(Position(len(group.orbit(point)), basis, origin))
    return min(found, key=lambda p: p.simplicity)


def reduced(projection: Floats) -> Floats:
    """Basis of the range of a projection, (3, rank), of integers as small as can be."""
    rows = projection.T.copy()
    pivot_row, pivots = 0, []
    for column in range(3):
        best = pivot_row + int(np.abs(rows[pivot_row:, column]).argmax()) if pivot_row < 3 else 3
        if best == 3 or abs(rows[best, column]) < TOLERANCE:
            continue
        rows[[pivot_row, best]] = rows[[best, pivot_row]]
        rows[pivot_row] /= rows[pivot_row, column]
        for other in range(3):
            if other != pivot_row:
                rows[other] -= rows[other, column] * rows[pivot_row]
        pivots.append(column)
        pivot_row += 1
    basis = rows[: len(pivots)].T
    doubled = np.abs(basis - np.rint(basis)).max(0, initial=0) > TOLERANCE  # x, x/2 is 2y, y
    return np.rint(basis * np.where(doubled, 2, 1)) + 0.0


def parameter_rows(basis: Floats) -> list[int]:
    """For each column the coordinate that is the parameter itself: 1 there, 0 in the others."""
    return [
        next(
            row for row in range(3) if basis[row, column] == 1 and np.count_nonzero(basis[row]) == 1
        )
        for column in range(basis.shape[1])
    ]


def positions(group: Group) -> list[Position]:
    """Every Wyckoff position once, unnamed."""
    found: list[Position] = []
    for point in candidates(group):
        if not any(is_at(group, point, position) for position in found):
            found.append(position_at(group, point))
    return found


def is_at(group: Group, point: Floats, position: Position) -> bool:
    """Whether the orbit of a point, generic on its own position, is one of `position`."""
    projection, _ = group.fixed_space(point)
    if round(np.trace(projection)) != position.freedom:
        return False
    return position.contains(group.images(point) % 1)


def named(group: Group) -> pd.DataFrame:
    """The positions with the letters and site symmetries of spglib."""
    unnamed = positions(group)
    names: dict[int, tuple[str, str]] = {}
    rng = np.random.default_rng(group.number)
    for _ in range(20):
        general = group.orbit(rng.uniform(0.05, 0.45, 3))
        for position in unnamed:
            point = position.basis @ rng.uniform(0.05, 0.45, position.freedom) + position.origin
            atoms = group.orbit(point)
            cell_ = (
                group.lattice,
                np.vstack([general, atoms]),
                [1] * len(general) + [2] * len(atoms),
            )
            data = spglib.get_symmetry_dataset(cell_, 1e-4, hall_number=group.hall_number)
            if data is None or data.hall_number != group.hall_number:
                continue
            # The letter holds of the point as spglib places it, which may be in another origin.
            placed = data.transformation_matrix @ atoms[0] + data.origin_shift
            where = [i for i, other in enumerate(unnamed) if is_at(group, placed, other)]
            assert len(where) == 1, (group.number, point, where)
            name = data.wyckoffs[-1], data.site_symmetry_symbols[-1]
            assert names.setdefault(where[0], name) == name, (group.number, name)
        if len(names) == len(unnamed):
            break
    else:
        raise AssertionError(f"space group {group.number}: positions without a name")
    rows = [
        {
            "space_group": group.number,
            "letter": names[i][0],
            "multiplicity": position.multiplicity,
            "site_symmetry": names[i][1],
            "coordinates": position.expression,
        }
        for i, position in enumerate(unnamed)
    ]
    return pd.DataFrame(rows).sort_values("letter", key=lambda c: c.map(letter_order))


def letter_order(letter: str) -> tuple[bool, str]:
    """From a to z, then A (the general position of Pmmm)."""
    return letter.isupper(), letter


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = pd.concat([named(group) for group in groups().values()]).to_csv(index=False)
    path = HERE / "wyckoff.csv"
    if check:
        return int(path.read_text(encoding="utf-8") != text)
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
