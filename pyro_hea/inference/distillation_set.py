"""The distillation set: synthetic alloys with the predictions of a fitted teacher.

A network that is fitted to a few hundred labels for long is overconfident on alloys of new element
sets, where forests do better. A network that learns the forests' probabilities of many unlabelled
alloys is as good as they are, and smooth (model compression: Bucila, Caruana and Niculescu-Mizil,
KDD 2006).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from pyro_hea.devices import seeded
from pyro_hea.inference.number_teacher import number_moments
from pyro_hea.inference.objective import Measurements, at_measurements
from pyro_hea.inference.opinions import trust_in_opinion
from pyro_hea.materials.alloys.dataset import AlloyBatch, references
from pyro_hea.spec import Binary, Categorical, Continuous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.features import FeatureMap
    from pyro_hea.program.model import AlloyModel
    from pyro_hea.program.sites import Expert

    Floats: TypeAlias = NDArray[np.float64]

_REGRESSION_SHARE = 0.5
"""Weight of the logistic regression in the mean where labels are few: it is better there."""

_FEW_LABELS = 100
"""Beyond this number of labels that weight falls as the square root of their number."""

_SHARPENING = 1 / 3
"""Added to the power of the probabilities where labels are many: means of trees are not sure
enough."""

_INVERSE_PENALTY = 0.1
"""C of the logistic regression: few labels determine little of thirty coefficients."""

_FOLDS = 5
"""Of the labels, by which the trust in an expert's opinion is fitted."""

_SWAP_PROBABILITY = 0.4
"""Probability that an element of a synthetic alloy is replaced by another one."""


@dataclass(frozen=True)
class DistillationSet:
    """Unlabelled alloys and the predictions that the heads learn.

    Attributes
    ----------
    alloys : AlloyBatch
        V alloys without labels: M real ones, then the synthetic ones. Their conditions are those
        of measurements, drawn at random.
    real : int
        M.
    probabilities : mapping of str to Tensor of shape (K, V, C)
        By target, of each class, by the teacher of each member.
    moments : mapping of str to Tensor of shape (K, V, 2)
        By number, its mean and standard deviation, standardised as the labels are.
    """

    alloys: AlloyBatch
    real: int
    probabilities: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]


def distillation_set(
    model: AlloyModel,
    batches: Sequence[AlloyBatch],
    feature_map: FeatureMap,
    seed: int,
    measurements: Mapping[str, Measurements] | None = None,
) -> DistillationSet:
    """Fit the teacher of each member to the labels and predict real and synthetic alloys.

    Parameters
    ----------
    model : AlloyModel
        With `training.distillation` in its spec.
    batches : sequence of AlloyBatch
        Training alloys, labelled or not; the synthetic alloys are made from them. Numbers are
        learnt from the first alone: those of the others are kept for calibration.
    feature_map : FeatureMap
        Over the elements of the batches.
    seed : int
    measurements : mapping of str to Measurements
        Every report in the first batch of the targets that have conditions.
    """
    spec = model.spec
    settings, members = spec.training.distillation, spec.training.members
    assert settings is not None
    rng = np.random.default_rng(seed)
    real = torch.cat([batch.composition for batch in batches]).double().cpu().numpy()
    synthetic = synthetic_compositions(real, settings.synthetic_alloys, rng)
    if len(real) > settings.synthetic_alloys:
        real = real[rng.choice(len(real), settings.synthetic_alloys, replace=False)]
    fractions = np.vstack([real, synthetic])
    like = batches[0].features
    features = feature_map(torch.tensor(fractions)).to(like)
    unlabelled = features.cpu().numpy(), np.sqrt(fractions)
    probabilities, moments, conditions = {}, {}, {}
    for name in spec.distilled_targets:
        if isinstance(spec.target(name), Continuous):
            reports = (measurements or {}).get(name) or _labels_of(batches[0], name)
            picked = rng.integers(len(reports.rows), size=len(fractions))
            conditions[name] = reports.conditions[torch.tensor(picked)]
            moments[name] = number_moments(
                model, name, batches[0], reports, (*unlabelled, conditions[name]), rng
            )
            continue
        labelled = [batch.take(batch.known(name)) for batch in batches if name in batch.targets]
        if labelled:
            target = spec.target(name)
            assert isinstance(target, Binary | Categorical)
            if measured_at := (measurements or {}).get(name):
                labelled[0] = at_measurements(batches[0], name, measured_at)
            columns = len(references(target.conditions))
            measured = torch.cat([b.conditions_of(name, columns) for b in labelled])
            at = measured.new_zeros(len(fractions), 0)
            if columns:
                at = measured[torch.tensor(rng.integers(len(measured), size=len(fractions)))]
                conditions[name] = at
            read = torch.cat([b.features for b in labelled])
            teacher = Teacher(
                torch.cat([read, measured], 1).cpu().numpy(),
                torch.cat([b.composition for b in labelled]).sqrt().cpu().numpy(),
                torch.cat([b.targets[name] for b in labelled]).cpu().numpy().astype(int),
                len(target.classes),
                settings.trees,
            )
            new = np.hstack([unlabelled[0], at.cpu().numpy()]), unlabelled[1]
            predicted = teacher.probabilities(*new, members, rng)
            if name in model.experts:
                expert = cast("Expert", model.experts[name])
                with seeded(seed):
                    odds = expert.prior_log_odds(torch.cat([read, features])).double().cpu().numpy()
                of_labelled, of_new = np.split(odds, [len(read)])
                predicted = shifted(predicted, teacher.trust_in(of_labelled, rng) * of_new)
            probabilities[name] = torch.tensor(predicted).to(like)
    compositions = torch.tensor(fractions).to(like)
    alloys = AlloyBatch(compositions, features, {}, {}, conditions)
    return DistillationSet(alloys, len(real), probabilities, moments)


