"""Weighted draws of the surrogate's ensembles: from the generator, and by annealing without it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse
from scipy.special import logsumexp

from pyro_hea.devices import unvalidated
from pyro_hea.disorder.program import log_weights
from pyro_hea.posterior.psis import psis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.disorder.ideal import IdealSolution
    from pyro_hea.disorder.program import InverseVAE
    from pyro_hea.disorder.sites import Sites
    from pyro_hea.disorder.surrogate import Surrogate

_TAIL = 10.0

_SAME = 0.02
"""In Å."""

_ROUNDING = 1e-6
"""Of a log weight."""

_MOST_VARIANTS = 4

_SPARSE = 0.1
"""Share of pairs of sites that interact, below which the others are skipped."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Draws at K temperatures with the surrogate's energies, which cost nothing.

    Attributes
    ----------
    occupations : ndarray of int, shape (K, L, N)
    energies : ndarray, shape (K, L)
        By the surrogate, in eV.
    log_weight : ndarray, shape (K, L)
        The mean of the weights is the surrogate's Z, relative to the ideal solution. Where there
        are fewer draws at a temperature, those that are missing have -inf.
    """

    occupations: NDArray[np.int8]
    energies: NDArray[np.float64]
    log_weight: NDArray[np.float64]

    @property
    def log_z(self) -> NDArray[np.float64]:
        """Ln Z of the surrogate at each temperature, (K,)."""
        return logsumexp(self.log_weight, 1) - np.log(self.log_weight.shape[1])

    @property
    def share(self) -> NDArray[np.float64]:
        """Effective share of the draws, (K,)."""
        return self.effective / np.isfinite(self.log_weight).sum(1)

    @property
    def effective(self) -> NDArray[np.float64]:
        """Effective number of draws, (K,)."""
        weight = np.exp(self.log_weight - self.log_weight.max(1, keepdims=True))
        return np.asarray(weight.sum(1) ** 2 / (weight**2).sum(1))

    @property
    def k_hat(self) -> NDArray[np.float64]:
        """Of the weights at each temperature, (K,); see `tail_shape`."""
        return np.array([tail_shape(row) for row in self.log_weight])

    def resample(self, n: int, rng: np.random.Generator) -> NDArray[np.int8]:
        """N configurations of each temperature in proportion to their weights, (K, n, N)."""
        weight = np.exp(self.log_weight - self.log_weight.max(1, keepdims=True))
        edges = weight.cumsum(1) / weight.sum(1, keepdims=True)
        rows = [np.searchsorted(e, rng.random(n)).clip(max=len(e) - 1) for e in edges]
        return np.stack([x[r] for x, r in zip(self.occupations, rows, strict=True)])


def tail_shape(log_weight: NDArray[np.float64]) -> float:
    """PSIS k-hat of weights; 0 where none is ten times their mean, so that there is no tail.

    Weights of few distinct configurations come in ties, which no Pareto distribution fits.

    Examples
    --------
    >>> tail_shape(np.zeros(100))
    0.0
    """
    log_weight = log_weight[np.isfinite(log_weight)]
    if log_weight.max() < np.log(_TAIL) + logsumexp(log_weight) - np.log(len(log_weight)):
        return 0.0
    return float(psis(log_weight[:, None])[1][0])


def generated_pool(
    vae: InverseVAE, surrogate: Surrogate, n: int, symmetry: Sequence[Variant] = ()
) -> Pool:
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
    symmetry : sequence of Variant
        Of which one, at random, is done to each draw: a generator that makes one of several
        equivalent orders is thereby one that makes all.
    """
    vae = vae.double()
    with unvalidated(), torch.no_grad():
        if vae.reader is None:
            x, weight = _mixed(vae, n, symmetry or [_same(vae.ideal)])
        else:
            x, made, read = log_weights(vae, n)
            weight = read - made - vae.beta.double()[:, None] * vae.shift
    vae.float()
    occupations = x.numpy().astype(np.int8)
    flat = occupations.reshape(-1, occupations.shape[-1])
    energies = surrogate.energies(flat).reshape(occupations.shape[:2])
    shape = tuple(weight.shape)
    return Pool(
        np.broadcast_to(occupations, (*shape, occupations.shape[-1])),
        np.broadcast_to(energies, shape),
        weight.numpy(),
    )


def _mixed(vae: InverseVAE, n: int, symmetry: Sequence[Variant]) -> tuple[Tensor, Tensor]:
    """Draws of all members and of the ideal solution, (1, S, N), their weights (K, S)."""
    made = vae.generator.draw(n)
    members, _, sites = made.shape
    which = torch.randint(len(symmetry), (members * n,))
    flat = made.reshape(-1, sites)
    every = torch.empty_like(flat)
    for number, variant in enumerate(symmetry):
        every[which == number] = variant(flat[which == number])
    every = torch.cat([every, vae.ideal_draws(n)[0]])
    return every[None], _log_weights(vae, every, symmetry)


