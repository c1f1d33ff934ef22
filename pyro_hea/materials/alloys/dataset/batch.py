"""Tables as tensors: what model and guide read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import pandas as pd
import torch
from torch import Tensor

from pyro_hea.errors import DataError
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.materials.tensor_rows import TensorRows


@dataclass(frozen=True)
class AlloyBatch(TensorRows):
    """Alloys as tensors on one device: what model and guide read.

    Attributes
    ----------
    fractions : Tensor, shape (N, E), or None
        None where compositions are to be sampled.
    features : Tensor, shape (N, F)
    targets : mapping of str to Tensor of shape (N,)
        A placeholder (0) where unlabelled; a target that is left out is unknown for every alloy.
    labelled : mapping of str to Tensor of bool of shape (N,)
        Which labels are known; a target that is left out here is known for every alloy.
    conditions : mapping of str to Tensor of shape (N, C)
        Conditions at which a target's label was measured, standardised so that 0 is the condition
        of predictions; 0 for a target that is left out.
    reports : mapping of str to Tensor of shape (N, S, C)
        Number of reports of each class by each source, for targets with noisy reports.
    report_half : Tensor of bool of shape (N,), or None
        In training, one of two halves of the alloys: a head learns from the reports on one half
        and judges the sources on the other.
    label_folds : mapping of str to Tensor of int of shape (N,)
        In training, the fold of each label of a number, -1 where there is no label: each member
        leaves out another fold.
    """

    fractions: Tensor | None
    features: Tensor
    targets: Mapping[str, Tensor]
    labelled: Mapping[str, Tensor]
    conditions: Mapping[str, Tensor] = field(default_factory=dict)
    reports: Mapping[str, Tensor] = field(default_factory=dict)
    report_half: Tensor | None = None
    label_folds: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def composition(self) -> Tensor:
        """The fractions; raises a DataError where there are none."""
        if self.fractions is None:
            raise DataError("these alloys have features but no composition")
        return self.fractions

    def conditions_of(self, target: str, number: int) -> Tensor:
        """Conditions of a target, (N, number)."""
        return self.conditions.get(target, self.features.new_zeros(len(self), number))

    def known(self, target: str) -> Tensor:
        """Which alloys have a label of a target, (N,)."""
        if target in self.labelled:
            return self.labelled[target]
        everything = self.features.new_ones(len(self), dtype=torch.bool)
        return everything if target in self.targets else ~everything

    def without_labels(self) -> Self:
        """The same alloys without labels or reports."""
        return self.replaced(targets={}, labelled={}, reports={})


def to_batch(
    fractions: pd.DataFrame,
    feature_map: FeatureMap,
    labels: pd.DataFrame | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    placeholders: Mapping[str, float] | None = None,
) -> AlloyBatch:
    """Convert tables to tensors.

    Parameters
    ----------
    fractions : DataFrame, shape (N, E)
        Columns in the order of the model's elements.
    feature_map : FeatureMap
        Over the same elements.
    labels : DataFrame of numbers, optional
        NaN where unlabelled; without it every target is unknown.
    placeholders : mapping of str to float, optional
        A value that a target could have, for where it is unlabelled; 0 by default.

    Returns
    -------
    AlloyBatch
        Features are computed in double precision before they are rounded to `dtype`.
    """
    exact = torch.tensor(fractions.to_numpy(float), device=device)
    targets, labelled = {}, {}
    for name, column in () if labels is None else labels.items():
        values = torch.tensor(column.to_numpy(float), device=device, dtype=dtype)
        targets[str(name)] = values.nan_to_num((placeholders or {}).get(str(name), 0.0))
        if values.isnan().any():
            labelled[str(name)] = ~values.isnan()
    return AlloyBatch(exact.to(dtype), feature_map(exact).to(dtype), targets, labelled)
