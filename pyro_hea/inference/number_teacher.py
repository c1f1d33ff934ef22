"""The teacher of a number: forests of regression trees, fitted for each member."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from torch import Tensor

from pyro_hea.inference.objective import withheld_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.alloys.dataset import AlloyBatch
    from pyro_hea.inference.heads import Measurements
    from pyro_hea.program.model import AlloyModel
    from pyro_hea.program.sites import ContinuousSite

    Floats: TypeAlias = NDArray[np.float64]


def number_moments(
    model: AlloyModel,
    name: str,
    batch: AlloyBatch,
    reports: Measurements,
    unlabelled: tuple[Floats, Floats, Tensor],
    rng: np.random.Generator,
) -> Tensor:
    """Mean and standard deviation of a number by the teacher of each member, (K, V, 2).

    A member's teacher is fitted without the labels of its fold, by which the member is
    calibrated. Trees read features, square roots of the fractions, and conditions. Their variance
    is that of the labels that share a leaf with an alloy, over all trees.

    Parameters
    ----------
    model : AlloyModel
    name : str
    batch : AlloyBatch
        The labelled alloys, with label folds.
    reports : Measurements
        Labels of the alloys at their conditions.
    unlabelled : tuple
        Features (V, F), roots of the fractions (V, E) and conditions (V, C) to predict at.
    rng : Generator
    """
    site, members = cast("ContinuousSite", model.site(name)), model.members
    settings = model.spec.training.distillation
    assert settings is not None
    some = batch.take(reports.rows)
    columns = some.features, some.composition.sqrt(), reports.conditions
    x = torch.cat([column.double() for column in columns], -1).cpu().numpy()
    y = site.encode(reports.values)[..., 0].double().cpu().numpy()
    new = np.hstack([*unlabelled[:2], unlabelled[2].cpu().numpy()])
    shown = np.ones((members, len(y)), bool)
    if name in batch.label_folds:
        shown = ~withheld_labels(batch, name, members)[:, reports.rows].cpu().numpy()
    moments = np.empty((members, len(new), 2))
    trees = -(-settings.trees // (2 * members))
    for own, rows in zip(moments, shown, strict=True):
        means, variances = [], []
        for forest in (
            ExtraTreesRegressor(trees, min_samples_leaf=2, max_features=0.5),
            RandomForestRegressor(trees, min_samples_leaf=2, max_features=0.3),
        ):
            forest.set_params(random_state=int(rng.integers(2**31))).fit(x[rows], y[rows])
            for tree in forest.estimators_:
                leaves = tree.apply(new)
                means.append(tree.tree_.value[leaves, 0, 0])
                variances.append(tree.tree_.impurity[leaves])
        own[:, 0] = np.mean(means, 0)
        own[:, 1] = np.sqrt(np.maximum(np.mean(variances, 0), 0) + np.var(means, 0))
    return torch.tensor(moments).to(batch.features)
