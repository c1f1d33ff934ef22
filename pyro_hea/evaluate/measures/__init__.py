"""Scores of predictions and of compositions, computed from arrays."""

from pyro_hea.evaluate.measures.calibration import (
    brier_decomposition,
    detection_auc,
    distance_to_known,
    interval_coverage,
)
from pyro_hea.evaluate.measures.classification import METRICS, by_size, classification_metrics
from pyro_hea.evaluate.measures.ecdf import ecdf_band, ecdf_difference
from pyro_hea.evaluate.measures.intervals import bootstrap_interval, paired_difference
from pyro_hea.evaluate.measures.latent import label_from_latent
from pyro_hea.evaluate.measures.reconstruction import (
    composition_metrics,
    nearest_alloy,
    nearest_alloy_mae_at_pct,
)
from pyro_hea.evaluate.measures.reliability import (
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
    "detection_auc",
    "distance_to_known",
    "ecdf_band",
    "ecdf_difference",
    "expected_calibration_error",
    "interval_coverage",
    "label_from_latent",
    "nearest_alloy",
    "nearest_alloy_mae_at_pct",
    "paired_difference",
    "reliability_table",
]
