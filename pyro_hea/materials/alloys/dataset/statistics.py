"""Statistics of the training data that a model is built with: scales and sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """Scales of features and labels, and the sources of reports.

    Attributes
    ----------
    edges : Tensor, shape (F, bins + 1)
        Quantiles of the features; see `quantile_edges`.
    centre, spread : Tensor, shape (F,)
        Mean and standard deviation of the features.
    scales : mapping of target to (float, float)
        Mean and standard deviation of a number's labels on its unbounded scale.
    conditions : mapping of target to (float, ...)
        Standard deviation of each condition of a target.
    sources : mapping of target to tuple of str
        Sources of the reports, for targets whose reports may be wrong.
    condition_ranges : mapping of target to ((float, float), ...)
        Least and greatest value of each condition of a target, in its unit.
    """

    edges: Tensor
    centre: Tensor
    spread: Tensor
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    conditions: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    condition_ranges: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)

    @classmethod
    def of_features(cls, features: Tensor, bins: int | None) -> Statistics:
        """Statistics of features (N, F) alone.

        Examples
        --------
        >>> Statistics.of_features(torch.tensor([[1.0], [2.0], [3.0]]), 2).edges
        tensor([[1., 2., 3.]])
        """
        spread = features.std(0, correction=0)
        edges = quantile_edges(features, bins or 1)
        return cls(edges, features.mean(0), spread.where(spread > 0, torch.ones_like(spread)))


def quantile_edges(features: Tensor, bins: int) -> Tensor:
    """Edges of bins that hold equally many alloys, (F, bins + 1)."""
    levels = torch.linspace(0, 1, bins + 1, dtype=features.dtype, device=features.device)
    return torch.quantile(features, levels, dim=0).T.contiguous()
