"""Configurations that symmetry makes equal, and those that it does not."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.ideal import Configurations

_CELLS = 2**22
"""Numbers that are held at a time."""

_MOST_STATES = 2**22


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
