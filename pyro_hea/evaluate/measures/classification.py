"""Scores of a binary target. Probabilities are of class 1.

Examples
--------
>>> scores = classification_metrics([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9])
>>> scores["auc"], scores["accuracy"]
(1.0, 0.75)
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import log_loss, roc_auc_score

from pyro_hea.errors import DataError
from pyro_hea.evaluate.measures._checks import Floats, numbers, predictions_of, same_length
from pyro_hea.evaluate.measures.reliability import calibration_error

METRICS = ("n", "auc", "accuracy", "log_loss", "brier", "ece")
"""What `classification_metrics` measures, in order."""


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
    labels, probabilities = predictions_of(y, p)
    _need_both_classes(labels)
    return _scores(labels, probabilities)


def by_size(y: ArrayLike, p: ArrayLike, number_of_elements: ArrayLike) -> pd.DataFrame:
    """Score all alloys, and those of each number of elements apart.

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
    labels, probabilities = predictions_of(y, p)
    _need_both_classes(labels)
    size = numbers(number_of_elements, "number_of_elements")
    same_length(y=labels, number_of_elements=size)
    subsets = {
        "all": np.full(size.shape, True),
        "≥ 4 elements": size >= 4,
        "2–3": (size >= 2) & (size <= 3),
        "4–5": (size >= 4) & (size <= 5),
        "≥ 6": size >= 6,
    }
    rows = [_scores(labels[subset], probabilities[subset]) for subset in subsets.values()]
    return pd.DataFrame(rows, index=list(subsets))


def _scores(y: Floats, p: Floats) -> dict[str, float]:
    if y.size == 0:
        return {name: 0 if name == "n" else np.nan for name in METRICS}
    return {
        "n": y.size,
        "auc": float(roc_auc_score(y, p)) if 0 < y.mean() < 1 else np.nan,
        "accuracy": float(np.mean((p > 0.5) == (y == 1))),
        "log_loss": float(log_loss(y, p, labels=[0, 1])),
        "brier": float(np.mean((p - y) ** 2)),
        "ece": calibration_error(y, p),
    }


def _need_both_classes(y: Floats) -> None:
    if np.ptp(y) == 0:
        raise DataError(f"All {y.size} labels are {y[0]:g}: an AUC needs alloys of both classes.")
