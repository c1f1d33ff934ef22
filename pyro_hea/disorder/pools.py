"""Weighted draws of the surrogate's ensembles: from the generator, and by annealing without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import logsumexp

from pyro_hea.devices import unvalidated
from pyro_hea.disorder.program import log_weights
from pyro_hea.posterior.psis import psis

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.disorder.ideal import IdealSolution
    from pyro_hea.disorder.program import InverseVAE
    from pyro_hea.disorder.surrogate import Surrogate


@dataclass(frozen=True, eq=False)
class Pool:
    """Draws at K temperatures with the surrogate's energies, which cost nothing.

    Attributes
    ----------
    occupations : ndarray of int, shape (K, L, N)
    energies : ndarray, shape (K, L)
        By the surrogate, in eV.
    log_weight : ndarray, shape (K, L)
        The mean of the weights is the surrogate's Z, relative to the ideal solution.
    """

    occupations: NDArray[np.int8]
    energies: NDArray[np.float64]
    log_weight: NDArray[np.float64]

    @property
    def log_z(self) -> NDArray[np.float64]:
        """ln Z of the surrogate at each temperature, (K,)."""
        return logsumexp(self.log_weight, 1) - np.log(self.log_weight.shape[1])

    @property
    def share(self) -> NDArray[np.float64]:
        """Effective share of the draws, (K,)."""
        weight = np.exp(self.log_weight - self.log_weight.max(1, keepdims=True))
        return weight.sum(1) ** 2 / (weight**2).sum(1) / weight.shape[1]

    @property
    def k_hat(self) -> NDArray[np.float64]:
        """Of the weights at each temperature, (K,); see `tail_shape`."""
        return np.array([tail_shape(row) for row in self.log_weight])

    def resample(self, n: int, rng: np.random.Generator) -> NDArray[np.int8]:
        """n configurations of each temperature in proportion to their weights, (K, n, N)."""
        weight = np.exp(self.log_weight - self.log_weight.max(1, keepdims=True))
        edges = weight.cumsum(1) / weight.sum(1, keepdims=True)
        rows = [np.searchsorted(e, rng.random(n)).clip(max=len(e) - 1) for e in edges]
        return np.stack([x[r] for x, r in zip(self.occupations, rows, strict=True)])


def tail_shape(log_weight: NDArray[np.float64]) -> float:
    """PSIS k-hat of weights; -inf where the largest is met so often that there is no tail.

    Examples
    --------
    >>> tail_shape(np.zeros(100))
    -inf
    """
    draws = len(log_weight)
    largest = log_weight > log_weight.max() - 1e-6
    if largest.sum() > min(draws / 10, 3 * np.sqrt(draws) / 2):
        return -np.inf
    return float(psis(log_weight[:, None])[1][0])


def generated_pool(vae: InverseVAE, surrogate: Surrogate, n: int) -> Pool:
    """Fresh draws from the trained generator, weighted by the surrogate's ensembles.

    Draws of all members, and some of the ideal solution, count at each temperature, weighted by
    the mixture that they are of: what one member leaves out another makes (Veach and Guibas,
    Optimally combining sampling techniques, 1995). Single precision makes the draws and double
    precision the weights.

    Parameters
    ----------
    vae : InverseVAE
    surrogate : Surrogate
    n : int
        Draws of each member.
    """
    vae = vae.double()
    with unvalidated(), torch.no_grad():
        x, made, read = log_weights(vae, n)
        beta = vae.beta.double().numpy()[:, None]
        own = (read - made).numpy() - beta * vae.shift
        if vae.reader is None:
            x, own = _mixed(vae, x, n)
    vae.float()
    occupations = x.numpy().astype(np.int8)
    flat = occupations.reshape(-1, occupations.shape[-1])
    energies = surrogate.energies(flat).reshape(occupations.shape[:2])
    if vae.reader is None:
        energies = np.broadcast_to(energies, own.shape)
        occupations = np.broadcast_to(occupations, (len(own), *occupations.shape[1:]))
    return Pool(occupations, energies, own)


def _mixed(vae: InverseVAE, x: Tensor, n: int) -> tuple[Tensor, NDArray[np.float64]]:
    """Draws of all members and of the ideal solution, (1, S, N), their weights (K, S)."""
    members = len(x)
    ideal = vae.ideal_draws(n)[:1]
    every = torch.cat([x.reshape(1, -1, x.shape[-1]), ideal], 1)
    log_ideal = vae.log_ideal(every)
    made = vae.generator.log_prob(every.expand(members, -1, -1))
    mixture = torch.cat([made, log_ideal]).logsumexp(0) - np.log(members + 1)
    beta = vae.beta.double()[:, None]
    log_read = log_ideal - beta * (vae.energies(every) + vae.shift)
    return every, (log_read - mixture).numpy()


def annealed_pool(
    surrogate: Surrogate,
    ideal: IdealSolution,
    beta: NDArray[np.float64],
    *,
    chains: int,
    sweeps: int,
    rng: np.random.Generator,
) -> Pool:
    """Draws by annealed importance sampling from the ideal solution, which need no generator.

    Neal, Annealed importance sampling, Statistics and Computing 11 (2001) 125.

    Parameters
    ----------
    surrogate : Surrogate
    ideal : IdealSolution
    beta : ndarray, shape (K,)
        1 / kT in 1/eV, in any order.
    chains : int
        L, independent of each other.
    sweeps : int
        Of every site, on the way from no energy to the largest beta.
    rng : Generator
    """
    x = ideal.sample(chains, rng)
    move = _Sweep(surrogate, ideal, rng)
    log_weight = np.zeros(chains)
    path = np.unique(np.concatenate([np.linspace(0, beta.max(), sweeps + 1), beta]))
    found = {}
    for before, after in zip(path[:-1], path[1:], strict=True):
        log_weight = log_weight - (after - before) * surrogate.energies(x)
        x = move(x, after)
        if after in beta:
            found[after] = (x.copy(), surrogate.energies(x), log_weight)
    for value in beta[beta == 0]:
        start = ideal.sample(chains, rng)
        found[value] = (start, surrogate.energies(start), np.zeros(chains))
    return Pool(*(np.stack([found[b][part] for b in beta]) for part in range(3)))


class _Sweep:
    """One attempt to change every site, which leaves the ensemble at a beta as it is."""

    def __init__(
        self, surrogate: Surrogate, ideal: IdealSolution, rng: np.random.Generator
    ) -> None:
        _, self._field, self._coupling = surrogate.quadratic()
        self._ideal, self._rng = ideal, rng
        self._prior = np.log(ideal.fractions)
        sites, species = self._field.shape
        self._flat = self._coupling.reshape(sites * species, sites, species)
        self._blocks = _blocks(np.abs(self._coupling).max((1, 3)) > 0)

    def __call__(self, x: NDArray[np.int8], beta: float) -> NDArray[np.int8]:
        return self._swaps(x, beta) if self._ideal.fixed else self._heat_bath(x, beta)

    def _local(self, hot: NDArray[np.float64], sites: NDArray[np.int64]) -> NDArray[np.float64]:
        """Energy of each species on some sites, the others as they are, (S, sites, C)."""
        part = self._flat[:, sites]
        local = hot @ part.reshape(len(part), -1)
        return local.reshape(len(hot), *part.shape[1:]) + self._field[sites]

    def _hot(self, x: NDArray[np.int8]) -> NDArray[np.float64]:
        return np.eye(self._field.shape[1])[x].reshape(len(x), -1)

    def _heat_bath(self, x: NDArray[np.int8], beta: float) -> NDArray[np.int8]:
        x, hot = x.copy(), self._hot(x)
        species = self._field.shape[1]
        for block in self._blocks:
            scores = self._prior - beta * self._local(hot, block)
            drawn = (scores + self._rng.gumbel(size=scores.shape)).argmax(-1)
            x[:, block] = drawn
            columns = (block[:, None] * species + np.arange(species)).ravel()
            hot[:, columns] = np.eye(species)[drawn].reshape(len(x), -1)
        return x

    def _swaps(self, x: NDArray[np.int8], beta: float) -> NDArray[np.int8]:
        x, hot = x.copy(), self._hot(x)
        sites, species = self._field.shape
        order = self._rng.permutation(sites)
        rows, one = np.arange(len(x)), np.eye(species)
        for i, j in zip(order[0::2], order[1::2], strict=False):
            a, b = x[:, i].astype(int), x[:, j].astype(int)
            local = self._local(hot, np.array([i, j]))
            both = self._coupling[i, :, j]
            change = local[rows, 0, b] - local[rows, 0, a] + local[rows, 1, a] - local[rows, 1, b]
            change += both[b, a] + both[a, b] - both[b, b] - both[a, a]
            taken = self._rng.exponential(size=len(x)) > beta * change
            a, b = np.where(taken, b, a), np.where(taken, a, b)
            x[:, i], x[:, j] = a, b
            hot[:, i * species : (i + 1) * species] = one[a]
            hot[:, j * species : (j + 1) * species] = one[b]
        return x


def _blocks(linked: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Sites gathered so that no two in one block interact."""
    colours = np.full(len(linked), -1)
    for site in range(len(linked)):
        taken = set(colours[linked[site]].tolist())
        colours[site] = next(c for c in range(len(linked) + 1) if c not in taken)
    return [np.flatnonzero(colours == c) for c in range(colours.max() + 1)]
