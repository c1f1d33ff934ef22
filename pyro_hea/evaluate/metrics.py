"""Measures of predictions, of reconstructed compositions and of what a latent space gives away.

Probabilities are of class 1, fractions sum to 1, and errors of a composition are in at.%.

Examples
--------
>>> scores = classification_metrics([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9])
>>> scores["auc"], scores["accuracy"]
(1.0, 0.75)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import log_loss, pairwise_distances_argmin_min, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from pyro_hea.errors import DataError

Floats = NDArray[np.float64]

METRICS = ("n", "auc", "accuracy", "log_loss", "brier", "ece")
"""What `classification_metrics` measures, in order."""

BINS = 10
"""Equal-width bins of the calibration error."""

_FOLDS = 5
_NEIGHBOURS = 15

_SUM_TOLERANCE = 1e-4
"""How far from 1 the fractions of an alloy may add up; decoders work in single precision."""


def classification_metrics(y: ArrayLike, p: ArrayLike) -> dict[str, float]:
    """Score probabilities against labels.

    Parameters
    ----------
    y : array_like of {0, 1}, shape (N,)
        Labels.
    p : array_like, shape (N,)
        Probability of 1.

    Returns
    -------
    dict of str to float
        `n`; `auc`; `accuracy` (class 1 is called where p > 0.5); `log_loss` in nats, with p kept
        2e-16 away from 0 and 1; `brier`, the mean of (p - y)²; `ece`, see
        `expected_calibration_error`.

    Raises
    ------
    DataError
        For lengths that differ, no rows, a missing value, a probability outside [0, 1], a label
        other than 0 and 1, or labels of one class only, for which there is no AUC.

    Examples
    --------
    >>> {k: round(v, 3) for k, v in classification_metrics([0, 1, 1], [0.2, 0.4, 1.0]).items()}
    {'n': 3, 'auc': 1.0, 'accuracy': 0.667, 'log_loss': 0.38, 'brier': 0.133, 'ece': 0.267}
    """
    labels, probabilities = _checked(y, p)
    _need_both_classes(labels)
    return _scores(labels, probabilities)


def by_size(y: ArrayLike, p: ArrayLike, number_of_elements: ArrayLike) -> pd.DataFrame:
    """Score all alloys, and those of each number of elements.

    Parameters
    ----------
    y, p : array_like, shape (N,)
        As in `classification_metrics`.
    number_of_elements : array_like of int, shape (N,)
        Elements in each alloy.

    Returns
    -------
    DataFrame
        Rows `all`, `≥ 4 elements`, `2–3`, `4–5` and `≥ 6`, columns `METRICS`. The AUC of a
        subset with labels of one class is NaN, since there is no pair of alloys to rank; so is
        every measure of a subset without alloys.

    Raises
    ------
    DataError
        As `classification_metrics` does, for the alloys as a whole.

    Examples
    --------
    >>> by_size([0, 1, 0, 1], [0.2, 0.8, 0.4, 0.6], [2, 3, 4, 5])[["n", "auc"]]
                  n  auc
    all           4  1.0
    ≥ 4 elements  2  1.0
    2–3           2  1.0
    4–5           2  1.0
    ≥ 6           0  NaN
    """
    labels, probabilities = _checked(y, p)
    _need_both_classes(labels)
    size = _numbers(number_of_elements, "number_of_elements")
    _same_length(y=labels, number_of_elements=size)
    subsets = {
        "all": np.full(size.shape, True),
        "≥ 4 elements": size >= 4,
        "2–3": (size >= 2) & (size <= 3),
        "4–5": (size >= 4) & (size <= 5),
        "≥ 6": size >= 6,
    }
    rows = [_scores(labels[subset], probabilities[subset]) for subset in subsets.values()]
    return pd.DataFrame(rows, index=list(subsets))


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
    return _calibration_error(*_checked(y, p), bins)


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
    probabilities = _probabilities(p)
    rng = np.random.default_rng(seed)
    errors = [
        _calibration_error(rng.random(probabilities.size) < probabilities, probabilities)
        for _ in range(draws)
    ]
    low, high = np.quantile(errors, _tails(level))
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
    labels, probabilities = _checked(y, p)
    bin_of = _bin_of(probabilities, bins)
    n = np.bincount(bin_of, minlength=bins)
    ones = np.bincount(bin_of, labels, minlength=bins)
    count = np.where(n > 0, n, np.nan)
    low, high = (beta.ppf(q, ones + 0.5, count - ones + 0.5) for q in _tails(0.9))
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


def composition_metrics(true: ArrayLike, reconstructed: ArrayLike) -> dict[str, float]:
    """Error of reconstructed compositions.

    Parameters
    ----------
    true, reconstructed : array_like, shape (N, E)
        Fractions, with the same elements in the same columns.

    Returns
    -------
    dict of str to float
        `mae_at_pct`, the mean absolute error over alloys and all elements; `mae_present_at_pct`,
        the same over the elements that each alloy truly holds; `atoms_misplaced_pct`, half the
        L1 distance, averaged over alloys. The first shrinks as columns of absent elements are
        added, the others do not.

    Raises
    ------
    DataError
        For shapes or columns that differ, or rows that are no compositions.

    Examples
    --------
    >>> composition_metrics([[0.5, 0.5, 0, 0]], [[0.25, 0.5, 0.25, 0]])
    {'mae_at_pct': 12.5, 'mae_present_at_pct': 12.5, 'atoms_misplaced_pct': 25.0}
    """
    _same_columns(true, reconstructed)
    a, b = _fractions(true, "true"), _fractions(reconstructed, "reconstructed")
    if a.shape != b.shape:
        raise DataError(f"true has shape {a.shape} but reconstructed has shape {b.shape}.")
    error = 100 * np.abs(a - b)
    return {
        "mae_at_pct": float(error.mean()),
        "mae_present_at_pct": float(error[a > 0].mean()),
        "atoms_misplaced_pct": float(error.sum(axis=1).mean() / 2),
    }


def nearest_alloy(true: ArrayLike, known: ArrayLike) -> tuple[NDArray[np.intp], Floats]:
    """Find the known alloy nearest to each alloy.

    Parameters
    ----------
    true : array_like, shape (N, E)
        Fractions.
    known : array_like, shape (M, E)
        Fractions of the alloys to choose from, with the same columns.

    Returns
    -------
    index : array of int, shape (N,)
        Row of `known`; the first of those equally near.
    distance : array, shape (N,)
        Total-variation distance, half the L1 distance: the share of atoms to be exchanged.

    Raises
    ------
    DataError
        For columns that differ in number or name, or rows that are no compositions.

    Examples
    --------
    >>> index, distance = nearest_alloy([[0.5, 0.5]], [[1.0, 0.0], [0.6, 0.4]])
    >>> int(index[0]), round(float(distance[0]), 3)
    (1, 0.1)
    """
    _same_columns(true, known)
    a, b = _fractions(true, "true"), _fractions(known, "known")
    if a.shape[1] != b.shape[1]:
        raise DataError(f"true has {a.shape[1]} elements but known has {b.shape[1]}.")
    index, distance = pairwise_distances_argmin_min(a, b, metric="manhattan")
    return index, distance / 2


def nearest_alloy_mae_at_pct(true: ArrayLike, known: ArrayLike) -> float:
    """Composition error of copying the nearest known alloy, to set beside `mae_at_pct`.

    Parameters
    ----------
    true, known : array_like, shapes (N, E) and (M, E)
        As in `nearest_alloy`.

    Returns
    -------
    float
        Mean absolute error over all elements, in at.%.

    Raises
    ------
    DataError
        As `nearest_alloy` does.

    Examples
    --------
    >>> round(nearest_alloy_mae_at_pct([[0.5, 0.5]], [[1.0, 0.0], [0.6, 0.4]]), 3)
    10.0
    """
    _, distance = nearest_alloy(true, known)
    return float(200 * distance.mean() / np.shape(true)[1])


def label_from_latent(z: ArrayLike, y: ArrayLike, seed: int = 0) -> dict[str, float]:
    """Measure how well the label can be read from the latent; 0.5 is disentangled.

    Parameters
    ----------
    z : array_like, shape (N, d)
        Posterior means, as they are: the prior gives each dimension its scale.
    y : array_like of {0, 1}, shape (N,)
        Labels.
    seed : int
        Of the folds and of the trees.

    Returns
    -------
    dict of str to float
        `knn_auc` (15 nearest neighbours) and `trees_auc` (extra trees, which see no scale): the
        AUC averaged over 5 stratified folds; `worse_auc`, the larger of the two.

    Raises
    ------
    DataError
        For lengths that differ, a missing value, other labels than 0 and 1, fewer than 5 alloys
        of a class, or too few to have 15 neighbours.

    Examples
    --------
    >>> z = np.linspace(0, 1, 60)[:, None]
    >>> label_from_latent(z, z[:, 0] > 0.5)["worse_auc"]
    1.0
    """
    latent, labels = _numbers(z, "z", dimensions=2), _labels(y)
    _same_length(z=latent, y=labels)
    smallest = min(int(labels.sum()), int((1 - labels).sum()))
    if smallest < _FOLDS or labels.size * (_FOLDS - 1) // _FOLDS < _NEIGHBOURS:
        raise DataError(
            f"{labels.size} alloys, {smallest} of the rarer class, are too few: {_FOLDS} folds of "
            f"{_NEIGHBOURS} neighbours need {_FOLDS} of each class and 19 in all."
        )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    readers = {
        "knn_auc": KNeighborsClassifier(_NEIGHBOURS),
        "trees_auc": ExtraTreesClassifier(200, min_samples_leaf=2, random_state=seed),
    }
    aucs = {
        name: float(cross_val_score(reader, latent, labels, cv=folds, scoring="roc_auc").mean())
        for name, reader in readers.items()
    }
    return aucs | {"worse_auc": max(aucs.values())}


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
    sample = _numbers(values, "values")
    rows = np.random.default_rng(seed).integers(sample.size, size=(draws, sample.size))
    low, high = np.quantile(sample[rows].mean(axis=1), _tails(level))
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
    first, second = _numbers(a, "a"), _numbers(b, "b")
    _same_length(a=first, b=second)
    return bootstrap_interval(first - second, level, draws, seed)


def _scores(y: Floats, p: Floats) -> dict[str, float]:
    if y.size == 0:
        return {name: 0 if name == "n" else np.nan for name in METRICS}
    return {
        "n": y.size,
        "auc": float(roc_auc_score(y, p)) if 0 < y.mean() < 1 else np.nan,
        "accuracy": float(np.mean((p > 0.5) == (y == 1))),
        "log_loss": float(log_loss(y, p, labels=[0, 1])),
        "brier": float(np.mean((p - y) ** 2)),
        "ece": _calibration_error(y, p),
    }


def _calibration_error(y: Floats | NDArray[np.bool_], p: Floats, bins: int = BINS) -> float:
    return float(np.abs(np.bincount(_bin_of(p, bins), p - y)).sum() / p.size)


def _bin_of(p: Floats, bins: int) -> NDArray[np.int64]:
    return np.minimum((p * bins).astype(np.int64), bins - 1)


def _tails(level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise DataError(f"level is {level}; it is a share between 0 and 1, such as 0.9.")
    return (1 - level) / 2, (1 + level) / 2


def _checked(y: ArrayLike, p: ArrayLike) -> tuple[Floats, Floats]:
    labels, probabilities = _labels(y), _probabilities(p)
    _same_length(y=labels, p=probabilities)
    return labels, probabilities


def _labels(y: ArrayLike) -> Floats:
    labels = _numbers(y, "y")
    _refuse((labels != 0) & (labels != 1), labels, "y", "a label is 0 or 1")
    return labels


def _probabilities(p: ArrayLike) -> Floats:
    probabilities = _numbers(p, "p")
    _refuse((probabilities < 0) | (probabilities > 1), probabilities, "p", "it lies in [0, 1]")
    return probabilities


def _fractions(values: ArrayLike, name: str) -> Floats:
    fractions = _numbers(values, name, dimensions=2)
    total = fractions.sum(axis=1)
    _refuse(fractions.min(axis=1) < 0, fractions.min(axis=1), name, "a fraction is not negative")
    _refuse(np.abs(total - 1) > _SUM_TOLERANCE, total, name, "the fractions of a row sum to 1")
    return fractions


def _numbers(values: ArrayLike, name: str, dimensions: int = 1) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != dimensions or numbers.size == 0:
        raise DataError(
            f"{name} has shape {numbers.shape}; it needs {dimensions} dimension(s), none empty."
        )
    total = numbers.reshape(len(numbers), -1).sum(axis=1)
    _refuse(~np.isfinite(total), total, name, "drop rows with missing or infinite values")
    return numbers


def _refuse(faulty: NDArray[np.bool_], values: Floats, name: str, allowed: str) -> None:
    for row in np.flatnonzero(faulty)[:1]:
        raise DataError(f"{name} is {values[row]:g} in row {row}: {allowed}.")


def _need_both_classes(y: Floats) -> None:
    if np.ptp(y) == 0:
        raise DataError(f"All {y.size} labels are {y[0]:g}: an AUC needs alloys of both classes.")


def _same_length(**arrays: Floats) -> None:
    (a, first), (b, second) = arrays.items()
    if len(first) != len(second):
        raise DataError(f"{a} has {len(first)} rows but {b} has {len(second)}.")


def _same_columns(a: ArrayLike, b: ArrayLike) -> None:
    """Tables are compared by position; elements in another order would go unnoticed."""
    columns: Sequence[list[str]] = [list(t.columns) for t in (a, b) if isinstance(t, pd.DataFrame)]
    if len(columns) == 2 and columns[0] != columns[1]:
        raise DataError(
            f"The tables differ in their columns: {', '.join(columns[0])} and "
            f"{', '.join(columns[1])}. Reindex one to the columns of the other."
        )
