"""What of a dataset a training learns from, and what it holds out for early stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.errors import DataError
from pyro_hea.inference import LABEL_FOLDS, Measurements, count_label_folds
from pyro_hea.materials.alloys.composition import format_formula
from pyro_hea.materials.alloys.dataset import (
    AlloyBatch,
    AlloyDataset,
    composition_keys,
    encode_values,
    measurements,
    tested_elsewhere,
)
from pyro_hea.spec import Continuous

if TYPE_CHECKING:
    from pyro_hea.posterior import Ensemble
    from pyro_hea.spec import ModelSpec

_HELD_OUT = 0.1
"""Share of the labelled alloys held out for early stopping, where no validation is passed."""

_ENOUGH_LABELS = 100
"""With fewer labelled alloys nothing is held out, and training goes to the last epoch."""


def check_labels(data: AlloyDataset, spec: ModelSpec) -> None:
    """Refuse a target without labels, or with one value only."""
    for target in spec.targets:
        name = target.name
        labels = data.labels[name].dropna() if name in data.labels else pd.Series(dtype=float)
        if labels.empty:
            elsewhere = tested_elsewhere(data.reports[data.reports["target"] == name])
            raise DataError(
                f"no alloy is labelled with '{name}'"
                f"{': no test of it was between 15 and 35 °C' if elsewhere else ''}. "
                "Targets in the data: "
                f"{', '.join(data.targets) or 'none'}; give labels, or take the target out of the "
                "spec"
            )
        if encode_values(labels, target).nunique() == 1:
            one, other = (
                ("one value", "with other values")
                if isinstance(target, Continuous)
                else ("one class", "of the other class")
            )
            value = labels.iloc[0] if isinstance(labels.iloc[0], str) else f"{labels.iloc[0]:g}"
            raise DataError(
                f"every label of '{name}' is {value}: {one} only cannot be learnt from. Add "
                f"alloys {other}"
            )


def hold_out(
    data: AlloyDataset, spec: ModelSpec, seed: int
) -> tuple[AlloyDataset, AlloyDataset | None]:
    """Hold out labelled alloys for early stopping, where there are enough.

    Alloys whose labels leave a target with one value only are not held out.
    """
    labels = data.labels[list(spec.target_names)]
    labelled = np.flatnonzero(labels.notna().any(axis=1))
    if len(labelled) < _ENOUGH_LABELS:
        return data, None
    rng = np.random.default_rng(seed)
    held = np.zeros(len(data), bool)
    held[rng.choice(labelled, int(_HELD_OUT * len(labelled)), replace=False)] = True
    for name in spec.target_names:
        if labels[name][~held].nunique() < 2:
            held &= labels[name].isna().to_numpy()
    return data.take(~held), data.take(held)


def augmented(data: AlloyDataset, share: float, seed: int) -> AlloyDataset:
    """Add unlabelled alloys, as a share of the given ones: middles of two like each other.

    The two have the same principal element, which is also that of their middle. Middles that are
    given alloys, or come twice, are left out.

    Examples
    --------
    >>> from pyro_hea import load_alloys
    >>> data = load_alloys("zeng2024")
    >>> more = augmented(data, 0.5, seed=0)
    >>> len(data), len(more)
    (1368, 2042)
    """
    if not share:
        return data
    x = data.fractions.to_numpy(float)
    rng, principal = np.random.default_rng(seed), x.argmax(1)
    alike = {element: np.flatnonzero(principal == element) for element in np.unique(principal)}
    count, paired = round(share * len(x)), np.flatnonzero(np.bincount(principal)[principal] > 1)
    if not count or not len(paired):
        return data
    first = rng.choice(paired, count)
    others = (alike[principal[row]] for row in first)
    second = [rng.choice(rows[rows != row]) for row, rows in zip(first, others, strict=True)]
    made = pd.DataFrame((x[first] + x[second]) / 2, columns=data.fractions.columns)
    elements = [str(e) for e in made.columns]
    rows = (dict(zip(elements, row, strict=True)) for row in made.to_numpy().tolist())
    made.index = pd.Index([format_formula(row) for row in rows], name="formula")
    known = {*composition_keys(data.fractions)}
    new = [key not in known for key in composition_keys(made)]
    made = made[np.array(new) & ~made.index.duplicated() & ~made.index.isin(data.fractions.index)]
    made = made[~pd.Series(composition_keys(made), made.index).duplicated()]
    return data + AlloyDataset.from_reports(made, data.reports.iloc[:0], data.targets)


def stopping_batch(ensemble: Ensemble, validation: AlloyDataset | None) -> AlloyBatch | None:
    """Validation alloys of the training elements; the others have no ELBO."""
    if validation is None:
        return None
    known = list(ensemble.elements)
    outside = validation.fractions.drop(columns=known, errors="ignore").sum(axis=1) > 0
    inside = validation.take(~outside.to_numpy())
    return ensemble.batch(inside) if len(inside) else None


def with_label_folds(ensemble: Ensemble, batch: AlloyBatch) -> AlloyBatch:
    """Deal the labels of each number into folds; each member leaves out another fold."""
    rng, folds = np.random.default_rng(ensemble.seed), {}
    for target in ensemble.spec.targets:
        rows = batch.known(target.name).nonzero()[:, 0].cpu()
        if isinstance(target, Continuous) and len(rows) >= LABEL_FOLDS:
            distilled = target.name in ensemble.spec.distilled_targets
            count = count_label_folds(ensemble.members) if distilled else LABEL_FOLDS
            fold = torch.full((len(batch),), -1)
            fold[rows] = torch.tensor(rng.permutation(len(rows)) % count)
            folds[target.name] = fold.to(ensemble.device)
    return batch.replaced(label_folds=folds)


def measured_tensors(ensemble: Ensemble, data: AlloyDataset) -> dict[str, Measurements]:
    """Every report of the targets that have conditions, as tensors."""
    found = {}
    for target in ensemble.spec.targets:
        if target.conditions:
            rows, conditions, values = measurements(data, target)
            at = ensemble.standardised_conditions(target, conditions)
            found[target.name] = Measurements(
                torch.tensor(rows, device=ensemble.device),
                torch.tensor(at, dtype=torch.float32, device=ensemble.device),
                torch.tensor(values, dtype=torch.float32, device=ensemble.device),
            )
    return found
