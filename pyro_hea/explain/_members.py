"""Summary of one quantity over the members of an ensemble."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyro_hea.posterior.predictions import INTERVAL

Floats = NDArray[np.float64]


def summary(values: Floats) -> dict[str, Floats]:
    """Mean over the members and the interval that holds the middle 94 % of them.

    Parameters
    ----------
    values : array, shape (K, ...)

    Returns
    -------
    dict of str to array of shape (...)
        `mean`, `low` and `high`; with a handful of members nearly the least and the greatest.

    Examples
    --------
    >>> {name: round(float(value), 6) for name, value in summary(np.array([0.0, 1.0])).items()}
    {'mean': 0.5, 'low': 0.03, 'high': 0.97}
    """
    tail = (1 - INTERVAL) / 2
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    return {"mean": values.mean(axis=0), "low": low, "high": high}