def _log_weights(vae: InverseVAE, x: Tensor, symmetry: Sequence[Variant]) -> Tensor:
    """Of configurations (S, N), as draws of all members and of the ideal solution, (K, S)."""
    members = vae.generator.members
    log_made = torch.stack(
        [
            vae.generator.log_prob(variant.undo(x).expand(members, -1, -1)).logsumexp(0)
            for variant in symmetry
        ]
    ).logsumexp(0) - np.log(len(symmetry))
    log_ideal = vae.log_ideal(x)
    mixture = torch.logaddexp(log_made, log_ideal) - np.log(members + 1)
    beta = vae.beta.double()[:, None]
    return log_ideal - beta * (vae.energies(x[None])[0] + vae.shift) - mixture


def weights_as_made(
    vae: InverseVAE, other: Pool, symmetry: Sequence[Variant] = ()
) -> NDArray[np.float64]:
    """Log weights that draws of another pool would have, had the generator made them, (K, L).

    Parameters
    ----------
    vae : InverseVAE
        With y summed out.
    other : Pool
        Of the first K temperatures.
    symmetry : sequence of Variant
        By which the generator's draws were made.
    """
    vae = vae.double()
    temperatures, draws, sites = other.occupations.shape
    flat = torch.tensor(other.occupations.reshape(-1, sites)).long()
    with unvalidated(), torch.no_grad():
        weight = _log_weights(vae, flat, symmetry or [_same(vae.ideal)])[:temperatures]
    vae.float()
    by_pool = weight.reshape(temperatures, temperatures, draws).numpy()
    return np.asarray(by_pool.diagonal(0, 0, 1).T)


def missed_share(
    made: NDArray[np.float64], as_made: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the ensemble that a generator hardly makes, (K,).

    That is of the configurations that would have a larger weight than any of its own draws. The
    weights of these do not say how many there are; draws that never met the generator do.

    Parameters
    ----------
    made : ndarray, shape (K, L)
        Log weights of the generator's draws.
    as_made : ndarray, shape (K, S)
        The same of the other draws.
    other : ndarray, shape (K, S)
        Their own log weights.

    Examples
    --------
    Draws of one half of an ensemble have even weights; of the others none was made.

    >>> missed_share(np.zeros((1, 100)), np.array([[0.0, 0.0, 9.0, 9.0]]), np.zeros((1, 4)))
    array([0.5])
    """
    share = np.exp(other - logsumexp(other, 1)[:, None])
    return np.asarray((share * (as_made > made.max(1, keepdims=True) + _ROUNDING)).sum(1))


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


def _same(ideal: IdealSolution) -> Variant:
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
    every = [
        Variant(torch.tensor(place), torch.tensor(order))
        for place in places[:_MOST_VARIANTS]
        for order in species[:_MOST_VARIANTS]
    ]
    return every


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
    move = Sweep(surrogate, ideal, rng)
    log_weight = np.zeros(chains)
    path = np.unique(np.concatenate([np.linspace(0, beta.max(), sweeps + 1), beta]))
    found = {}
    for before, after in pairwise(path):
        log_weight = log_weight - (after - before) * surrogate.energies(x)
        x = move(x, after)
        if after in beta:
            found[after] = (x.copy(), surrogate.energies(x), log_weight)
    for value in beta[beta == 0]:
        start = ideal.sample(chains, rng)
        found[value] = (start, surrogate.energies(start), np.zeros(chains))
    return Pool(*(np.stack([found[b][part] for b in beta]) for part in range(3)))


def annealed_on(
    pool: Pool,
    good: NDArray[np.bool_],
    surrogate: Surrogate,
    ideal: IdealSolution,
    beta: NDArray[np.float64],
    *,
    chains: int,
    sweeps: int,
    rng: np.random.Generator,
) -> Pool:
    """Make what the generator makes badly from what it makes well at a higher temperature.

    Its draws of the lowest temperature that is good and higher are annealed on.

    Parameters
    ----------
    pool : Pool
        Of the generator.
    good : ndarray of bool, shape (K,)
        Temperatures that are left as they are.
    surrogate : Surrogate
    ideal : IdealSolution
    beta : ndarray, shape (K,)
        1 / kT in 1/eV.
    chains : int
        Of at most as many as the pool has draws.
    sweeps : int
        Of every site, for each temperature that is made.
    rng : Generator
    """
    occupations, energies = pool.occupations.copy(), pool.energies.copy()
    log_weight = pool.log_weight.copy()
    draws = log_weight.shape[1]
    chains = min(chains, draws)
    move = Sweep(surrogate, ideal, rng)
    for row in np.flatnonzero(~good):
        hotter = np.flatnonzero(good & (beta < beta[row]))
        if not len(hotter):
            continue
        start = hotter[beta[hotter].argmax()]
        x = pool.resample(chains, rng)[start]
        log_w = np.full(chains, pool.log_z[start] + np.log(draws / chains))
        for before, after in pairwise(np.linspace(beta[start], beta[row], sweeps + 1)):
            log_w -= (after - before) * surrogate.energies(x)
            x = move(x, after)
        log_weight[row] = -np.inf
        log_weight[row, :chains], occupations[row, :chains] = log_w, x
        energies[row, :chains] = surrogate.energies(x)
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
