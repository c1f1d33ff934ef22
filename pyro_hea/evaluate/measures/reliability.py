"""Predicted and observed frequencies. Probabilities are of class 1."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from pyro_hea.evaluate.measures._checks import Floats, predictions_of, probabilities_of, tails

BINS = 10
"""Equal-width bins of the calibration error."""


def expected_calibration_error(y: ArrayLike, p: ArrayLike, bins: int = BINS) -> float:
    """Distance between predicted and observed frequencies.

    Parameters
    ----------
    y, p : array_like, shape (N,)
        As in `classification_metrics`.
    bins : int
        Bins of equal width, each closed below and open above but the last.

    Returns
    -------
    float
        Σ_b n_b / N · |mean p - mean y|, from Naeini et al., AAAI (2015) 2901. It is not 0 for a
        calibrated predictor of a finite number of alloys: see `calibrated_ece_band`.

    Raises
    ------
    DataError
        As `classification_metrics` does; one class only is fine here.

    Examples
    --------
    >>> round(expected_calibration_error([0, 1, 1, 1], [0.5, 0.5, 0.9, 0.9]), 3)
    0.05
    """
    return calibration_error(*predictions_of(y, p), bins)


def calibrated_ece_band(
    p: ArrayLike, level: float = 0.9, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Band of the calibration error if the labels were drawn from the probabilities.

    Parameters
    ----------
    p : array_like, shape (N,)
        Probability of 1.
    level : float
        Share of the draws inside the band.
    draws : int
        Sets of labels drawn.
    seed : int

    Returns
    -------
    low, high : float
        Central interval of `expected_calibration_error`.

    Raises
    ------
    DataError
        For a missing value, a probability outside [0, 1], or a level outside (0, 1).

    Examples
    --------
    >>> low, high = calibrated_ece_band([0.1, 0.5, 0.9] * 40)
    >>> bool(0 < low < high < 0.1)
    True
    """
    probabilities = probabilities_of(p)
    rng = np.random.default_rng(seed)
    errors = [
        calibration_error(rng.random(probabilities.size) < probabilities, probabilities)
        for _ in range(draws)
    ]
    low, high = np.quantile(errors, tails(level))
    return float(low), float(high)


def reliability_table(y: ArrayLike, p: ArrayLike, bins: int = BINS) -> pd.DataFrame:
    """Predicted and observed frequencies, bin by bin.

    Parameters
    ----------
    y, p : array_like, shape (N,)
        As in `classification_metrics`.
    bins : int
        Bins of equal width, as in `expected_calibration_error`.

    Returns
    -------
    DataFrame, shape (bins, 7)
        `bin_low`, `bin_high`, `n`, `predicted` (mean probability), `observed` (frequency of 1),
        and the 90 % Jeffreys interval `low`, `high` of the frequency (Brown, Cai and DasGupta,
        Stat. Sci. 16 (2001) 101). A bin without alloys has NaN from `predicted` on.

    Raises
    ------
    DataError
        As `classification_metrics` does; one class only is fine here.

    Examples
    --------
    >>> reliability_table([0, 1, 1, 1], [0.2, 0.3, 0.8, 0.9], bins=2).round(2)
       bin_low  bin_high  n  predicted  observed   low  high
    0      0.0       0.5  2       0.25       0.5  0.10   0.9
    1      0.5       1.0  2       0.85       1.0  0.43   1.0
    """
    labels, probabilities = predictions_of(y, p)
    bin_of = _bin_of(probabilities, bins)
    n = np.bincount(bin_of, minlength=bins)
    ones = np.bincount(bin_of, labels, minlength=bins)
    count = np.where(n > 0, n, np.nan)
    low, high = (beta.ppf(q, ones + 0.5, count - ones + 0.5) for q in tails(0.9))
    edges = np.arange(bins + 1) / bins
    return pd.DataFrame(
        {
            "bin_low": edges[:-1],
            "bin_high": edges[1:],
            "n": n,
            "predicted": np.bincount(bin_of, probabilities, minlength=bins) / count,
            "observed": ones / count,
            "low": np.where(ones == 0, count * 0, low),
            "high": np.where(ones == n, count * 0 + 1, high),
        }
    )


def calibration_error(y: Floats | NDArray[np.bool_], p: Floats, bins: int = BINS) -> float:
    """`expected_calibration_error` of arrays that were checked before."""
    return float(np.abs(np.bincount(_bin_of(p, bins), p - y)).sum() / p.size)


def _bin_of(p: Floats, bins: int) -> NDArray[np.int64]:
    return np.minimum((p * bins).astype(np.int64), bins - 1)
