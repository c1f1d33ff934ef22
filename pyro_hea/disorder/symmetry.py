"""Configurations that symmetry makes equal, and those that it does not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_hea.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.disorder.ideal import Configurations, IdealSolution
    from pyro_hea.disorder.sites import Sites
    from pyro_hea.disorder.surrogate import Surrogate

_CELLS = 2**22
"""Numbers that are held at a time."""

_MOST_STATES = 2**22

_SAME = 0.02
"""In Å."""

_MOST_VARIANTS = 4


def canonical(configurations: Configurations, permutations: NDArray[np.int64]) -> Configurations:
    """The first, in the order of words, of the configurations that are equal to each, (S, N).

    Parameters
    ----------
    configurations : ndarray of int, shape (S, N)
    permutations : ndarray of int, shape (G, N)

    Examples
    --------
    >>> ring = np.array([np.roll(np.arange(4), k) for k in range(4)])
    >>> canonical(np.array([[0, 1, 0, 0], [1, 1, 0, 0]], np.int8), ring).tolist()
    [[0, 0, 0, 1], [0, 0, 1, 1]]
    """
    configurations = np.asarray(configurations)
    n, sites = configurations.shape
    found = np.empty_like(configurations)
    step = max(1, _CELLS // permutations.size)
    base = int(configurations.max(initial=0)) + 1
    digits = int(62 / np.log2(max(base, 2)))
    for start in range(0, n, step):
        rows = configurations[start : start + step]
        left = np.ones((len(rows), len(permutations)), bool)
        for low in range(0, sites, digits):
            columns = permutations[:, low : low + digits]
            power = base ** np.arange(columns.shape[1] - 1, -1, -1, dtype=np.int64)
            word = (rows[:, columns].astype(np.int64) * power).sum(-1)
            word[~left] = np.iinfo(np.int64).max
            left &= word == word.min(1, keepdims=True)
        best = permutations[left.argmax(1)]
        found[start : start + step] = np.take_along_axis(rows, best, 1)
    return found


def distinct_configurations(
    permutations: NDArray[np.int64], species: int
) -> tuple[Configurations, NDArray[np.int64]]:
    """Every configuration up to symmetry, and how many are equal to it.

    Parameters
    ----------
    permutations : ndarray of int, shape (G, N)
    species : int
        C; there are C to the power of N configurations.

    Returns
    -------
    configurations : ndarray of int, shape (D, N)
    multiplicity : ndarray of int, shape (D,)

    Raises
    ------
    DataError
        Where there are more than four million.

    Examples
    --------
    Necklaces of four beads in two colours:

    >>> ring = np.array([np.roll(np.arange(4), k) for k in range(4)])
    >>> beads, multiplicity = distinct_configurations(ring, 2)
    >>> len(beads), multiplicity.tolist()
    (6, [1, 4, 4, 2, 4, 1])
    """
    sites = permutations.shape[1]
    states = species**sites
    if states > _MOST_STATES:
        raise DataError(
            f"{species} species on {sites} sites have {states:.3g} configurations, more than are "
            f"enumerated ({_MOST_STATES}): take fewer sites, or partition_function"
        )
    every = np.array(list(product(range(species), repeat=sites)), np.int8)
    least = canonical(every, permutations)
    distinct, counts = np.unique(least, axis=0, return_counts=True)
    return distinct, counts


@dataclass(frozen=True, eq=False)
class Variant:
    """An equivalent configuration: other sites, and other species.

    Attributes
    ----------
    sites : Tensor of int, shape (N,)
    species : Tensor of int, shape (C,)
    """

    sites: Tensor
    species: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The equivalents of configurations (..., N)."""
        return self.species[x[..., self.sites]]

    def undo(self, x: Tensor) -> Tensor:
        """What the configurations are equivalents of."""
        return self.species.argsort()[x][..., self.sites.argsort()]


def unchanged(ideal: IdealSolution) -> Variant:
    """The variant that changes nothing."""
    return Variant(torch.arange(ideal.sites), torch.arange(len(ideal.species)))


def variants(
    sites: Sites, ideal: IdealSolution, surrogate: Surrogate, rng: np.random.Generator
) -> list[Variant]:
    """Some symmetry of the energy: to neighbouring sites, and of species for one another.

    An order on sublattices, such as B2 or L1₂, is carried to its equivalents by translations to
    nearest neighbours; that of the Ising model by turning every spin.
    """
    places = [np.arange(len(sites))]
    inverse = np.linalg.inv(sites.cell)
    start = sites.positions[0]
    known: list[NDArray[np.float64]] = []
    for permutation in sites.permutations:
        moved = (sites.positions[permutation] - sites.positions) @ inverse
        moved = (moved - moved[0]) - np.round(moved - moved[0])
        first = sites.positions[permutation[0]] - start
        first = (first @ inverse - np.round(first @ inverse)) @ sites.cell
        length = np.linalg.norm(first)
        near = abs(length - sites.shells[0].distance) < _SAME if sites.shells else False
        if not near or np.abs(moved).max() > 1e-3:
            continue
        if all(abs(first @ other) < (1 - 1e-3) * length**2 for other in known):
            known.append(first)
            places.append(permutation)
    x = ideal.sample(50, rng)
    energies = surrogate.energies(x)
    species = []
    for order in permutations(range(len(ideal.species))):
        same = np.allclose(ideal.fractions[list(order)], ideal.fractions)
        change = surrogate.energies(np.array(order, np.int8)[x]) - energies
        if same and np.abs(change).max() < 1e-3 * max(float(energies.std()), 1e-12):
            species.append(order)
    return [
        Variant(torch.tensor(place), torch.tensor(order))
        for place in places[:_MOST_VARIANTS]
        for order in species[:_MOST_VARIANTS]
    ]
