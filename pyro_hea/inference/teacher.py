"""What a teacher fitted on the labels says of alloys that were never made, for heads to learn.

A network that learns a few hundred labels for long is too sure of itself where an alloy has new
elements, and forests are better there. Taught what these say of many alloys it is as good as they
are, and smooth (model compression: Bucila, Caruana and Niculescu-Mizil, KDD 2006).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from pyro_hea.alloys.dataset import AlloyBatch
from pyro_hea.spec import Binary, Categorical

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.alloys.features import FeatureMap
    from pyro_hea.spec import Distillation, ModelSpec

    Floats: TypeAlias = NDArray[np.float64]

_LINEAR = 0.5
"""Share of a logistic regression in what is said where labels are few: it is better there."""

_FEW = 100
"""Labels beyond which that share falls, as the root of their number."""

_SHARPER = 1 / 3
"""Power beyond 1 of what is said where labels are many: means of trees are not sure enough."""

_INVERSE_PENALTY = 0.1
"""Of its coefficients, for standardised features: few labels say little of thirty."""

_SWAPPED = 0.4
"""Probability that an element of a made alloy gives way to another one."""


@dataclass(frozen=True)
class Lessons:
    """What the heads are taught.

    Attributes
    ----------
    alloys : AlloyBatch
        V alloys without labels: M that were made, then those that never were.
    made : int
        M.
    probabilities : mapping of str to Tensor of shape (K, V, C)
        By target, of each class, as each member's own teacher has them.
    """

    alloys: AlloyBatch
    made: int
    probabilities: Mapping[str, Tensor]


def lessons(
    spec: ModelSpec, batches: Sequence[AlloyBatch], feature_map: FeatureMap, seed: int
) -> Lessons:
    """Fit each member's teacher on what is labelled, and ask it.

    Parameters
    ----------
    spec : ModelSpec
        With a teacher.
    batches : sequence of AlloyBatch
        Training alloys, labelled or not: what is asked of beside those that were never made, for
        which they are the pattern.
    feature_map : FeatureMap
        Over the elements of the batches.
    seed : int
    """
    teacher, members = spec.training.distillation, spec.training.members
    assert teacher is not None
    rng = np.random.default_rng(seed)
    made = torch.cat([batch.composition for batch in batches]).double().cpu().numpy()
    never = never_made(made, teacher.synthetic_alloys, rng)
    if len(made) > teacher.synthetic_alloys:
        made = made[rng.choice(len(made), teacher.synthetic_alloys, replace=False)]
    fractions = np.vstack([made, never])
    like = batches[0].features
    features = feature_map(torch.tensor(fractions)).to(like)
    probabilities = {}
    for name in spec.distilled_targets:
        told = [batch for batch in batches if name in batch.targets]
        if told:
            target = spec.target(name)
            assert isinstance(target, Binary | Categorical)
            some = [batch.take(batch.known(name)) for batch in told]
            y = torch.cat([b.targets[name] for b in some])
            said = _asked(
                torch.cat([b.features for b in some]).cpu().numpy(),
                torch.cat([b.composition for b in some]).sqrt().cpu().numpy(),
                y.cpu().numpy().astype(int),
                (features.cpu().numpy(), np.sqrt(fractions)),
                classes=len(target.classes),
                teacher=teacher,
                members=members,
                rng=rng,
            )
            probabilities[name] = torch.tensor(said).to(like)
    compositions = torch.tensor(fractions).to(like)
    return Lessons(AlloyBatch(compositions, features, {}, {}), len(made), probabilities)


def never_made(made: Floats, number: int, rng: np.random.Generator) -> Floats:
    """Alloys like those made: the same amounts, of other elements in part.

    Parameters
    ----------
    made : array, shape (N, E)
        Fractions. An element comes in as often as it is among these.
    number : int
    rng : Generator

    Returns
    -------
    array, shape (number, E)

    Examples
    --------
    >>> made = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    >>> (never_made(made, 100, np.random.default_rng(0)) > 0).sum(1).tolist() == [2] * 100
    True
    """
    chosen = made[rng.integers(len(made), size=number)]
    amounts, own = -np.sort(-chosen), np.argsort(-chosen)
    frequency = (made > 0).mean(0)
    free = (chosen == 0) & (frequency > 0)
    with np.errstate(divide="ignore"):
        keys = np.log(frequency) + rng.gumbel(size=chosen.shape)
    other = np.argsort(np.where(free, -keys, np.inf))  # those free first, in random order
    swapped = rng.random(chosen.shape) < _SWAPPED
    swapped &= np.arange(chosen.shape[1]) < free.sum(1, keepdims=True)
    fractions: Floats = np.zeros_like(chosen)
    rows = np.arange(number)[:, None]
    np.add.at(fractions, (rows, np.where(swapped, other, own)), amounts)
    return fractions


def _asked(
    features: Floats,
    roots: Floats,
    y: NDArray[np.int_],
    asked: tuple[Floats, Floats],
    *,
    classes: int,
    teacher: Distillation,
    members: int,
    rng: np.random.Generator,
) -> Floats:
    """Probabilities of each class by the teacher of each member, (K, V, C).

    Trees read features and the square roots of the fractions, the line features alone.
    """
    said = np.zeros((members, len(asked[0]), classes))
    few = min(1.0, (_FEW / len(y)) ** 0.5)
    linear = _LINEAR * few
    x, made = np.hstack([features, roots]), np.hstack(asked)
    for member in said:
        trees = -(-teacher.trees // (2 * members))
        for forest in (
            ExtraTreesClassifier(trees, min_samples_leaf=2, max_features=0.5),
            RandomForestClassifier(trees, max_features=0.3),
        ):
            forest.set_params(random_state=int(rng.integers(2**31))).fit(x, y)
            member[:, forest.classes_] += (1 - linear) / 2 * forest.predict_proba(made)
    line = make_pipeline(StandardScaler(), LogisticRegression(C=_INVERSE_PENALTY, max_iter=5000))
    line.fit(features, y)
    said[..., line.classes_] += linear * line.predict_proba(asked[0])
    said **= 1 + _SHARPER * (1 - few)
    return said / said.sum(-1, keepdims=True)