def _labels_of(batch: AlloyBatch, name: str) -> Measurements:
    """The labels of a number without conditions, as its reports."""
    rows = batch.known(name).nonzero()[:, 0]
    return Measurements(rows, batch.features.new_zeros(len(rows), 0), batch.targets[name][rows])


def synthetic_compositions(real: Floats, number: int, rng: np.random.Generator) -> Floats:
    """Compositions with the amounts of a real alloy and some of its elements replaced.

    Parameters
    ----------
    real : array, shape (N, E)
        Fractions. An element is chosen in proportion to how many of these alloys hold it.
    number : int
    rng : Generator

    Returns
    -------
    array, shape (number, E)

    Examples
    --------
    >>> real = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    >>> synthetic = synthetic_compositions(real, 100, np.random.default_rng(0))
    >>> (synthetic > 0).sum(1).tolist() == [2] * 100
    True
    """
    chosen = real[rng.integers(len(real), size=number)]
    amounts, own = -np.sort(-chosen), np.argsort(-chosen)
    frequency = (real > 0).mean(0)
    free = (chosen == 0) & (frequency > 0)
    with np.errstate(divide="ignore"):
        keys = np.log(frequency) + rng.gumbel(size=chosen.shape)
    other = np.argsort(np.where(free, -keys, np.inf))  # free elements first, in random order
    swapped = rng.random(chosen.shape) < _SWAP_PROBABILITY
    swapped &= np.arange(chosen.shape[1]) < free.sum(1, keepdims=True)
    fractions: Floats = np.zeros_like(chosen)
    rows = np.arange(number)[:, None]
    np.add.at(fractions, (rows, np.where(swapped, other, own)), amounts)
    return fractions


class HeldOut(NamedTuple):
    """Rows of labelled alloys, the teacher's probability of class 1 without them, and labels."""

    rows: NDArray[np.int_]
    probability: Floats
    label: NDArray[np.int_]


@dataclass(frozen=True)
class Teacher:
    """Forests and a logistic regression on labels.

    Trees read features and the square roots of the fractions, the regression features alone.

    Attributes
    ----------
    features : array, shape (N, F)
    roots : array, shape (N, E)
        Square roots of the fractions.
    labels : array of int, shape (N,)
    classes, trees : int
    """

    features: Floats
    roots: Floats
    labels: NDArray[np.int_]
    classes: int
    trees: int

    def probabilities(
        self, features: Floats, roots: Floats, members: int, rng: np.random.Generator
    ) -> Floats:
        """Probability of each class at other alloys by the teacher of each member, (K, V, C)."""
        y = self.labels
        mean = np.zeros((members, len(features), self.classes))
        few = min(1.0, (_FEW_LABELS / len(y)) ** 0.5)
        regression_share = _REGRESSION_SHARE * few
        x, new = np.hstack([self.features, self.roots]), np.hstack([features, roots])
        for member in mean:
            trees = -(-self.trees // (2 * members))
            for forest in (
                ExtraTreesClassifier(trees, min_samples_leaf=2, max_features=0.5),
                RandomForestClassifier(trees, max_features=0.3),
            ):
                forest.set_params(random_state=int(rng.integers(2**31))).fit(x, y)
                predicted = forest.predict_proba(new)
                member[:, forest.classes_] += (1 - regression_share) / 2 * predicted
        regression = make_pipeline(
            StandardScaler(), LogisticRegression(C=_INVERSE_PENALTY, max_iter=5000)
        )
        regression.fit(self.features, y)
        mean[..., regression.classes_] += regression_share * regression.predict_proba(features)
        mean **= 1 + _SHARPENING * (1 - few)
        return mean / mean.sum(-1, keepdims=True)

    def trust_in(self, opinion: Floats, rng: np.random.Generator) -> float:
        """The weight of an expert's log odds at the labelled alloys, by `trust_in_opinion`."""
        held_out = self.held_out(rng)
        return trust_in_opinion(opinion[held_out.rows], held_out.probability, held_out.label)

    def held_out(self, rng: np.random.Generator) -> HeldOut:
        """Each label by the teacher of the others; none where a class has one label."""
        folds = min(_FOLDS, int(np.bincount(self.labels).min()))
        found = []
        if folds > 1:
            split = StratifiedKFold(folds, shuffle=True, random_state=int(rng.integers(2**31)))
            for others, rows in split.split(self.features, self.labels):
                kept = self.features[others], self.roots[others], self.labels[others]
                teacher = Teacher(*kept, self.classes, self.trees // _FOLDS or 1)
                mean = teacher.probabilities(self.features[rows], self.roots[rows], 1, rng)
                found.append((rows, mean[0, :, 1], self.labels[rows]))
        if not found:
            return HeldOut(np.empty(0, int), np.empty(0), np.empty(0, int))
        return HeldOut(*map(np.concatenate, zip(*found, strict=True)))


def shifted(probabilities: Floats, log_odds: Floats) -> Floats:
    """Probabilities (..., V, 2) with something added to the log odds of the second class.

    Examples
    --------
    >>> shifted(np.array([[0.5, 0.5], [1.0, 0.0]]), np.log([3.0, 3.0])).round(2).tolist()
    [[0.25, 0.75], [1.0, 0.0]]
    """
    odds = probabilities * np.stack([np.exp(-log_odds / 2), np.exp(log_odds / 2)], -1)
    return np.asarray(odds / odds.sum(-1, keepdims=True))
