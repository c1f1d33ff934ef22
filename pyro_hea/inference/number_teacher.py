"""The teacher of a number: forests of regression trees, fitted for each member."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from torch import Tensor

from pyro_hea.inference.objective import withheld_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.inference.objective import Measurements
    from pyro_hea.materials.alloys.dataset import AlloyBatch
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
    calibrated. Trees read features, square roots of the fractions, and conditions, and predict
    what a line through the conditions leaves: trees alone cannot follow a temperature beyond what
    was measured, and half believe in a processing of few reports. Their variance is that of the
    labels that share a leaf with an alloy, over all trees.

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
    at, new_at = (part.cpu().numpy() for part in (reports.conditions, unlabelled[2]))
    for own, rows in zip(moments, shown, strict=True):
        line, new_line = _line(at[rows], y[rows], at, new_at)
        means, variances = [], []
        for forest in (
            ExtraTreesRegressor(trees, min_samples_leaf=2, max_features=0.5),
            RandomForestRegressor(trees, min_samples_leaf=2, max_features=0.3),
        ):
            forest.set_params(random_state=int(rng.integers(2**31))).fit(
                x[rows], y[rows] - line[rows]
            )
            for tree in forest.estimators_:
                leaves = tree.apply(new)
                means.append(tree.tree_.value[leaves, 0, 0])
                variances.append(tree.tree_.impurity[leaves])
        own[:, 0] = np.mean(means, 0) + new_line
        own[:, 1] = np.sqrt(np.maximum(np.mean(variances, 0), 0) + np.var(means, 0))
    return torch.tensor(moments).to(batch.features)


def _line(conditions: Floats, y: Floats, *at: Floats) -> list[Floats]:
    """A regression on conditions (R, C), by ridge, at other ones; 0 without conditions."""
    if not conditions.shape[1]:
        return [np.zeros(len(a)) for a in at]
    fitted = Ridge(alpha=1.0).fit(conditions, y)
    return [np.asarray(fitted.predict(a)) for a in at]
