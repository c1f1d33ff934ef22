"""Supercells of crystals whose sites are occupied at random."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations_with_replacement, product
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyro_hea.disorder.ideal import IdealSolution
from pyro_hea.disorder.sites import Sites, find_shells
from pyro_hea.errors import DataError, missing_extra, nearest
from pyro_hea.materials.crystals.symmetry import quiet_spglib

if TYPE_CHECKING:
    from numpy.typing import NDArray

Lattice = Literal["fcc", "bcc"]

_BASES = {
    "fcc": np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "bcc": np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
}

_ATOMS = 80
"""Wanted in a cell that nobody chose."""

_LARGEST_CELL = 160

_CONSTANTS = (2.0, 10.0)
"""Lattice constants that are met, in Å."""


def lattice_points(
    lattice: str, constant: float, size: tuple[int, int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell (3, 3) and positions (N, 3) in Å of conventional cells side by side.

    Examples
    --------
    >>> len(lattice_points("fcc", 3.5, (3, 3, 3))[1])
    108
    """
    basis = _basis(lattice)
    if len(size) != 3 or not all(isinstance(n, Integral) and n > 0 for n in size):
        raise DataError(f"size={size!r} is not allowed; it is conventional cells along each edge")
    if not isinstance(constant, Real) or not 0 < constant < np.inf:
        raise DataError(f"a lattice constant is a length in Å above 0, as 3.6, not {constant!r}")
    corners = np.array(list(product(*map(range, size))))
    positions = (corners[:, None] + basis).reshape(-1, 3) * constant
    return np.diag(np.array(size) * constant), positions


def _basis(lattice: str) -> NDArray[np.float64]:
    """Fractional positions of the atoms of a conventional cell."""
    if lattice not in _BASES:
        raise DataError(
            f"lattice '{lattice}' is not allowed; allowed: fcc, bcc.{nearest(lattice, _BASES)}"
        )
    return _BASES[lattice]


def check_constant(constant: float | None) -> None:
    """Refuse a lattice constant in another unit than Å.

    Raises
    ------
    DataError
    """
    if constant is not None and not (
        isinstance(constant, Real) and _CONSTANTS[0] <= constant <= _CONSTANTS[1]
    ):
        raise DataError(
            f"constant={constant!r} is not allowed; a lattice constant of fcc or bcc is "
            f"{_CONSTANTS[0]:g} to {_CONSTANTS[1]:g} Å"
        )


def fitting_size(
    composition: Mapping[str, float], lattice: str, atoms: int = _ATOMS
) -> tuple[int, int, int]:
    """Conventional cells along each axis of a cell that the composition fits.

    The one that is nearest to a cube of so many atoms, of at most 160.

    Raises
    ------
    DataError
        Where none is small enough; it names the nearest composition that fits.

    Examples
    --------
    >>> fitting_size({"Co": 1, "Cr": 1, "Fe": 1, "Ni": 1}, "fcc")
    (3, 3, 3)
    >>> fitting_size({"Al": 1, "Co": 1, "Cr": 1, "Fe": 1, "Ni": 1}, "bcc")
    (3, 3, 5)
    """
    size, cell = nearest_cell(composition, lattice, atoms)
    share = sum(cell.values()) / sum(composition.values())
    if any(abs(n - composition[element] * share) > 1e-6 for element, n in cell.items()):
        raise DataError(
            f"{dict(composition)} fits no {lattice} cell of at most {_LARGEST_CELL} atoms: the "
            f"nearest that does is {formula_of(cell)} ({sum(cell.values())} atoms). Ask for that, "
            "or have it taken, by nearest=True or --nearest"
        )
    return size


def nearest_cell(
    composition: Mapping[str, float], lattice: str, atoms: int = _ATOMS
) -> tuple[tuple[int, int, int], dict[str, int]]:
    """The cell whose atoms come nearest to a composition, and how many of each it has.

    Of several that fit it is the one that is nearest to a cube of so many atoms.

    Examples
    --------
    >>> nearest_cell({"Ni": 0.7, "Cr": 0.3}, "bcc")
    ((3, 3, 5), {'Ni': 63, 'Cr': 27})
    """
    basis = len(_basis(lattice))
    found = []
    for size in combinations_with_replacement(range(2, 7), 3):
        n = basis * math.prod(size)
        if n <= _LARGEST_CELL:
            ideal = IdealSolution.of(composition, n)
            off = float(np.abs(ideal.counts - ideal.fractions * n).max())
            score = math.log(size[2] / size[0]) + abs(math.log(n / atoms))
            found.append((0.0 if off < 1e-6 else off / n, score, size, ideal))
    _, _, best, ideal = min(found, key=lambda row: row[:2])
    counts = dict(zip(ideal.species, map(int, ideal.counts), strict=True))
    return (best[0], best[1], best[2]), counts


def formula_of(counts: Mapping[str, int]) -> str:
    """Each element with its number of atoms.

    Examples
    --------
    >>> formula_of({"Ni": 63, "Cr": 27})
    'Ni63Cr27'
    """
    return "".join(f"{element}{n}" for element, n in counts.items())


