"""Rules distilled from the head, and the thresholds of the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score
from sklearn.tree import DecisionTreeClassifier

from pyro_hea.errors import DataError
from pyro_hea.explain._quantity import PROBABILITY, quantity
from pyro_hea.explain.groups import features_of

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.vae import DisentangledVAE

_SMALLEST_LEAF = 15
"""Alloys behind each rule at least."""

FIELD_RULES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "δ < 6.6 %": lambda f: f["atomic_size_difference"] < 6.6,
    "−15 < ΔHmix < 5 kJ/mol": lambda f: f["mixing_enthalpy"].between(-15, 5, inclusive="neither"),
    "δ < 6.6 % and −15 < ΔHmix < 5 kJ/mol": lambda f: (
        (f["atomic_size_difference"] < 6.6)
        & f["mixing_enthalpy"].between(-15, 5, inclusive="neither")
    ),
    "Ω > 1.1": lambda f: f["omega"] > 1.1,
    "Ω > 1.1 and δ < 6.6 %": lambda f: (f["omega"] > 1.1) & (f["atomic_size_difference"] < 6.6),
    "VEC ≥ 8 (fcc) or < 6.87 (bcc)": lambda f: (
        (f["valence_electron_concentration"] >= 8) | (f["valence_electron_concentration"] < 6.87)
    ),
}
"""Thresholds of the field for a single solid solution: Zhang et al. (2008), Guo and Liu (2011),
Yang and Zhang (2012); Guo et al. (2011) for VEC, whose rule tells fcc from bcc and is read here as
'between the two there are two phases'."""

PHASE_RULES: dict[str, dict[str, Callable[[pd.DataFrame], pd.Series]]] = {
    "fcc": {"VEC ≥ 8": lambda f: f["valence_electron_concentration"] >= 8},
    "bcc": {"VEC < 6.87": lambda f: f["valence_electron_concentration"] < 6.87},
}
"""Thresholds of the field for a phase, by class of a target: Guo et al., J. Appl. Phys. 109 (2011)
103505."""


@dataclass(frozen=True, eq=False, repr=False)
class Rules:
    """A shallow decision tree that imitates the head.

    Attributes
    ----------
    target : str
    value : str or None
        The class that the rules tell from all others; None for 1 of a binary target.
    tree : DecisionTreeClassifier
        Over the declared features.
    features : tuple of str
    """

    target: str
    value: str | None
    tree: DecisionTreeClassifier
    features: tuple[str, ...]

    def __repr__(self) -> str:
        answers = sum(" = " in line for line in self._lines(0, 0))
        return f"Rules({self.column}: {answers} rules)"

    def __str__(self) -> str:
        return "\n".join(self._lines(0, 0))

    def _lines(self, node: int, depth: int) -> list[str]:
        """A question with its answers, or the one answer where all below it are the same."""
        tree, start = self.tree.tree_, "|   " * depth + "|--- "
        answers = self._answers(node)
        if len(answers) == 1:
            return [f"{start}{self.column} = {answers.pop():g}"]
        asked, at = self.features[tree.feature[node]], tree.threshold[node]
        return [
            f"{start}{asked} <= {at:.3f}",
            *self._lines(tree.children_left[node], depth + 1),
            f"{start}{asked} >  {at:.3f}",
            *self._lines(tree.children_right[node], depth + 1),
        ]

    def _answers(self, node: int) -> set[float]:
        tree = self.tree.tree_
        below = tree.children_left[node], tree.children_right[node]
        if below[0] == below[1]:  # a leaf
            return {float(self.tree.classes_[tree.value[node].argmax()])}
        return self._answers(below[0]) | self._answers(below[1])

    @property
    def column(self) -> str:
        """What the rules tell, as `predict` names its probability."""
        return self.target if self.value is None else f"{self.target}[{self.value}]"

    def apply(self, features: pd.DataFrame) -> pd.Series:
        """1 or 0 by the rules, from features in their units, (N,)."""
        called = self.tree.predict(features[list(self.features)].to_numpy(float))
        return pd.Series(called, features.index, name=self.column)


def distil(
    vae: DisentangledVAE,
    alloys: AlloyDataset | Alloys,
    target: str | None = None,
    *,
    value: str | None = None,
    depth: int = 3,
) -> Rules:
    """Distil the head into a tree, on alloys that need no labels.

    Parameters
    ----------
    vae : DisentangledVAE
    alloys : alloys to learn on
        Each weighs as much as the head is sure of its class.
    target : str, optional
        The first one by default.
    value : str, optional
        The class to tell from all others, of a target of several classes.
    depth : int
        Questions that a rule asks at most.

    Returns
    -------
    Rules

    Raises
    ------
    DataError
        Where the head puts all alloys into one class, for a class that the target does not have
        and for a number.
    """
    wanted = quantity(vae.ensemble, target, value)
    if wanted.unit != PROBABILITY:
        raise DataError(f"'{wanted.target}' is a number; rules tell classes from each other")
    features = features_of(vae, alloys)
    p = vae.predict(alloys)[wanted.column].to_numpy()
    called = (p > 0.5).astype(float)
    if np.ptp(called) == 0:
        raise DataError(
            f"the head calls all {len(called)} alloys {wanted.column} = {called[0]:g}, and leaves "
            "no rule to learn; give it alloys of both kinds"
        )
    tree = DecisionTreeClassifier(
        max_depth=depth, min_samples_leaf=min(_SMALLEST_LEAF, len(p) // 4), random_state=0
    )
    tree.fit(features.to_numpy(float), called, sample_weight=np.abs(2 * p - 1))
    return Rules(wanted.target, value, tree, tuple(features.columns))


def compare_rules(vae: DisentangledVAE, alloys: AlloyDataset, rules: Rules) -> pd.DataFrame:
    """Score distilled rules, the field's thresholds and the head on the same labelled alloys.

    Parameters
    ----------
    vae : DisentangledVAE
    alloys : AlloyDataset
        Unlabelled ones are left out.
    rules : Rules

    Returns
    -------
    DataFrame
        By rule (the tree, the head, `FIELD_RULES` or, of a class, its `PHASE_RULES`), on the same
        alloys: `accuracy` and `balanced_accuracy` (the mean over the two
        classes) against the labels, `fidelity` (share on which it agrees with the head) and
        `called`, the share that it calls 1.

    Raises
    ------
    DataError
        Without a label.
    """
    labels = alloys.labels[rules.target]
    labelled = alloys.take(labels.notna().to_numpy())
    if not len(labelled):
        raise DataError(f"no alloy is labelled with '{rules.target}'; rules are scored on labels")
    y = (labels.dropna() == (1 if rules.value is None else rules.value)).to_numpy()
    head = vae.predict(labelled)[rules.column].to_numpy() > 0.5
    field = FIELD_RULES if rules.value is None else PHASE_RULES.get(rules.value, {})
    calls = {"the head": head}
    calls["distilled tree"] = rules.apply(features_of(vae, labelled)).to_numpy() > 0.5
    calls |= {name: rule(labelled.features).to_numpy() for name, rule in field.items()}
    calls["always 1"] = np.ones(len(y), bool)
    return pd.DataFrame(
        {
            name: {
                "accuracy": (call == y).mean(),
                "balanced_accuracy": balanced_accuracy_score(y, call),
                "fidelity": (call == head).mean(),
                "called": call.mean(),
            }
            for name, call in calls.items()
        }
    ).T.rename_axis(index="rule")
