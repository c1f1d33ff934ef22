"""Tables as tensors: what model and guide read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from pyro_hea.alloys.features import FeatureMap
from pyro_hea.errors import DataError


@dataclass(frozen=True)
class AlloyBatch:
    """Alloys as tensors on one device: what model and guide read.

    Attributes
    ----------
    fractions : Tensor, shape (N, E), or None
        None where compositions are to be sampled.
    features : Tensor, shape (N, F)
    targets : mapping of str to Tensor of shape (N,)
        A placeholder (0) where unlabelled; a target that is left out is sampled throughout.
    labelled : mapping of str to Tensor of bool of shape (N,)
        Which labels are known; a target that is left out here is known throughout.
    conditions : mapping of str to Tensor of shape (N, C)
        At what conditions a target's label was measured, standardised around those at which it is
        predicted; left out, these.
    reports : mapping of str to Tensor of shape (N, S, C)
        How often each source reported each class, for targets whose reports may be wrong.
    half : Tensor of bool of shape (N,), or None
        In training, in which half of the alloys each is: a head learns from the reports on one
        half, and by it the sources are judged on the other.
    parts : mapping of str to Tensor of int of shape (N,)
        In training, which part of a number's labels each alloy's is in, -1 for none: each member
        is not shown another part.
    """

    fractions: Tensor | None
    features: Tensor
    targets: Mapping[str, Tensor]
    labelled: Mapping[str, Tensor]
    conditions: Mapping[str, Tensor] = field(default_factory=dict)
    reports: Mapping[str, Tensor] = field(default_factory=dict)
    half: Tensor | None = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def composition(self) -> Tensor:
        """The fractions; an error where there are none."""
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

    def tensors(self) -> list[Tensor]:
        """Every tensor, always in the same order."""
        found: list[Tensor] = []
        self.map(found.append)
        return found

    def map(self, function: Any) -> AlloyBatch:
        """Apply a function to every tensor."""
        targets, labelled, conditions, reports, parts = (
            {name: function(value) for name, value in part.items()}
            for part in (self.targets, self.labelled, self.conditions, self.reports, self.parts)
        )
        return AlloyBatch(
            None if self.fractions is None else function(self.fractions),
            function(self.features),
            targets,
            labelled,
            conditions,
            reports,
            None if self.half is None else function(self.half),
            parts,
        )

    def take(self, rows: Tensor) -> AlloyBatch:
        """The alloys at `rows`."""
        return self.map(lambda tensor: tensor[rows])

    def replaced(self, **parts: Any) -> AlloyBatch:
        """The same with other parts, such as `fractions` or `targets`."""
        return replace(self, **parts)

    def without_labels(self) -> AlloyBatch:
        """The same alloys, nothing known of their targets."""
        return replace(self, targets={}, labelled={}, reports={})


def to_batch(
    fractions: pd.DataFrame,
    feature_map: FeatureMap,
    labels: pd.DataFrame | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    placeholders: Mapping[str, float] | None = None,
) -> AlloyBatch:
    """Turn tables into tensors.

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
