"""Tables as tensors: what model and guide read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from pyro_hea.errors import DataError
from pyro_hea.features import FeatureMap


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
    """

    fractions: Tensor | None
    features: Tensor
    targets: Mapping[str, Tensor]
    labelled: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.features)

    @property
    def composition(self) -> Tensor:
        """The fractions; an error where there are none."""
        if self.fractions is None:
            raise DataError("these alloys have features but no composition")
        return self.fractions

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
        return AlloyBatch(
            None if self.fractions is None else function(self.fractions),
            function(self.features),
            {name: function(value) for name, value in self.targets.items()},
            {name: function(value) for name, value in self.labelled.items()},
        )


def to_batch(
    fractions: pd.DataFrame,
    feature_map: FeatureMap,
    labels: pd.DataFrame | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> AlloyBatch:
    """Turn tables into tensors.

    Parameters
    ----------
    fractions : DataFrame, shape (N, E)
        Columns in the order of the model's elements.
    feature_map : FeatureMap
        Over the same elements.
    labels : DataFrame, optional
        NaN where unlabelled; without it every target is unknown.

    Returns
    -------
    AlloyBatch
        Features are computed in double precision before they are rounded to `dtype`.
    """
    exact = torch.tensor(fractions.to_numpy(float), device=device)
    targets, labelled = {}, {}
    for name, column in () if labels is None else labels.items():
        values = torch.tensor(column.to_numpy(float), device=device, dtype=dtype)
        targets[str(name)] = values.nan_to_num(0.0)
        if values.isnan().any():
            labelled[str(name)] = ~values.isnan()
    return AlloyBatch(exact.to(dtype), feature_map(exact).to(dtype), targets, labelled)


def quantile_edges(features: Tensor, bins: int) -> Tensor:
    """Edges of bins that hold equally many alloys, (F, bins + 1)."""
    levels = torch.linspace(0, 1, bins + 1, dtype=features.dtype, device=features.device)
    return torch.quantile(features, levels, dim=0).T.contiguous()
