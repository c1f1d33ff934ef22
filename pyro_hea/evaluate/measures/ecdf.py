"""Empirical distribution functions of values that should be uniform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def ecdf_difference(values: ArrayLike, points: ArrayLike) -> Floats:
    """Empirical distribution function less that of the uniform distribution, at points.

    Parameters
    ----------
    values : array_like, shape (N,)
        Between 0 and 1.
    points : array_like, shape (P,)
        Where it is evaluated.

    Returns
    -------
    ndarray, shape (P,)

    Examples
    --------
    >>> ecdf_difference([0.2, 0.4], [0.25, 0.5, 1.0])
    array([0.25, 0.5 , 0.  ])
    """
    ordered, at = np.sort(np.asarray(values, float)), np.asarray(points, float)
    return np.searchsorted(ordered, at, side="right") / len(ordered) - at


def ecdf_band(number: int, points: ArrayLike, probability: float) -> tuple[Floats, Floats]:
    """Central interval of `ecdf_difference` of uniform values, point by point.

    Parameters
    ----------
    number : int
        Values N.
    points : array_like, shape (P,)
    probability : float
        Of the interval at each point.

    Returns
    -------
    low, high : ndarray, shape (P,)
        Säilynoja, Bürkner and Vehtari, Statistics and Computing 32 (2022) 32.
    """
    at = np.asarray(points, float)
    low, high = binom.interval(probability, number, at)
    return low / number - at, high / number - at
