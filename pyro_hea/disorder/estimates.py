"""Averages at temperatures from draws whose true energies were paid for, with their spread.

The draws are of the mixture q of the surrogate's ensembles at all temperatures, so that each energy
counts at every temperature:

    Z_t = E_q[v_t],   v_t(x) = exp(-E(x) / kT) / Σ_s a_s exp(-Ê(x) / kT_s) / Z_s

with Ê and Z_s of the surrogate. Weights are adjusted so that what is known of the surrogate's own
averages comes out exactly (regression estimator, Cochran, Sampling Techniques, 1977, chapter 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from pyro_hea.disorder.pools import tail_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.bridge import Bridge
    from pyro_hea.disorder.pools import Pool

IDEAL_SHARE = 0.1
"""Share of the draws that are of the ideal solution, which bounds the weights."""

_REPLICATES = 200

_DRAWS_PER_CONTROL = 5


@dataclass(frozen=True, eq=False)
class Estimate:
    """Averages over draws with true energies.

    Attributes
    ----------
    weight : ndarray, shape (K, n)
        Of each draw at each temperature; sums to 1 over the draws.
    log_z : ndarray, shape (K,)
        ln Z relative to the ideal solution.
    moments : ndarray, shape (K, 2)
        Mean and variance of the energy, in eV and eV².
    averages : ndarray, shape (K, A)
        Of the quantities.
    replicates : dict of str to ndarray, shape (R, K, ...)
        The same three, over bootstrap replicates of the draws and of the pool.
    share : ndarray, shape (K,)
        Effective share of the draws' weights relative to the surrogate's ensemble at the same
        temperature, times that of the pool.
    k_hat : ndarray, shape (K,)
        The larger one of the pool's and of the final draws'.
    """

    weight: NDArray[np.float64]
    log_z: NDArray[np.float64]
    moments: NDArray[np.float64]
    averages: NDArray[np.float64]
    replicates: dict[str, NDArray[np.float64]]
    share: NDArray[np.float64]
    k_hat: NDArray[np.float64]

    @property
    def log_z_sd(self) -> NDArray[np.float64]:
        """Standard error of ln Z, (K,)."""
        return self.replicates["log_z"].std(0)


def draw_from_pool(
    pool: Pool, ideal_draws: NDArray[np.int8], n: int, rng: np.random.Generator
) -> NDArray[np.int8]:
    """Configurations of the mixture in random order, about n; see `estimate`.

    Returns
    -------
    ndarray of int, shape (n, N)
    """
    temperatures = len(pool.energies)
    each = max(1, round((1 - IDEAL_SHARE) * n / temperatures))
    drawn = pool.resample(each, rng).reshape(-1, pool.occupations.shape[-1])
    every = np.concatenate([drawn, ideal_draws[: n - len(drawn)]])
    return rng.permutation(every)


def estimate(
    pool: Pool,
    beta: NDArray[np.float64],
    energies: NDArray[np.float64],
    surrogate: NDArray[np.float64],
    quantities: NDArray[np.float64],
    rng: np.random.Generator,
) -> Estimate:
    """Average over draws of `draw_from_pool`.

    Parameters
    ----------
    pool : Pool
    beta : ndarray, shape (K,)
        1 / kT in 1/eV.
    energies, surrogate : ndarray, shape (n,)
        Of the draws in eV: by the engine, and by the surrogate.
    quantities : ndarray, shape (n, A)
        Of the draws, to be averaged.
    rng : Generator
    """
    pool_weight = np.exp(pool.log_weight - pool.log_z[:, None])
    sizes = np.ones_like(pool_weight)
    data = _Draws(beta, energies, surrogate, quantities)
    weight, *best = data.averages(pool, pool_weight, sizes, np.ones(len(energies)))
    found: dict[str, list[NDArray[np.float64]]] = {"log_z": [], "moments": [], "averages": []}
    for _ in range(_REPLICATES):
        sizes = rng.exponential(size=pool_weight.shape)
        counts = rng.exponential(size=len(energies))
        result = data.averages(pool, pool_weight, sizes, counts)
        for key, value in zip(found, result[1:], strict=True):
            found[key].append(value)
    log_ratio = -beta[:, None] * (energies - surrogate)
    near = np.exp(data.log_mixture(pool.log_z, beta)[1])  # chance of each temperature
    ratio = near * np.exp(log_ratio - log_ratio.max(1, keepdims=True))
    squares = (ratio * ratio / np.maximum(near, 1e-300)).sum(1)
    spread = ratio.sum(1) ** 2 / near.sum(1) / squares
    log_v = -beta[:, None] * energies - data.log_mixture(pool.log_z, beta)[0]
    final = np.array([tail_shape(row) for row in log_v])
    return Estimate(
        weight,
        log_z=best[0],
        moments=best[1],
        averages=best[2],
        replicates={key: np.stack(value) for key, value in found.items()},
        share=pool.share * spread,
        k_hat=np.maximum(pool.k_hat, final),
    )


def spread_in_kt(
    pool: Pool,
    beta: NDArray[np.float64],
    energies: NDArray[np.float64],
    surrogate: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Standard deviation of (E - Ê) / kT in the surrogate's ensemble at each temperature, (K,).

    Parameters as of `estimate`.
    """
    data = _Draws(beta, energies, surrogate, np.zeros((len(energies), 0)))
    near = np.exp(data.log_mixture(pool.log_z, beta)[1])
    near = near / near.sum(1, keepdims=True)
    off = energies - surrogate
    mean = near @ off
    return np.asarray(beta * np.sqrt(np.maximum(near @ off**2 - mean**2, 0.0)))


