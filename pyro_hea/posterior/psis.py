"""Pareto-smoothed importance sampling; knows neither torch nor pyro.

Vehtari, Simpson, Gelman, Yao and Gabry, Pareto smoothed importance sampling, JMLR 25 (2024).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

K_HAT_LIMIT = 0.7
"""k-hat above which importance weights, and the proposal behind them, are not to be trusted."""


def psis(log_weight: Floats) -> tuple[Floats, Floats]:
    """Smooth the largest weights by a generalised Pareto distribution.

    Parameters
    ----------
    log_weight : ndarray, shape (S, ...)
        Of draws along the first axis; -inf for a draw that is impossible.

    Returns
    -------
    weight : ndarray, shape (S, ...)
        Normalised to sum to 1 over the draws.
    k_hat : ndarray, shape (...)
        Shape of the tail: below 0.5 the weights have a finite variance, above 0.7 no estimate
        from them can be trusted, however many the draws.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> u = 1.5 * rng.standard_normal((4000, 1))            # draws wider than what is asked for
    >>> weight, k_hat = psis(-u**2 / 2 + (u / 1.5) ** 2 / 2)
    >>> bool(k_hat[0] < 0.5), bool(abs((weight * u**2).sum() - 1) < 0.1)
    (True, True)
    """
    from arviz import psislw

    draws, *shape = log_weight.shape
    columns = log_weight.reshape(draws, -1)
    weight, k_hat = np.zeros_like(columns), np.full(columns.shape[1], np.nan)
    for i, column in enumerate(columns.T):
        possible = np.isfinite(column)
        smooth, tail = psislw(column[possible])
        weight[possible, i], k_hat[i] = np.exp(smooth), float(tail)
    return (weight / weight.sum(0)).reshape(draws, *shape), k_hat.reshape(shape)
