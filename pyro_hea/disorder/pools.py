"""Weighted draws of the surrogate's ensembles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import logsumexp

from pyro_hea.devices import unvalidated
from pyro_hea.disorder.program import log_weights
from pyro_hea.disorder.variants import unchanged
from pyro_hea.posterior.psis import psis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.disorder.program import InverseVAE
    from pyro_hea.disorder.surrogate import Surrogate
    from pyro_hea.disorder.variants import Variant

_TAIL = 10.0

_ROUNDING = 1e-6
"""Of a log weight."""


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
            x, weight = _mixed(vae, n, symmetry or [unchanged(vae.ideal)])
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
        weight = _log_weights(vae, flat, symmetry or [unchanged(vae.ideal)])[:temperatures]
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
