"""Measures of predictions and of compositions, from arrays alone."""

from pyro_hea.measures.calibration import (
    brier_decomposition,
    distance_from,
    interval_coverage,
    told_apart,
)
from pyro_hea.measures.classification import METRICS, by_size, classification_metrics
from pyro_hea.measures.ecdf import ecdf_band, ecdf_difference
from pyro_hea.measures.intervals import bootstrap_interval, paired_difference
from pyro_hea.measures.latent import label_from_latent
from pyro_hea.measures.reconstruction import (
    composition_metrics,
    nearest_alloy,
    nearest_alloy_mae_at_pct,
)
from pyro_hea.measures.reliability import (
    calibrated_ece_band,
    expected_calibration_error,
    reliability_table,
)

__all__ = [
    "METRICS",
    "bootstrap_interval",
    "brier_decomposition",
    "by_size",
    "calibrated_ece_band",
    "classification_metrics",
    "composition_metrics",
    "distance_from",
    "ecdf_band",
    "ecdf_difference",
    "expected_calibration_error",
    "interval_coverage",
    "label_from_latent",
    "nearest_alloy",
    "nearest_alloy_mae_at_pct",
    "paired_difference",
    "reliability_table",
    "told_apart",
]