def with_bridge(
    found: Estimate,
    pool: Pool,
    made: Bridge,
    quantities: NDArray[np.float64],
    rng: np.random.Generator,
) -> Estimate:
    """Put what a bridge found in the place of the temperatures that it is of.

    Parameters
    ----------
    found : Estimate
        Over draws that the bridge's come after.
    pool : Pool
        Whose draws the bridge started from.
    made : Bridge
    quantities : ndarray, shape (n, A)
        Of the bridge's draws.
    rng : Generator
    """
    weight = np.pad(found.weight, ((0, 0), (0, len(made.energies))))
    log_z, moments, averages = found.log_z.copy(), found.moments.copy(), found.averages.copy()
    share, k_hat = found.share.copy(), found.k_hat.copy()
    again = {key: value.copy() for key, value in found.replicates.items()}
    for row in np.unique(made.rows):
        on = np.flatnonzero(made.rows == row)
        # the draws and the pool as they are, and their bootstrap replicates
        counts, sizes = (
            np.vstack([np.ones(n), rng.exponential(size=(_REPLICATES, n))])
            for n in (len(on), pool.log_weight.shape[1])
        )
        log_pool = _log_mean(pool.log_weight[row], sizes)
        log_ratio = _log_mean(made.log_weight[on], counts)
        part = counts * np.exp(made.log_weight[on] - made.log_weight[on].max())
        part = part / part.sum(1, keepdims=True)
        mean = part @ made.energies[on]
        variance = np.maximum(part @ made.energies[on] ** 2 - mean**2, 0.0)
        of = part @ quantities[on]
        log_z[row], again["log_z"][:, row] = (log_pool + log_ratio)[0], (log_pool + log_ratio)[1:]
        moments[row], again["moments"][:, row] = (
            (mean[0], variance[0]),
            np.stack([mean, variance], 1)[1:],
        )
        averages[row], again["averages"][:, row] = of[0], of[1:]
        weight[row] = 0.0
        weight[row, found.weight.shape[1] + on] = part[0]
        share[row] = pool.share[row] / (part[0] ** 2).sum() / len(on)
        k_hat[row] = max(pool.k_hat[row], tail_shape(made.log_weight[on]))
    return Estimate(weight, log_z, moments, averages, again, share, k_hat)


