"""Bootstrap intervals over seeds, folds or alloys."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pyro_hea.evaluate.measures._checks import numbers, same_length, tails


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> dict[str, float]:
    """Percentile interval of a mean, over seeds or folds.

    Parameters
    ----------
    values : array_like, shape (S,)
        One value per seed.
    level : float
        Share of the resampled means inside the interval.
    draws : int
        Resamples.
    seed : int

    Returns
    -------
    dict of str to float
        `mean`, `low`, `high` (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
        ch. 13). Below some ten values the interval is too narrow, and of one value it is a point.

    Raises
    ------
    DataError
        For no values, a missing value, or a level outside (0, 1).

    Examples
    --------
    >>> interval = bootstrap_interval([0.91, 0.93, 0.92, 0.94, 0.90])
    >>> {name: round(value, 3) for name, value in interval.items()}
    {'mean': 0.92, 'low': 0.908, 'high': 0.932}
    """
    sample = numbers(values, "values")
    rows = np.random.default_rng(seed).integers(sample.size, size=(draws, sample.size))
    low, high = np.quantile(sample[rows].mean(axis=1), tails(level))
    return {"mean": float(sample.mean()), "low": float(low), "high": float(high)}


def paired_difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> dict[str, float]:
    """Percentile interval of the mean of a - b, where both were measured on the same seeds.

    Parameters
    ----------
    a, b : array_like, shape (S,)
        One value per seed, in the same order.
    level, draws, seed
        As in `bootstrap_interval`.

    Returns
    -------
    dict of str to float
        `mean`, `low`, `high` of the difference.

    Raises
    ------
    DataError
        For lengths that differ, and as `bootstrap_interval` does.

    Examples
    --------
    >>> paired_difference([0.75, 1.0], [0.5, 0.75])
    {'mean': 0.25, 'low': 0.25, 'high': 0.25}
    """
    first, second = numbers(a, "a"), numbers(b, "b")
    same_length(a=first, b=second)
    return bootstrap_interval(first - second, level, draws, seed)
