"""Common classifiers to compare with, each by its name and with settings fixed beforehand.

Their settings were chosen by cross-validation inside the labelled part of the published split.

Examples
--------
>>> import numpy as np
>>> x = np.linspace(-1, 1, 40)[:, None]
>>> fit_predict("logistic_regression", x, x[:, 0] > 0, [[-0.9], [0.9]], seed=0).round(1)
array([0., 1.])
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pyro_hea.errors import DataError, SpecError, nearest

_FOLDS = 5


def _extra_trees(seed: int) -> Any:
    return ExtraTreesClassifier(400, min_samples_leaf=2, random_state=seed)


def _random_forest(seed: int) -> Any:
    return RandomForestClassifier(400, min_samples_leaf=2, random_state=seed)


def _gradient_boosting(seed: int) -> Any:
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=200,
        max_leaf_nodes=8,
        l2_regularization=1.0,
        random_state=seed,
    )


def _logistic_regression(seed: int) -> Any:
    return GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
        {"logisticregression__C": np.logspace(-3, 2, 6)},
        scoring="neg_log_loss",
        cv=StratifiedKFold(_FOLDS, shuffle=True, random_state=seed),
    )


def _mlp_ensemble(seed: int) -> Any:
    network = MLPClassifier((64, 64), alpha=1.0, learning_rate_init=2e-3, max_iter=100)
    # without resampling, bagging is an average over initial weights
    return make_pipeline(
        StandardScaler(), BaggingClassifier(network, 8, bootstrap=False, random_state=seed)
    )


def _gaussian_process(seed: int) -> Any:
    kernel = ConstantKernel(100.0) * Matern(10.0, nu=1.5)
    return make_pipeline(StandardScaler(), GaussianProcessClassifier(kernel, random_state=seed))


BASELINES: dict[str, Callable[[int], Any]] = {
    "extra_trees": _extra_trees,
    "random_forest": _random_forest,
    "gradient_boosting": _gradient_boosting,
    "logistic_regression": _logistic_regression,
    "mlp_ensemble": _mlp_ensemble,
    "gaussian_process": _gaussian_process,
}
"""From a seed to an unfitted classifier; `mlp_ensemble` averages 8 networks of 64-64 units."""


def fit_predict(
    name: str, x_train: ArrayLike, y_train: ArrayLike, x_test: ArrayLike, seed: int
) -> NDArray[np.float64]:
    """Fit a baseline and predict.

    Parameters
    ----------
    name : str
        One of `BASELINES`.
    x_train : array_like, shape (N, F)
        Features; those that need it standardise them by the training rows.
    y_train : array_like of {0, 1}, shape (N,)
        Labels, at least 5 of each.
    x_test : array_like, shape (M, F)
        Features of the alloys to predict.
    seed : int
        The same seed gives the same probabilities.

    Returns
    -------
    array, shape (M,)
        Probability of 1.

    Raises
    ------
    SpecError
        For a name that is no baseline.
    DataError
        For shapes that do not match, a missing value, or fewer than 5 labels of a class.

    Examples
    --------
    >>> fit_predict("boosting", [[0.0]], [0], [[0.0]], seed=0)
    Traceback (most recent call last):
    pyro_hea.errors.SpecError: There is no baseline 'boosting'; choose one of extra_trees, ...
    """
    y = np.asarray(y_train, dtype=np.float64)
    if not np.isin(y, (0, 1)).all():
        raise DataError("Labels are 0 or 1, without missing values.")
    return predict_probabilities(name, x_train, y, x_test, 2, seed)[:, 1]


def predict_probabilities(
    name: str, x_train: ArrayLike, y_train: ArrayLike, x_test: ArrayLike, classes: int, seed: int
) -> NDArray[np.float64]:
    """Fit a baseline on labels 0, 1, …, and predict the probability of each, (M, classes).

    Parameters and errors are those of `fit_predict`; a class that no label is of gets 0.
    """
    if name not in BASELINES:
        raise SpecError(
            f"There is no baseline '{name}'; choose one of {', '.join(BASELINES)}."
            f"{nearest(name, BASELINES)}"
        )
    x, y, new = (np.asarray(a, dtype=np.float64) for a in (x_train, y_train, x_test))
    if x.ndim != 2 or y.shape != x.shape[:1] or new.ndim != 2 or new.shape[1] != x.shape[1]:
        raise DataError(
            f"Shapes (N, F), (N,) and (M, F) are needed, not {x.shape}, {y.shape}, {new.shape}."
        )
    if not (np.isfinite(x).all() and np.isfinite(new).all()):
        raise DataError("Features are missing or infinite: drop those rows.")
    present, counts = np.unique(y, return_counts=True)
    if len(present) < 2 or counts.min() < _FOLDS:
        raise DataError(f"Labels of two classes or more are needed, at least {_FOLDS} of each.")
    model = BASELINES[name](seed)
    with warnings.catch_warnings():
        # the networks stop after a set number of epochs, and a kernel may rest on a bound
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y.astype(int))
    probabilities = np.zeros((len(new), classes))
    probabilities[:, present.astype(int)] = model.predict_proba(new)
    return probabilities
