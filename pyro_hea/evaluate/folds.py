"""Parts to train on and parts to test on, drawn the same way in every run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedKFold

from pyro_hea.errors import DataError
from pyro_hea.materials.alloys.dataset import element_sets
from pyro_hea.spec import Continuous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.spec import Target

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


def assign_folds(
    alloys: AlloyDataset,
    targets: Sequence[Target],
    folds: int,
    by: Literal["random", "element_set"] = "random",
    seed: int = 0,
) -> NDArray[np.intp]:
    """The fold of each alloy, (N,), from 0 to `folds` - 1.

    Parameters
    ----------
    alloys : AlloyDataset
    targets : sequence of Target
        Alloys with the same classes, or with a number at all, are spread evenly over the folds.
    folds : int
    by : {"random", "element_set"}
        Whether an alloy's fold is random, or that of all alloys of the same elements.
    seed : int

    Raises
    ------
    DataError
        For fewer than two folds, or more than there are alloys or sets of elements.
    """
    sets = element_sets(alloys.fractions)
    most = len(alloys) if by == "random" else len(set(sets))
    if not 2 <= folds <= most:
        raise DataError(f"folds={folds} is not allowed; use 2 to {most} for these alloys")
    if by == "element_set":
        splits = GroupKFold(folds, shuffle=True, random_state=seed).split(sets, groups=sets)
    elif by == "random":
        pattern = np.full(len(alloys), "", object)
        for target in targets:
            labels = alloys.labels[target.name]
            classes = labels.notna() if isinstance(target, Continuous) else labels
            pattern += np.array([f"|{label}" for label in classes], object)
        shuffled = np.random.default_rng(seed).permutation(len(alloys))
        ordered = shuffled[np.argsort(pattern.astype(str)[shuffled], kind="stable")]
        splits = [(None, ordered[fold::folds]) for fold in range(folds)]
    else:
        raise DataError(f"there are no folds by '{by}'; allowed: random, element_set")
    fold = np.empty(len(alloys), np.intp)
    for i, (_, rows) in enumerate(splits):
        fold[rows] = i
    return fold


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
