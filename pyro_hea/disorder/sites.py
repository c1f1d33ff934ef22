"""Sites that several elements may occupy: their shells of neighbours and their symmetry."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME_DISTANCE = 0.02
"""Distances closer than this, in Å, are of one shell."""


@dataclass(frozen=True, eq=False)
class Shell:
    """Pairs of sites at one distance.

    Attributes
    ----------
    distance : float
        In Å.
    pairs : ndarray of int, shape (P, 2)
        Each pair once, as often as periodic images make it.
    types : tuple of int
        Kinds of the first and of the second site of each pair, the smaller first.
    """

    distance: float
    pairs: NDArray[np.int64]
    types: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Sites:
    """The sites of a periodic cell that are occupied at random, and what stands around them.

    Attributes
    ----------
    cell : ndarray, shape (3, 3)
        Rows are the axes, in Å.
    positions : ndarray, shape (N, 3)
        Cartesian, in Å.
    shells : tuple of Shell
        By distance.
    permutations : ndarray of int, shape (G, N)
        Symmetry: `x[permutation]` has the energy of the configuration `x`.
    types : ndarray of int, shape (N,)
        Kind of each site; sites of different kinds are never equivalent.
    matrix : tuple of str
        Elements of the atoms of the cell that do not change.
    matrix_positions : ndarray, shape (A, 3)
        Theirs, in Å.
    labels : tuple of str
        Name of each kind of site.
    """

    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    shells: tuple[Shell, ...]
    permutations: NDArray[np.int64]
    types: NDArray[np.int64]
    matrix: tuple[str, ...] = ()
    matrix_positions: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    labels: tuple[str, ...] = ("sites",)

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        distances = ", ".join(f"{shell.distance:.2f}" for shell in self.shells)
        return f"Sites({len(self)} sites, shells at {distances} Å, {len(self.matrix)} others)"

    def neighbours(self, most: int) -> NDArray[np.int64]:
        """The nearest neighbours of each site, (N, most), in an order that is alike for all.

        A site with fewer is filled up with -1.
        """
        lists = [_neighbours_of(self, site)[:most] for site in range(len(self))]
        width = max(map(len, lists), default=0)
        found = np.full((len(self), width), -1)
        for row, of_site in zip(found, lists, strict=True):
            row[: len(of_site)] = of_site
        return found


def _neighbours_of(sites: Sites, site: int) -> list[int]:
    """Other sites by distance, and by direction within a distance; each once."""
    others = np.delete(np.arange(len(sites)), site)
    apart = _nearest_image(sites.positions[others] - sites.positions[site], sites.cell)
    length = np.round(np.linalg.norm(apart, axis=1), 1)
    direction = np.round(apart, 1) + 0.0
    order = np.lexsort((*direction.T[::-1], length))
    return [int(j) for j in others[order]]


def _nearest_image(vectors: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shortest of each vector's periodic images."""
    images = np.array(list(product((-1, 0, 1), repeat=3))) @ cell
    wrapped = vectors - np.round(vectors @ np.linalg.inv(cell)) @ cell
    every = wrapped[:, None] + images
    length = np.round(np.linalg.norm(every, axis=2), 6)
    return every[np.arange(len(vectors)), length.argmin(1)]


def find_shells(
    cell: NDArray[np.float64],
    positions: NDArray[np.float64],
    types: NDArray[np.int64],
    most: int | None = None,
    cutoff: float | None = None,
) -> tuple[Shell, ...]:
    """Gather the pairs of sites by distance and by kind of site.

    Parameters
    ----------
    cell : ndarray, shape (3, 3)
    positions : ndarray, shape (N, 3)
    types : ndarray of int, shape (N,)
    most : int, optional
        Distances that are kept, the shortest.
    cutoff : float, optional
        Largest distance, in Å; half of the longest axis by default.

    Examples
    --------
    >>> cell, at = np.diag([2.0, 2.0, 100.0]), np.array([[0.0, 0, 0], [1, 1, 0]])
    >>> [(round(s.distance, 3), len(s.pairs)) for s in find_shells(cell, at, np.zeros(2, int), 2)]
    [(1.414, 4), (2.0, 4)]
    """
    reach = cutoff or float(np.linalg.norm(cell, axis=1)[: 3 if most else 2].max())
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    span = [range(-n, n + 1) for n in np.ceil(reach / heights).astype(int)]
    shifts = np.array(list(product(*span)))
    first, second, length = [], [], []
    for shift in shifts:
        apart = positions[None] + shift @ cell - positions[:, None]
        distance = np.linalg.norm(apart, axis=2)
        i, j = np.nonzero((distance <= reach + _SAME_DISTANCE) & (distance > _SAME_DISTANCE))
        once = (i < j) | ((i == j) & (tuple(shift) > (0, 0, 0)))
        first.append(i[once])
        second.append(j[once])
        length.append(distance[i[once], j[once]])
    i, j, d = (np.concatenate(part) for part in (first, second, length))
    swap = types[i] > types[j]
    i, j = np.where(swap, j, i), np.where(swap, i, j)
    found = []
    order = np.argsort(d, kind="stable")
    i, j, d = i[order], j[order], d[order]
    groups = np.concatenate([[0], np.cumsum(np.diff(d) > _SAME_DISTANCE)]) if len(d) else d
    for group in range(int(groups[-1]) + 1 if len(d) else 0):
        if most is not None and group >= most:
            break
        here = groups == group
        kinds = np.stack([types[i[here]], types[j[here]]], 1)
        for kind in np.unique(kinds, axis=0):
            chosen = (kinds == kind).all(1)
            pairs = np.stack([i[here][chosen], j[here][chosen]], 1)
            found.append(Shell(float(d[here].mean()), pairs, (int(kind[0]), int(kind[1]))))
    return tuple(found)


def square_lattice(length: int, shells: int = 1) -> Sites:
    """A periodic square lattice, of spacing 1 Å, as of the Ising model.

    Parameters
    ----------
    length : int
        Sites along an edge, at least 3.
    shells : int
        Distances of neighbours that are kept.

    Examples
    --------
    >>> len(square_lattice(4)), len(square_lattice(4).shells[0].pairs)
    (16, 32)
    """
    if not isinstance(length, Integral) or length < 3:
        raise DataError(f"a square lattice has at least 3 sites along an edge, not {length!r}")
    row, column = np.divmod(np.arange(length**2), length)
    positions = np.stack([column, row, 0 * row], 1).astype(float)
    cell = np.diag([length, length, 1000.0])
    types = np.zeros(length**2, int)
    found = find_shells(cell, positions, types, shells, cutoff=float(length))
    return Sites(cell, positions, found, _square_symmetry(length), types)


def _square_symmetry(length: int) -> NDArray[np.int64]:
    grid = np.arange(length**2).reshape(length, length)
    turned = [np.rot90(g, k) for g in (grid, grid.T) for k in range(4)]
    shifts = product(range(length), repeat=2)
    return np.array([np.roll(g, s, (0, 1)).ravel() for s in shifts for g in turned])
