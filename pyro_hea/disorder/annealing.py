"""Weighted draws of the surrogate's ensembles by annealing, which needs no generator."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pyro_hea.disorder.pools import Pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.ideal import IdealSolution
    from pyro_hea.disorder.surrogate import Surrogate

_SPARSE = 0.1
"""Share of pairs of sites that interact, below which the others are skipped."""


@dataclass(frozen=True, eq=False)
class Annealing:
    """Annealed importance sampling (Neal, Statistics and Computing 11 (2001) 125).

    Attributes
    ----------
    surrogate : Surrogate
    ideal : IdealSolution
    beta : ndarray, shape (K,)
        1 / kT in 1/eV, in any order.
    chains : int
        Independent of each other.
    sweeps : int
        Of every site, on the way from one temperature to another.
    rng : Generator
    """

    surrogate: Surrogate
    ideal: IdealSolution
    beta: NDArray[np.float64]
    chains: int
    sweeps: int
    rng: np.random.Generator

    def from_ideal(self) -> Pool:
        """Draws from the ideal solution, by `sweeps` on the way to the lowest temperature."""
        surrogate, ideal, beta = self.surrogate, self.ideal, self.beta
        x = ideal.sample(self.chains, self.rng)
        move = Sweep(surrogate, ideal, self.rng)
        log_weight = np.zeros(self.chains)
        path = np.unique(np.concatenate([np.linspace(0, beta.max(), self.sweeps + 1), beta]))
        found = {}
        for before, after in pairwise(path):
            log_weight = log_weight - (after - before) * surrogate.energies(x)
            x = move(x, after)
            if after in beta:
                found[after] = (x.copy(), surrogate.energies(x), log_weight)
        for value in beta[beta == 0]:
            start = ideal.sample(self.chains, self.rng)
            found[value] = (start, surrogate.energies(start), np.zeros(self.chains))
        return Pool(*(np.stack([found[b][part] for b in beta]) for part in range(3)))

    def from_hotter(self, pool: Pool, good: NDArray[np.bool_]) -> Pool:
        """Make what the generator makes badly from what it makes well at a higher temperature.

        Its draws of the lowest temperature that is good and higher are annealed on.

        Parameters
        ----------
        pool : Pool
            Of the generator.
        good : ndarray of bool, shape (K,)
            Temperatures that are left as they are.
        """
        energies_of, beta = self.surrogate.energies, self.beta
        occupations, energies = pool.occupations.copy(), pool.energies.copy()
        log_weight = pool.log_weight.copy()
        draws = log_weight.shape[1]
        chains = min(self.chains, draws)
        move = Sweep(self.surrogate, self.ideal, self.rng)
        for row in np.flatnonzero(~good):
            hotter = np.flatnonzero(good & (beta < beta[row]))
            if not len(hotter):
                continue
            start = hotter[beta[hotter].argmax()]
            x = pool.resample(chains, self.rng)[start]
            log_w = np.full(chains, pool.log_z[start] + np.log(draws / chains))
            for before, after in pairwise(np.linspace(beta[start], beta[row], self.sweeps + 1)):
                log_w -= (after - before) * energies_of(x)
                x = move(x, after)
            log_weight[row] = -np.inf
            log_weight[row, :chains], occupations[row, :chains] = log_w, x
            energies[row, :chains] = energies_of(x)
        return Pool(occupations, energies, log_weight)


class Sweep:
    """One attempt to change every site, which leaves the ensemble at a beta as it is.

    Forward and backward in turn by chance, it is in detailed balance.
    """

    def __init__(
        self, surrogate: Surrogate, ideal: IdealSolution, rng: np.random.Generator
    ) -> None:
        _, self._field, self._coupling = surrogate.quadratic()
        self._ideal, self._rng = ideal, rng
        self._prior = np.log(ideal.fractions)
        sites, species = self._field.shape
        self._flat = self._coupling.reshape(sites * species, sites * species)
        linked = np.abs(self._coupling).max((1, 3)) > 0
        self._blocks = _blocks(linked)
        self._columns = [
            (block[:, None] * species + np.arange(species)).ravel() for block in self._blocks
        ]
        self._parts = [
            sparse.csc_array(self._flat[:, c]) if linked.mean() < _SPARSE else self._flat[:, c]
            for c in self._columns
        ]

    def __call__(
        self, x: NDArray[np.int8], beta: float | NDArray[np.float64], *, backward: bool = False
    ) -> NDArray[np.int8]:
        """Configurations (S, N) at beta, one for all or one each, (S,)."""
        cold = np.broadcast_to(beta, len(x))
        return self._swaps(x, cold) if self._ideal.fixed else self._heat_bath(x, cold, backward)

    def _hot(self, x: NDArray[np.int8]) -> NDArray[np.float64]:
        return np.eye(self._field.shape[1])[x].reshape(len(x), -1)

    def _heat_bath(
        self, x: NDArray[np.int8], beta: NDArray[np.float64], backward: bool
    ) -> NDArray[np.int8]:
        x, hot = x.copy(), self._hot(x)
        species = self._field.shape[1]
        blocks = list(zip(self._blocks, self._columns, self._parts, strict=True))
        for block, columns, part in reversed(blocks) if backward else blocks:
            local = (hot @ part).reshape(len(x), -1, species) + self._field[block]
            scores = self._prior - beta[:, None, None] * local
            drawn = (scores + self._rng.gumbel(size=scores.shape)).argmax(-1)
            x[:, block] = drawn
            hot[:, columns] = np.eye(species)[drawn].reshape(len(x), -1)
        return x

    def _swaps(self, x: NDArray[np.int8], beta: NDArray[np.float64]) -> NDArray[np.int8]:
        x, hot = x.copy(), self._hot(x)
        sites, species = self._field.shape
        order = self._rng.permutation(sites)
        rows, one = np.arange(len(x)), np.eye(species)
        for i, j in zip(order[0::2], order[1::2], strict=False):
            of_i = slice(i * species, (i + 1) * species)
            of_j = slice(j * species, (j + 1) * species)
            a, b = x[:, i].astype(int), x[:, j].astype(int)
            at_i = hot @ self._flat[:, of_i] + self._field[i]
            at_j = hot @ self._flat[:, of_j] + self._field[j]
            both = self._coupling[i, :, j]
            change = at_i[rows, b] - at_i[rows, a] + at_j[rows, a] - at_j[rows, b]
            change += both[b, a] + both[a, b] - both[b, b] - both[a, a]
            taken = self._rng.exponential(size=len(x)) > beta * change
            a, b = np.where(taken, b, a), np.where(taken, a, b)
            x[:, i], x[:, j] = a, b
            hot[:, of_i], hot[:, of_j] = one[a], one[b]
        return x


def _blocks(linked: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Sites gathered so that no two in one block interact."""
    colours = np.full(len(linked), -1)
    for site in range(len(linked)):
        taken = set(colours[linked[site]].tolist())
        colours[site] = next(c for c in range(len(linked) + 1) if c not in taken)
    return [np.flatnonzero(colours == c) for c in range(colours.max() + 1)]
