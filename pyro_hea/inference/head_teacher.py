"""Trees as the teacher of a number's head, where labels are few and trees know more.

Their predictions of the crystals without a label are what these bring to the head: model
compression, Bucila, Caruana and Niculescu-Mizil, KDD 2006.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold
from torch import Tensor

from pyro_hea.inference.objective import has_label
from pyro_hea.program.sites import ContinuousSite
from pyro_hea.program.targets import HeadInputs

if TYPE_CHECKING:
    from pyro_hea.program.crystal_batch import CrystalInputs
    from pyro_hea.program.crystals import CrystalModel

_MOST = 1000
"""Labels; with more a head is trained as fast as it can be compared with trees."""

_BATCH, _WEIGHT = 256, 3.0
"""Crystals of the teacher in a step, and their weight beside the labels."""

_FOLDS = 3
_TREES = 200


class Teacher(NamedTuple):
    """What trees say of the crystals without a label.

    Attributes
    ----------
    rows : Tensor of int, shape (M,)
    moments : Tensor, shape (2, M, 2)
        Mean and standard deviation on the scale of the head: of formulas alone, of structures.
    """

    rows: Tensor
    moments: Tensor


def teacher_of(
    model: CrystalModel, data: CrystalInputs, name: str, train: Callable[[CrystalInputs], None]
) -> Teacher | None:
    """The teacher of a number's head, if on folds of the labels trees are nearer to them.

    Parameters
    ----------
    model : CrystalModel
    data : CrystalInputs
        Training crystals.
    name : str
        Of a target.
    train : callable
        Trains the head on the labels of the data that it is given. The head is as before when
        this function returns.
    """
    site, rows = model.site(name), has_label(data, name).cpu().nonzero()[:, 0]
    if not isinstance(site, ContinuousSite) or model.ancestors(name):
        return None
    others = (~has_label(data, name)).cpu().nonzero()[:, 0]
    if not 2 * _FOLDS <= len(rows) <= _MOST or not len(others):
        return None
    read = _inputs(model, data)
    y = site.encode(data.targets[name][rows])[..., 0].double().cpu().numpy()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    of_head, of_trees = 0.0, 0.0
    for kept, left in KFold(_FOLDS, shuffle=True, random_state=0).split(rows):
        labelled = torch.zeros_like(data.labelled[name])
        labelled[rows[kept]] = True
        train(data.replaced(labelled={**data.labelled, name: labelled}))
        some = data.take(rows[left])
        with torch.no_grad():
            outputs = model.head(name, model.head_inputs(some), None)
            mean = site.normal(outputs).loc.mean(0).double().cpu().numpy()
        model.load_state_dict(before)
        forest = _forest(read[1][rows[kept]], y[kept])
        of_head += float(np.square(mean - y[left]).sum())
        of_trees += float(np.square(forest.predict(read[1][rows[left]]) - y[left]).sum())
    if of_head <= of_trees:
        return None
    moments = [_moments(_forest(x[rows], y), x[others]) for x in read]
    like = data.features
    return Teacher(others.to(like.device), torch.tensor(np.stack(moments)).to(like))


def teacher_loss(model: CrystalModel, data: CrystalInputs, name: str, teacher: Teacher) -> Tensor:
    """Cross-entropy with what the teacher says of some crystals, (K, n), weighted as labels are."""
    some = torch.randint(len(teacher.rows), (_BATCH,)).to(teacher.rows)
    batch = data.take(teacher.rows[some])
    known = batch.structure_known
    known = known & (torch.rand(len(known)) >= model.spec.structure_dropout).to(known)
    read = HeadInputs(model.embedding(batch.features, known, batch.composition), {})
    q = cast("ContinuousSite", model.site(name)).normal(model.head(name, read, None))
    mean, sd = teacher.moments[known.long(), some].unbind(-1)
    loss = -q.log_prob(mean) + (sd / q.scale).square() / 2
    return _WEIGHT * loss * q.scale.detach()


def _inputs(model: CrystalModel, data: CrystalInputs) -> list[np.ndarray]:
    """What a head reads of formulas, and of structures."""
    known = data.structure_known
    return [
        model.embedding(data.features, k, data.composition).double().cpu().numpy()
        for k in (torch.zeros_like(known), known)
    ]


def _forest(x: np.ndarray, y: np.ndarray) -> ExtraTreesRegressor:
    forest = ExtraTreesRegressor(_TREES, min_samples_leaf=2, max_features=0.4, random_state=0)
    return forest.fit(x, y)


def _moments(forest: ExtraTreesRegressor, x: np.ndarray) -> np.ndarray:
    """Mean and standard deviation, (M, 2): of the labels in the leaves, over all trees."""
    leaves = forest.apply(x)
    trees = [tree.tree_ for tree in forest.estimators_]
    mean, variance = (
        np.stack([of[leaf] for of, leaf in zip(values, leaves.T, strict=True)])
        for values in ([t.value[:, 0, 0] for t in trees], [t.impurity for t in trees])
    )
    scatter = np.maximum(variance.mean(0), 0) + mean.var(0)
    return np.stack([mean.mean(0), np.sqrt(np.maximum(scatter, 1e-6))], -1)
