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
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from pyro_hea.dataset import AlloyBatch
from pyro_hea.spec import Binary, Categorical, HumeRothery, Logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.features import FeatureMap
    from pyro_hea.spec import ModelSpec, Target, Teacher

    Floats: TypeAlias = NDArray[np.float64]

_LINEAR = 0.25
"""Share of a logistic regression in what is said: smooth, and better where labels are few."""

_SWAPPED = 0.4
"""Probability that an element of a made alloy gives way to another one."""


@dataclass(frozen=True)
class Lessons:
    """What the heads are taught.

    Attributes
    ----------
    alloys : AlloyBatch
        V alloys that were never made, without labels.
    probabilities : mapping of str to Tensor of shape (K, V, C)
        By target, of each class, as each member's own teacher has them.
    """

    alloys: AlloyBatch
    probabilities: Mapping[str, Tensor]


def is_taught(target: Target) -> bool:
    """Whether a teacher can say what the head of a target is to say.

    Of a class by its features alone: not of one that depends on other targets, has an expert's
    prior, or whose reports may be wrong.
    """
    return (
        isinstance(target, Binary | Categorical)
        and not target.given
        and target.reports is None
        and not isinstance(target.prior, HumeRothery | Logistic)
    )


def lessons(
    spec: ModelSpec, batches: Sequence[AlloyBatch], feature_map: FeatureMap, seed: int
) -> Lessons:
    """Fit each member's teacher on what is labelled, and ask it.

    Parameters
    ----------
    spec : ModelSpec
        With a teacher.
    batches : sequence of AlloyBatch
        Training alloys; the elements and amounts of all of them shape what is asked, labelled or
        not.
    feature_map : FeatureMap
        Over the elements of the batches.
    seed : int
    """
    teacher, members = spec.training.teacher, spec.training.members
    assert teacher is not None
    rng = np.random.default_rng(seed)
    made = torch.cat([batch.composition for batch in batches]).double().cpu().numpy()
    fractions = never_made(made, teacher.alloys, rng)
    like = batches[0].features
    features = feature_map(torch.tensor(fractions)).to(like)
    probabilities = {}
    for target in spec.targets:
        told = [batch for batch in batches if target.name in batch.targets]
        if is_taught(target) and told:
            assert isinstance(target, Binary | Categorical)
            known = [batch.known(target.name) for batch in told]
            x = torch.cat([b.features[k] for b, k in zip(told, known, strict=True)])
            y = torch.cat([b.targets[target.name][k] for b, k in zip(told, known, strict=True)])
            said = _asked(
                x.cpu().numpy(),
                y.cpu().numpy().astype(int),
                features.cpu().numpy(),
                classes=len(target.classes),
                teacher=teacher,
                members=members,
                rng=rng,
            )
            probabilities[target.name] = torch.tensor(said).to(like)
    compositions = torch.tensor(fractions).to(like)
    return Lessons(AlloyBatch(compositions, features, {}, {}), probabilities)


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
    x: NDArray[np.float32],
    y: NDArray[np.int_],
    asked: NDArray[np.float32],
    *,
    classes: int,
    teacher: Teacher,
    members: int,
    rng: np.random.Generator,
) -> Floats:
    """Probabilities of each class by the teacher of each member, (K, V, C)."""
    said = np.zeros((members, len(asked), classes))
    for member in said:
        forest = ExtraTreesClassifier(
            -(-teacher.trees // members),
            min_samples_leaf=2,
            max_features=0.5,
            random_state=int(rng.integers(2**31)),
        ).fit(x, y)
        member[:, forest.classes_] = (1 - _LINEAR) * forest.predict_proba(asked)
    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(x, y)
    said[..., line.classes_] += _LINEAR * line.predict_proba(asked)
    return said
