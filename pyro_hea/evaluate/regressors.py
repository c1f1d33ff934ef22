"""Common regressors with intervals to compare with, each by its name and with fixed settings.

Examples
--------
>>> x = np.linspace(0, 1, 30)[:, None]
>>> predict_quantiles("ridge", x, 2 * x[:, 0], [[0.5]], [0.5], seed=0).round(2)
array([[1.]])
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pyro_hea.errors import SpecError, nearest

Floats: TypeAlias = NDArray[np.float64]

_FOLDS = 5


def predict_quantiles(
    name: str,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike,
    levels: Sequence[float] | Floats,
    seed: int,
) -> Floats:
    """Fit a baseline and predict quantiles.

    Parameters
    ----------
    name : str
        One of `REGRESSORS`.
    x_train : array_like, shape (N, F)
    y_train : array_like, shape (N,)
        On the scale on which errors are about equal, such as the logarithm.
    x_test : array_like, shape (M, F)
    levels : array_like, shape (Q,)
        Between 0 and 1; 0.5 is the median.
    seed : int

    Returns
    -------
    array, shape (Q, M)
        On the scale of `y_train`.

    Raises
    ------
    SpecError
        For a name that is no baseline.
    """
    if name not in REGRESSORS:
        raise SpecError(
            f"there is no baseline '{name}'; choose one of {', '.join(REGRESSORS)}."
            f"{nearest(name, REGRESSORS)}"
        )
    x, y, new = (np.asarray(a, float) for a in (x_train, y_train, x_test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a kernel parameter at its bound
        return REGRESSORS[name](x, y, new, np.asarray(levels, float), seed)


def _extra_trees(x: Floats, y: Floats, new: Floats, levels: Floats, seed: int) -> Floats:
    """Quantiles of the labels in the same leaves (Meinshausen, J. Mach. Learn. Res. 7, 2006)."""
    forest = ExtraTreesRegressor(400, min_samples_leaf=2, random_state=seed).fit(x, y)
    weights = np.zeros((len(new), len(y)))
    for test_leaf, train_leaf in zip(forest.apply(new).T, forest.apply(x).T, strict=True):
        together = test_leaf[:, None] == train_leaf
        weights += together / together.sum(1, keepdims=True)
    order = np.argsort(y)
    below = weights[:, order].cumsum(1) / len(forest.estimators_)
    return np.stack([y[order][(below >= level - 1e-9).argmax(1)] for level in levels])


def _ridge(x: Floats, y: Floats, new: Floats, levels: Floats, seed: int) -> Floats:
    """Linear, with the quantiles of its cross-validated residuals."""
    line = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 25)))
    folds = KFold(_FOLDS, shuffle=True, random_state=seed)
    residuals = y - cross_val_predict(line, x, y, cv=folds)
    predicted: Floats = line.fit(x, y).predict(new)
    return predicted + np.quantile(residuals, levels)[:, None]


def _gaussian_process(x: Floats, y: Floats, new: Floats, levels: Floats, seed: int) -> Floats:
    """Matern 3/2 with noise, on standardised features; kernel parameters by maximum likelihood."""
    kernel = ConstantKernel() * Matern(10.0, nu=1.5) + WhiteKernel()
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    scaler = StandardScaler().fit(x)
    mean, sd = process.fit(scaler.transform(x), y).predict(scaler.transform(new), return_std=True)
    quantiles: Floats = mean + norm.ppf(levels)[:, None] * sd
    return quantiles


Regressor: TypeAlias = Callable[[Floats, Floats, Floats, Floats, int], Floats]

REGRESSORS: dict[str, Regressor] = {
    "extra_trees": _extra_trees,
    "gaussian_process": _gaussian_process,
    "ridge": _ridge,
}
"""From training features, labels, test features, levels and seed to quantiles (levels, M)."""
