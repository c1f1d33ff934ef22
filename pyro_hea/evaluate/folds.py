"""Parts to train on and parts to test on, drawn the same way in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedKFold

from pyro_hea.alloys.dataset import element_sets
from pyro_hea.errors import DataError

if TYPE_CHECKING:
    from pyro_hea.alloys.dataset import AlloyDataset

Kind = Literal["random", "grouped"]

FOLDS = 5


def folds(
    alloys: AlloyDataset, target: str, kind: Kind, seed: int
) -> list[tuple[AlloyDataset, AlloyDataset]]:
    """Five pairs of training and test alloys; each labelled alloy is tested once.

    Parameters
    ----------
    alloys : AlloyDataset
    target : str
        Alloys without a label of it are in every training part.
    kind : {"random", "grouped"}
        Random folds with equal shares of the classes, or folds that keep each set of elements
        together, so that no test alloy has a training alloy of the same elements.
    seed : int
        Of the shuffling.

    Returns
    -------
    list of (training, test)

    Raises
    ------
    DataError
        For another kind.
    """
    known = alloys.labels[target].notna().to_numpy()
    labelled = np.flatnonzero(known)
    labels = alloys.labels[target].to_numpy()[labelled]
    if kind == "random":
        splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labelled, labels)
    elif kind == "grouped":
        sets = element_sets(alloys.fractions.iloc[labelled])
        splitter = GroupKFold(FOLDS, shuffle=True, random_state=seed)
        splits = splitter.split(labelled, labels, sets)
    else:
        raise DataError(f"there are no folds '{kind}'; allowed: random, grouped")
    pairs = []
    for _, chosen in splits:
        held = np.zeros(len(alloys), bool)
        held[labelled[chosen]] = True
        if kind == "grouped":  # nor does an unlabelled alloy give the elements away
            out = set(element_sets(alloys.fractions[held]))
            same = np.array([s in out for s in element_sets(alloys.fractions)])
        else:
            same = held
        pairs.append((alloys.take(~same), alloys.take(held)))
    return pairs


def keep_labels(alloys: AlloyDataset, target: str, count: int, seed: int) -> AlloyDataset:
    """The same alloys with `count` labels of a target, half of each class, the rest withheld.

    Raises
    ------
    DataError
        For more labels than there are.
    """
    labels = alloys.labels[target]
    rng = np.random.default_rng(seed)
    kept: list[int] = []
    for value, share in ((0, count // 2), (1, count - count // 2)):
        rows = np.flatnonzero(labels == value)
        if share > len(rows):
            raise DataError(f"{count} labels are asked for; only {len(rows)} are {value}")
        kept += rng.choice(rows, share, replace=False).tolist()
    mask = np.zeros(len(alloys), bool)
    mask[kept] = True
    return alloys.take(mask) + alloys.take(~mask).without_labels()