def _log_mean(log_weight: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the mean of weights (n,), each counted so often, (R, n)."""
    largest = log_weight.max()
    total = counts @ np.exp(log_weight - largest)
    return np.asarray(np.log(total / counts.sum(1)) + largest)


@dataclass(frozen=True, eq=False)
class _Draws:
    beta: NDArray[np.float64]
    energies: NDArray[np.float64]
    surrogate: NDArray[np.float64]
    quantities: NDArray[np.float64]

    def log_mixture(
        self, log_z: NDArray[np.float64], beta: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log density of the mixture relative to the ideal solution (n,), each part's share."""
        parts = np.vstack(
            [
                np.log((1 - IDEAL_SHARE) / len(beta))
                - beta[:, None] * self.surrogate
                - log_z[:, None],
                np.full(len(self.surrogate), np.log(IDEAL_SHARE)),
            ]
        )
        total = logsumexp(parts, 0)
        return total, (parts - total)[:-1]

    def averages(
        self,
        pool: Pool,
        pool_weight: NDArray[np.float64],
        sizes: NDArray[np.float64],
        counts: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], ...]:
        """Weights, ln Z, moments of the energy and averages, for weighted draws and pool."""
        weighted = pool_weight * sizes
        log_z = pool.log_z + np.log(weighted.mean(1) / sizes.mean(1))
        mixture, part = self.log_mixture(log_z, self.beta)
        # of expectation 1, and the surrogate's mean energy
        ratio = np.exp(part) * len(self.beta) / (1 - IDEAL_SHARE)
        controls, known = [], []
        if len(counts) >= _DRAWS_PER_CONTROL * len(ratio):
            controls, known = list(ratio), [1.0] * len(ratio)
        if len(counts) >= _DRAWS_PER_CONTROL * 2 * len(ratio):
            for row, weights, values in zip(ratio, weighted, pool.energies, strict=True):
                mean = weights @ values / weights.sum()
                controls.append(row * (self.surrogate - mean))
                known.append(0.0)
        share = counts / counts.sum()
        # the known means are the pool's, which has an error too
        error = len(counts) / pool.effective.mean()
        adjusted = share
        if controls:
            change = _calibration(np.array(controls), np.array(known), share, error)
            adjusted = share * (1 + change)
        log_v = -self.beta[:, None] * self.energies - mixture
        largest = log_v.max(1, keepdims=True)
        weight = adjusted * np.exp(log_v - largest)
        total = weight.sum(1)
        # adjusted weights may be negative; a sum that is means that the draws say nothing
        plain = (share * np.exp(log_v - largest)).sum(1)
        bad = total <= 0.05 * plain
        weight[bad] = (share * np.exp(log_v - largest))[bad]
        total = weight.sum(1)
        log_z_true = np.log(total) + largest[:, 0]
        weight = weight / total[:, None]
        mean = weight @ self.energies
        variance = weight @ self.energies**2 - mean**2
        moments = np.stack([mean, np.maximum(variance, 0.0)], 1)
        return weight, log_z_true, moments, weight @ self.quantities


def _calibration(
    controls: NDArray[np.float64],
    known: NDArray[np.float64],
    share: NDArray[np.float64],
    error: float,
) -> NDArray[np.float64]:
    """Relative change of the draws' weights that gives the controls their known means, (n,).

    The variance of the known means, relative to that of the draws' means, keeps combinations of
    controls that hardly vary from being followed.
    """
    mean = controls @ share
    centred = controls - mean[:, None]
    scale = np.sqrt((centred**2) @ share)
    scale[scale < 1e-12] = 1.0
    centred = centred / scale[:, None]
    covariance = (centred * share) @ centred.T
    covariance[np.diag_indices_from(covariance)] += error
    return np.linalg.solve(covariance, (known - mean) / scale) @ centred
