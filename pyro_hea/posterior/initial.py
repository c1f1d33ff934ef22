"""Ensembles before training: initial weights, and the scales of labels and conditions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_hea.devices import seeded
from pyro_hea.materials.alloys.dataset import (
    AlloyDataset,
    Statistics,
    class_columns,
    encode_values,
    measurements,
    references,
)
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.posterior.ensemble import Ensemble, as_fractions
from pyro_hea.program.model import AlloyModel
from pyro_hea.program.sites import link_of
from pyro_hea.spec import Binary, Categorical, Continuous

if TYPE_CHECKING:
    import pandas as pd

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.spec import ModelSpec

_PRIOR_DRAWS = 4001
"""Draws of a prior from which the scale of an untrained number is taken."""


def untrained_ensemble(spec: ModelSpec, alloys: AlloyDataset | Alloys, seed: int) -> Ensemble:
    """Members with their initial weights, which have seen no label.

    Parameters
    ----------
    spec : ModelSpec
    alloys : alloys
        Give the elements and the features that priors read; their labels are not used. Numbers are
        scaled by their priors in place of labels.
    seed : int
    """
    fractions = as_fractions(alloys)
    ensemble = _initialised(spec, fractions, _declared_scales(spec), seed, torch.device("cpu"))
    ensemble.model.eval()
    return ensemble


def new_ensemble(spec: ModelSpec, data: AlloyDataset, seed: int, device: torch.device) -> Ensemble:
    """Members with their initial weights, for training: numbers are scaled by their labels."""
    return _initialised(spec, data.fractions, _scales(spec, data), seed, device)


def _initialised(
    spec: ModelSpec,
    table: pd.DataFrame,
    scales: dict[str, Any],
    seed: int,
    device: torch.device,
) -> Ensemble:
    elements = tuple(e for e in table.columns if (table[e] > 0).any())
    fractions = table[list(elements)]
    feature_map = FeatureMap(spec.features.columns, load_tables(spec.features.tables), elements)
    features = feature_map(torch.tensor(fractions.to_numpy(float))).float()
    statistics = replace(Statistics.of_features(features, spec.features.bins), **scales)
    with seeded(seed):
        model = AlloyModel(spec, len(elements), statistics)
    return Ensemble(model.to(device), elements, fractions, seed)


def _declared_scales(spec: ModelSpec) -> dict[str, Any]:
    """Scales of labels and conditions, and the sources, from the spec alone."""
    scales: dict[str, Any] = {}
    conditions, sources = {}, {}
    for target in spec.targets:
        if target.conditions:
            conditions[target.name] = (1.0,) * len(references(target.conditions))
        if isinstance(target, Continuous):
            with seeded(0):
                drawn = target.known_prior.distribution().sample(torch.Size([_PRIOR_DRAWS]))
            unbounded = drawn if target.transform == "log" else link_of(target).inv(drawn)
            # Quantiles, for a prior that has no moments has these.
            low, centre, high = unbounded.quantile(torch.tensor([0.16, 0.5, 0.84])).tolist()
            scales[target.name] = centre, (high - low) / 2
        elif isinstance(target, Binary | Categorical) and target.reports is not None:
            sources[target.name] = tuple(target.reports.sources) or ("a source",)
    return {"scales": scales, "conditions": conditions, "sources": sources}


def _scales(spec: ModelSpec, data: AlloyDataset) -> dict[str, Any]:
    scales: dict[str, Any] = {}
    conditions, sources, ranges = {}, {}, {}
    for target in spec.targets:
        if target.conditions:
            _, at, _ = measurements(data, target)
            spread = np.where(class_columns(target.conditions), 1.0, at.std(0))
            conditions[target.name] = tuple(np.where(spread > 0, spread, 1.0).tolist())
            ranges[target.name] = tuple(zip(at.min(0).tolist(), at.max(0).tolist(), strict=True))
        if isinstance(target, Continuous):
            labels = encode_values(data.labels[target.name].dropna(), target)
            unbounded = link_of(target).inv(torch.tensor(labels.to_numpy(float)))
            scales[target.name] = float(unbounded.mean()), float(unbounded.std())
        elif isinstance(target, Binary | Categorical) and target.reports is not None:
            reports = data.reports[data.reports["target"] == target.name]
            sources[target.name] = tuple(sorted(reports["source"].unique()))
    return {
        "scales": scales,
        "conditions": conditions,
        "sources": sources,
        "condition_ranges": ranges,
    }
