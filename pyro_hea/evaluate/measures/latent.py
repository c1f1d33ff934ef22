"""How well the label can be predicted from the latent."""

from __future__ import annotations

from numpy.typing import ArrayLike
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from pyro_hea.errors import DataError
from pyro_hea.evaluate.measures._checks import labels_of, numbers, same_length

_FOLDS = 5
_NEIGHBOURS = 15


def label_from_latent(z: ArrayLike, y: ArrayLike, seed: int = 0) -> dict[str, float]:
    """AUC with which classifiers predict the label from the latent; 0.5 is disentangled.

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
    >>> import numpy as np
    >>> z = np.linspace(0, 1, 60)[:, None]
    >>> label_from_latent(z, z[:, 0] > 0.5)["worse_auc"]
    1.0
    """
    latent, labels = numbers(z, "z", dimensions=2), labels_of(y)
    same_length(z=latent, y=labels)
    smallest = min(int(labels.sum()), int((1 - labels).sum()))
    if smallest < _FOLDS or labels.size * (_FOLDS - 1) // _FOLDS < _NEIGHBOURS:
        raise DataError(
            f"{labels.size} alloys, {smallest} of the rarer class, are too few: {_FOLDS} folds of "
            f"{_NEIGHBOURS} neighbours need {_FOLDS} of each class and 19 in all."
        )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    classifiers = {
        "knn_auc": KNeighborsClassifier(_NEIGHBOURS),
        "trees_auc": ExtraTreesClassifier(200, min_samples_leaf=2, random_state=seed),
    }
    aucs = {
        name: float(cross_val_score(model, latent, labels, cv=folds, scoring="roc_auc").mean())
        for name, model in classifiers.items()
    }
    return aucs | {"worse_auc": max(aucs.values())}