def alloy_sites(
    lattice: Lattice, constant: float, size: tuple[int, int, int], shells: int = 3
) -> Sites:
    """All sites of a supercell, every one of which any element may occupy.

    Parameters
    ----------
    lattice : {"fcc", "bcc"}
    constant : float
        Lattice constant in Å.
    size : tuple of int
        Conventional cells along each axis.
    shells : int
        Distances of neighbours that are told apart.

    Raises
    ------
    MissingExtraError
        Without spglib.

    Examples
    --------
    >>> sites = alloy_sites("fcc", 3.5, (2, 2, 2), shells=1)
    >>> len(sites), len(sites.shells[0].pairs), len(sites.permutations)
    (32, 192, 1536)
    """
    cell, positions = lattice_points(lattice, constant, size)
    types = np.zeros(len(positions), int)
    found = find_shells(cell, positions, types, shells)
    return Sites(cell, positions, found, _permutations(cell, positions, types), types)


def shell_sites(
    lattice: Lattice,
    constant: float,
    size: int = 3,
    shells: int = 1,
    *,
    matrix: Mapping[str, float],
    centre: str | None = None,
    seed: int = 0,
) -> tuple[Sites, Sites]:
    """The neighbours of one atom, with that atom and without it.

    Parameters
    ----------
    lattice, constant, size
        Of a cubic supercell, as in `alloy_sites`.
    shells : int
        Distances of neighbours whose occupation is free.
    matrix : mapping of str to float
        Composition of the rest of the cell, drawn once for all.
    centre : str, optional
        Element of the atom in the middle; without one it is a site too, the first.
    seed : int
        Of the matrix.

    Returns
    -------
    whole, vacant : Sites
    """
    if not isinstance(shells, Integral) or shells < 1:
        raise DataError(f"shell={shells!r} is not allowed; it is 1 for the nearest neighbours")
    cell, positions = lattice_points(lattice, constant, (size, size, size))
    apart = positions - positions[0]
    apart -= np.round(apart @ np.linalg.inv(cell)) @ cell
    length = np.round(np.linalg.norm(apart, axis=1), 3)
    distances = np.unique(length)[1 : shells + 1]
    around = np.flatnonzero(np.isin(length, distances))
    others = np.flatnonzero(length > distances[-1])
    if len(others) == 0 or distances[-1] >= size * constant / 2:
        raise DataError(
            f"{shells} shells do not fit a cell of {size} conventional cells: raise size, or lower "
            "shell"
        )
    ideal = IdealSolution.of(matrix, len(others))
    order = np.repeat(np.arange(len(ideal.species)), ideal.counts)
    drawn = np.random.default_rng(seed).permutation(order)
    rest = tuple(ideal.species[c] for c in drawn)
    kind = np.searchsorted(distances, length[around]) + 1
    free = around if centre is not None else np.concatenate([[0], around])
    types = kind if centre is not None else np.concatenate([[0], kind])
    numbers = np.zeros(len(positions), int)
    numbers[others] = 10 + drawn
    numbers[0], numbers[around] = 1, 1 + kind
    every = _permutations(cell, positions, numbers)
    places = {int(site): i for i, site in enumerate(free)}
    permutations = np.array([[places[int(p)] for p in row[free]] for row in every])
    permutations = np.unique(permutations, axis=0)
    shells_found = find_shells(cell, positions[free], types, cutoff=2 * float(distances[-1]))
    labels = ("removed atom", *(f"neighbours at {d:.2f} Å" for d in distances))
    common = (cell, positions[free], shells_found, permutations, types)
    own = () if centre is None else (centre,)
    at = positions[others]
    with_centre = at if centre is None else np.vstack([at, positions[:1]])
    whole = Sites(*common, (*rest, *own), with_centre, labels)
    if centre is not None:
        return whole, Sites(*common, rest, at, labels)
    left = np.arange(1, len(free))
    empty = np.zeros((1, len(left)), int) + np.arange(len(left))
    return whole, Sites(cell, positions[around], (), empty, types[1:], rest, at)


def _permutations(
    cell: NDArray[np.float64], positions: NDArray[np.float64], numbers: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where each symmetry operation takes the sites, (G, N)."""
    try:
        import spglib
    except ImportError as error:
        raise missing_extra("spglib", "disorder") from error
    scaled = positions @ np.linalg.inv(cell)
    crystal: Any = (cell, scaled, numbers + 1)
    with quiet_spglib():
        symmetry: Any = spglib.get_symmetry(crystal, symprec=1e-4)
    found = []
    grid = np.round(scaled * 1e4).astype(int) % 10_000
    place = {tuple(p): i for i, p in enumerate(grid)}
    for rotation, translation in zip(symmetry["rotations"], symmetry["translations"], strict=True):
        moved = np.round((scaled @ rotation.T + translation) * 1e4).astype(int) % 10_000
        found.append([_place(place, tuple(p)) for p in moved])
    return np.array(found)


def _place(known: dict[tuple[int, ...], int], at: tuple[int, ...]) -> int:
    if at in known:
        return known[at]
    for step in product((-1, 0, 1), repeat=3):
        near = tuple((a + s) % 10_000 for a, s in zip(at, step, strict=True))
        if near in known:
            return known[near]
    raise DataError(f"no site lies where symmetry takes one ({at})")
