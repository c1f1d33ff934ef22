"""Calibration of probabilities and intervals, and detection of alloys unlike the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from pyro_hea.evaluate.measures.reliability import BINS, reliability_table

Floats = NDArray[np.float64]

NEIGHBOURS = 5
"""Nearest training alloys that the distance is averaged over."""


def brier_decomposition(y: ArrayLike, p: ArrayLike, bins: int = BINS) -> dict[str, float]:
    """Decompose the Brier score into reliability, resolution and uncertainty.

    Murphy, J. Appl. Meteorol. 12 (1973) 595, over bins of equal width.

    Parameters
    ----------
    y : array_like of {0, 1}, shape (N,)
    p : array_like, shape (N,)
        Probability of 1.
    bins : int

    Returns
    -------
    dict of str to float
        `reliability` (0 is calibrated) - `resolution` (how far the bins differ) + `uncertainty`
        (of the labels as a whole) + `within_bins` (what binning leaves out) = `brier`;
        `sharpness` is the variance of p.

    Raises
    ------
    DataError
        As `reliability_table` does.

    Examples
    --------
    >>> parts = brier_decomposition([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9])
    >>> {name: round(value, 3) for name, value in parts.items() if name != "sharpness"}
    {'reliability': 0.05, 'resolution': 0.062, 'uncertainty': 0.188, 'within_bins': 0.0,
     'brier': 0.175}
    """
    table = reliability_table(y, p, bins)
    table = table[table["n"] > 0]
    labels, probabilities = np.asarray(y, float), np.asarray(p, float)
    share = table["n"] / table["n"].sum()
    base = labels.mean()
    brier = float(np.mean((probabilities - labels) ** 2))
    parts = {
        "reliability": float((share * (table["predicted"] - table["observed"]) ** 2).sum()),
        "resolution": float((share * (table["observed"] - base) ** 2).sum()),
        "uncertainty": float(base * (1 - base)),
    }
    rest = brier - parts["reliability"] + parts["resolution"] - parts["uncertainty"]
    return {
        **parts,
        "within_bins": rest,
        "brier": brier,
        "sharpness": float(probabilities.var()),
    }


def interval_coverage(y: ArrayLike, low: ArrayLike, high: ArrayLike) -> dict[str, float]:
    """Share of the values that lie in their intervals, and the mean width of the intervals.

    Parameters
    ----------
    y, low, high : array_like, shape (N,)
        In the target's unit; a value that is NaN is left out.

    Examples
    --------
    >>> interval_coverage([1.0, 5.0], [0.0, 0.0], [2.0, 2.0])
    {'n': 2, 'coverage': 0.5, 'mean_width': 2.0}
    """
    value, below, above = (np.asarray(column, float) for column in (y, low, high))
    known = np.isfinite(value)
    inside = (value >= below) & (value <= above)
    return {
        "n": int(known.sum()),
        "coverage": float(inside[known].mean()),
        "mean_width": float((above - below)[known].mean()),
    }


def distance_to_known(known: ArrayLike, alloys: ArrayLike, neighbours: int = NEIGHBOURS) -> Floats:
    """Mean total-variation distance of each alloy to the nearest known alloys.

    Parameters
    ----------
    known, alloys : array_like, shapes (M, E) and (N, E)
        Fractions over the same elements.
    neighbours : int

    Returns
    -------
    ndarray, shape (N,)
        0 where the nearest are the same composition; 1 where no element is shared.

    Examples
    --------
    >>> distance_to_known([[1.0, 0.0, 0.0]], [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    array([0.5, 1. ])
    """
    distance = cdist(np.asarray(alloys, float), np.asarray(known, float), "cityblock") / 2
    nearest = np.sort(distance, axis=1)[:, :neighbours]
    return np.asarray(nearest.mean(1))


def detection_auc(inside: ArrayLike, outside: ArrayLike) -> float:
    """AUC with which a signal detects alloys outside the data: 1 is perfect, 0.5 is chance.

    Parameters
    ----------
    inside, outside : array_like, shapes (N,) and (M,)
        The signal on alloys like the data, and on alloys unlike them.

    Examples
    --------
    >>> detection_auc([0.1, 0.2], [0.2, 0.9])
    0.875
    """
    a, b = np.asarray(inside, float), np.asarray(outside, float)
    return float(roc_auc_score(np.repeat([0, 1], [len(a), len(b)]), np.concatenate([a, b])))
