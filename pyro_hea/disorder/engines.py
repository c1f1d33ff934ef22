"""Engines give the energies of configurations; two exact ones on a lattice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pyro_hea.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pyro_hea.disorder.configurations import Configurations

BOLTZMANN = 8.617333262e-5
"""In eV/K (CODATA 2018)."""


class Engine(Protocol):
    """What gives energies; anything with these three is an engine.

    Examples
    --------
    An engine that prefers the first species:

    >>> class Counting:
    ...     key = "counting"
    ...     elements = None
    ...     def energies(self, configurations):
    ...         return -(configurations.occupations == 0).sum(1).astype(float)
    """

    @property
    def key(self) -> str:
        """All that its energies depend on beside the atoms; energies are kept under it."""

    @property
    def elements(self) -> Sequence[str] | None:
        """Elements that it knows, None where it takes any."""

    def energies(self, configurations: Configurations) -> NDArray[np.float64]:
        """Energies of whole cells in eV, (S,); NaN where there is none."""


_LINDEMANN = 0.1
"""Displacement at which a lattice is none any more, as a share of the distance of neighbours."""


def check_lattice(cell: ArrayLike, sites: ArrayLike, relaxed: ArrayLike) -> None:
    """Raise where atoms have left their sites, so that the energy is of another structure.

    Lindemann, Physikalische Zeitschrift 11 (1910) 609: a lattice is none any more where atoms are
    displaced by a tenth of the distance of neighbours (root mean square).

    Parameters
    ----------
    cell : array_like, shape (3, 3)
        Rows are the axes, in Å.
    sites, relaxed : array_like, shape (A, 3)
        Where the atoms were put, and where they are now, in Å.

    Raises
    ------
    RuntimeError
        With both lengths; a configuration of which an engine raises it has no energy.

    Examples
    --------
    >>> sites = np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    >>> check_lattice(4 * np.eye(3), sites, sites + [[0.1, 0, 0], [4.0, 0, 0]])
    >>> check_lattice(4 * np.eye(3), sites[:1], sites[1:])
    >>> check_lattice(4 * np.eye(3), sites, sites + [[0.9, 0, 0], [0, 0, 0]])
    Traceback (most recent call last):
    RuntimeError: the atoms left their sites: displaced by 0.45 Å (RMS) of 3.46 Å between neighbours
    """
    axes, start = np.asarray(cell, float), np.asarray(sites, float)
    if len(start) < 2:  # an atom by itself has nowhere to go
        return
    moved = _shortest(np.asarray(relaxed, float) - start, axes)
    moved -= moved.mean(0)
    displacement = float(np.sqrt((moved**2).sum(1).mean()))
    between = np.linalg.norm(_shortest(start[1:] - start[0], axes), axis=1).min()
    if displacement > _LINDEMANN * between:
        raise RuntimeError(
            f"the atoms left their sites: displaced by {displacement:.2f} Å (RMS) of "
            f"{between:.2f} Å between neighbours"
        )


def _shortest(vectors: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors (A, 3) to the nearest periodic image in a cell that is not very oblique."""
    turns = vectors @ np.linalg.inv(cell)
    return np.asarray((turns - turns.round()) @ cell)


@dataclass(frozen=True, eq=False)
class PairEngine:
    """Interactions of pairs of sites, shell by shell.

    Parameters
    ----------
    interactions : sequence of array, shape (C, C)
        Energy in eV of a pair of each two species, one table for each shell of the sites.
    fields : array, shape (C,), optional
        Energy in eV of each species by itself.

    Examples
    --------
    >>> from pyro_hea.disorder import Configurations, square_lattice
    >>> like = PairEngine([[[-1, 0], [0, -1]]])
    >>> alike = Configurations(square_lattice(4), ("A", "B"), np.zeros((1, 16), np.int8))
    >>> like.energies(alike)
    array([-32.])
    """

    interactions: Sequence[ArrayLike]
    fields: ArrayLike | None = None
    elements: None = field(default=None, init=False)

    @property
    def key(self) -> str:
        """The interactions."""
        tables = [np.asarray(table, float).tolist() for table in self.interactions]
        own = None if self.fields is None else np.asarray(self.fields, float).tolist()
        return f"pairs {tables} {own}"

    def energies(self, configurations: Configurations) -> NDArray[np.float64]:
        """Energies in eV, (S,).

        Raises
        ------
        DataError
            Where there are more tables than shells, or a table for other species.
        """
        x, shells = configurations.occupations, configurations.sites.shells
        species = len(configurations.species)
        if len(self.interactions) > len(shells):
            raise DataError(
                f"there are interactions of {len(self.interactions)} shells, and the sites have "
                f"{len(shells)}: build them with more shells"
            )
        energy = np.zeros(len(x))
        for table, shell in zip(self.interactions, shells, strict=False):
            values = np.asarray(table, float)
            if values.shape != (species, species):
                raise DataError(
                    f"a table of interactions has the shape {values.shape}; {species} species "
                    f"({', '.join(configurations.species)}) need ({species}, {species})"
                )
            first, second = shell.pairs.T
            energy += values[x[:, first], x[:, second]].sum(1)
        if self.fields is not None:
            energy += np.asarray(self.fields, float)[x].sum(1)
        return energy


class IsingEngine(PairEngine):
    """The Ising model: a pair of like neighbours has the energy -J, of unlike ones +J.

    Parameters
    ----------
    coupling : float
        J in eV. By default k · 1 K, so that a temperature in K is kT in units of J.

    Examples
    --------
    >>> from pyro_hea.disorder import Configurations, square_lattice
    >>> up = Configurations(square_lattice(4), ("up", "down"), np.zeros((1, 16), np.int8))
    >>> float(IsingEngine(1.0).energies(up)[0])
    -32.0
    """

    def __init__(self, coupling: float = BOLTZMANN) -> None:
        super().__init__([[[-coupling, coupling], [coupling, -coupling]]])


def log_partition_of_square_ising(length: int, coupling: float) -> float:
    """Exact ln Z of the Ising model on a periodic square lattice.

    Kaufman, Crystal statistics II, Physical Review 76 (1949) 1232.

    Parameters
    ----------
    length : int
        Sites along an edge, an even number.
    coupling : float
        J / kT, above 0.

    Examples
    --------
    >>> round(log_partition_of_square_ising(4, 0.2), 4)
    11.7715

    Raises
    ------
    DataError
        For what the formula is not for.
    """
    if length < 2 or length % 2 or coupling <= 0:
        raise DataError(
            "Kaufman's formula takes an even number of sites along an edge and a coupling above 0, "
            f"not {length} and {coupling:g}"
        )
    n, k = length, coupling
    critical = np.cosh(2 * k) * np.cosh(2 * k) / np.sinh(2 * k)
    gamma = np.arccosh(critical - np.cos(np.pi * np.arange(2 * n) / n))
    gamma[0] = 2 * k + np.log(np.tanh(k))
    odd, even = gamma[1::2], gamma[0::2]
    signs, logs = [], []
    for of, ratio in ((odd, np.cosh), (odd, np.sinh), (even, np.cosh), (even, np.sinh)):
        terms = 2 * ratio(n * of / 2)
        signs.append(float(np.sign(terms).prod()))
        logs.append(float(np.log(np.abs(terms) + 1e-300).sum()))
    largest = max(logs)
    total = sum(s * np.exp(value - largest) for s, value in zip(signs, logs, strict=True))
    return float(n * n / 2 * np.log(2 * np.sinh(2 * k)) - np.log(2) + largest + np.log(total))
