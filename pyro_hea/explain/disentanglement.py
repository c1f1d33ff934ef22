"""Disentanglement scores of latent axes and factors.

DCI (Eastwood and Williams, A Framework for the Quantitative Evaluation of Disentangled
Representations, 2018), MIG (Chen et al., Isolating Sources of Disentanglement in VAEs, 2018) and
SAP (Kumar et al., Variational Inference of Disentangled Latent Concepts, 2018). They ask about
axes: a rotation of the latent space, which a normal prior does not mind, changes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import mutual_info_score
from sklearn.model_selection import KFold, cross_val_score

from pyro_hea.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyro_hea.explain._members import Floats

_BINS = 10
"""Bins of equal width in which the mutual information is counted. Of 1000 alloys it is 0.04 nats
too large at most, which the gap between two axes mostly loses."""

_FOLDS = 5


def disentanglement(z: pd.DataFrame, factors: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Score each factor's representation; the means are the scores of the whole.

    Parameters
    ----------
    z : DataFrame, shape (N, d)
        Latent of each alloy in one member, as `encode` gives it; at least two axes.
    factors : DataFrame, shape (N, F)
        What the axes may track, as `family_factors` gives it; none constant.
    seed : int
        Of the trees and the folds.

    Returns
    -------
    DataFrame
        A row for each factor and a last one, `all`: `completeness` and `informativeness` (R² in
        5 folds) of DCI, `mig` and `sap`. The row `all` holds their means, with completeness
        weighted by importance, and DCI's `disentanglement`, which is of axes and not of factors.

    Raises
    ------
    DataError
        For one axis only, tables of different lengths or a constant factor.
    """
    latent, values = z.to_numpy(float), factors.to_numpy(float)
    if latent.shape[1] < 2 or len(latent) != len(values):
        raise DataError(
            f"z has shape {latent.shape} and factors {values.shape}; scores need two axes or more "
            "and a row of factors for each row of z"
        )
    if (constant := values.std(axis=0) == 0).any():
        names = [str(name) for name in factors.columns[constant]]
        raise DataError(f"factors that are the same in all alloys: {', '.join(names)}; drop them")
    importance = importance_matrix(z, factors, seed)
    disentangled, complete = dci(importance)
    information = np.array([[_information(a, f) for f in values.T] for a in latent.T])
    entropy = np.array([_information(f, f) for f in values.T])
    linear = np.nan_to_num(np.corrcoef(latent.T, values.T)[: len(latent.T), len(latent.T) :]) ** 2
    table = pd.DataFrame(
        {
            "completeness": complete,
            "informativeness": [_informativeness(latent, f, seed) for f in values.T],
            "mig": _gap(information) / entropy,
            "sap": _gap(linear),
        },
        factors.columns,
    )
    whole = table.mean()
    weight = importance.to_numpy().sum(0)
    whole["completeness"] = np.average(complete, weights=weight) if weight.any() else 0.0
    whole["disentanglement"] = disentangled
    table.loc["all" if table.index.nlevels == 1 else ("all", ""), :] = whole
    return table.assign(disentanglement=[np.nan] * len(factors.columns) + [disentangled])


def importance_matrix(z: pd.DataFrame, factors: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Share of each axis (rows) in predicting each factor (columns) by extra trees, (d, F)."""
    columns = []
    for values in factors.to_numpy(float).T:
        trees = ExtraTreesRegressor(100, min_samples_leaf=2, random_state=seed)
        columns.append(trees.fit(z.to_numpy(float), values).feature_importances_)
    return pd.DataFrame(np.array(columns).T, z.columns, factors.columns)


def dci(importance: ArrayLike) -> tuple[float, Floats]:
    """DCI's disentanglement of all axes and completeness of each factor, from importances.

    Parameters
    ----------
    importance : array_like, shape (d, F)
        Not negative.

    Returns
    -------
    disentanglement : float
        One minus the entropy of each axis over the factors, weighted by the axis' importance.
    completeness : array, shape (F,)
        One minus the entropy of each factor over the axes.

    Examples
    --------
    >>> dci([[1, 0], [0, 1]])
    (1.0, array([1., 1.]))
    >>> dci([[1, 1], [1, 1]])
    (0.0, array([0., 0.]))
    """
    matrix = np.asarray(importance, float)
    weight = matrix.sum(1)
    if not weight.any():
        return 0.0, np.zeros(matrix.shape[1])
    return float(np.average(_concentration(matrix), weights=weight)), _concentration(matrix.T)


def _concentration(rows: Floats) -> Floats:
    """One minus the entropy of each row, in units of that of an even row."""
    total = rows.sum(1, keepdims=True)
    share = np.divide(rows, total, out=np.full_like(rows, 1 / rows.shape[1]), where=total > 0)
    logs = np.log(np.where(share > 0, share, 1.0))
    most = np.log(rows.shape[1]) if rows.shape[1] > 1 else 1.0
    return 1 + (share * logs).sum(1) / most


def _information(a: Floats, b: Floats) -> float:
    """Mutual information in nats."""
    return float(mutual_info_score(_binned(a), _binned(b)))


def _binned(values: Floats) -> np.ndarray:
    edges = np.histogram_bin_edges(values, _BINS)
    return np.digitize(values, edges[1:-1])


def _gap(scores: Floats) -> Floats:
    """Difference of the two best axes for each factor, (F,) from (d, F)."""
    second, best = np.sort(scores, axis=0)[-2:]
    return best - second


def _informativeness(latent: Floats, factor: Floats, seed: int) -> float:
    trees = ExtraTreesRegressor(100, min_samples_leaf=2, random_state=seed)
    folds = KFold(_FOLDS, shuffle=True, random_state=seed)
    return float(cross_val_score(trees, latent, factor, cv=folds, scoring="r2").mean())
