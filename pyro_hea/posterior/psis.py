"""Pareto-smoothed importance sampling; knows neither torch nor pyro.

Vehtari, Simpson, Gelman, Yao and Gabry, Pareto smoothed importance sampling, JMLR 25 (2024).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import boxcox1p, softmax

Floats = NDArray[np.float64]

K_HAT_LIMIT = 0.7
"""k-hat above which importance weights, and the proposal behind them, are not to be trusted."""

_SMALLEST_TAIL = 5
"""Weights that a Pareto distribution is fitted to at least."""


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
        from them can be trusted, however many the draws. Infinite where fewer than five weights
        lie in the tail.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> u = 1.5 * rng.standard_normal((4000, 1))            # draws wider than what is asked for
    >>> weight, k_hat = psis(-u**2 / 2 + (u / 1.5) ** 2 / 2)
    >>> bool(k_hat[0] < 0.5), bool(abs((weight * u**2).sum() - 1) < 0.1)
    (True, True)
    """
    draws, *shape = log_weight.shape
    columns = log_weight.reshape(draws, -1).astype(float)
    weight, k_hat = np.zeros_like(columns), np.full(columns.shape[1], np.nan)
    for i, column in enumerate(columns.T):
        possible = np.isfinite(column)
        weight[possible, i], k_hat[i] = _smooth(column[possible])
    return (weight / weight.sum(0)).reshape(draws, *shape), k_hat.reshape(shape)


def _smooth(log_weight: Floats) -> tuple[Floats, float]:
    """Smoothed weights (S,), the largest raw one being 1, and k-hat."""
    weight = np.exp(log_weight - log_weight.max())
    draws = len(weight)
    size = math.ceil(min(draws / 5, 3 * math.sqrt(draws)))
    order = weight.argsort(kind="stable")
    threshold = max(weight[order[-min(size + 1, draws)]], float(np.finfo(float).tiny))
    tail = order[weight[order] > threshold]
    if len(tail) < _SMALLEST_TAIL:
        return weight, math.inf
    k_hat, scale = _fit_generalised_pareto(weight[tail] - threshold)
    if math.isfinite(k_hat):
        levels = (np.arange(len(tail)) + 0.5) / len(tail)
        quantiles = -scale * boxcox1p(-levels, -k_hat)
        weight[tail] = np.minimum(threshold + quantiles, 1.0)
    return weight, k_hat


def _fit_generalised_pareto(excess: Floats) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution of sorted values above a threshold.

    The posterior mean of Zhang and Stephens, Technometrics 51 (2009) 316, with the shape shrunk
    towards 1/2 by a prior worth ten values.
    """
    number = len(excess)
    points = 30 + math.isqrt(number)
    quartile = excess[int(number / 4 + 0.5) - 1]
    grid = (1 - np.sqrt(points / (np.arange(points) + 0.5))) / (3 * quartile) + 1 / excess[-1]
    shape = np.log1p(-np.outer(grid, excess)).mean(1)
    log_likelihood = number * (np.log(-grid / shape) - shape - 1)
    mean = float(grid @ softmax(log_likelihood))
    k_hat = float(np.log1p(-mean * excess).mean())
    return (number * k_hat + 5) / (number + 10), -k_hat / mean
