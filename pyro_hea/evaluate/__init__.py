"""Measures, the judge of designs, and baselines to compare with.

A name brings in its module when it is first asked for: the measures need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_hea.evaluate.baselines import BASELINES as BASELINES
    from pyro_hea.evaluate.baselines import fit_predict as fit_predict
    from pyro_hea.evaluate.calibration import brier_decomposition as brier_decomposition
    from pyro_hea.evaluate.calibration import distance_from as distance_from
    from pyro_hea.evaluate.calibration import interval_coverage as interval_coverage
    from pyro_hea.evaluate.calibration import told_apart as told_apart
    from pyro_hea.evaluate.classification import METRICS as METRICS
    from pyro_hea.evaluate.classification import by_size as by_size
    from pyro_hea.evaluate.classification import classification_metrics as classification_metrics
    from pyro_hea.evaluate.comparison import cross_validation as cross_validation
    from pyro_hea.evaluate.comparison import label_budget as label_budget
    from pyro_hea.evaluate.coverage import (
        interval_coverage_benchmark as interval_coverage_benchmark,
    )
    from pyro_hea.evaluate.experts import expert_priors as expert_priors
    from pyro_hea.evaluate.intervals import bootstrap_interval as bootstrap_interval
    from pyro_hea.evaluate.intervals import paired_difference as paired_difference
    from pyro_hea.evaluate.judge import Judge as Judge
    from pyro_hea.evaluate.judge import embedded_judge as embedded_judge
    from pyro_hea.evaluate.latent import label_from_latent as label_from_latent
    from pyro_hea.evaluate.protocols import PublishedRun as PublishedRun
    from pyro_hea.evaluate.protocols import headline as headline
    from pyro_hea.evaluate.protocols import measure as measure
    from pyro_hea.evaluate.protocols import published_run as published_run
    from pyro_hea.evaluate.published import published_benchmark as published_benchmark
    from pyro_hea.evaluate.reconstruction import composition_metrics as composition_metrics
    from pyro_hea.evaluate.reconstruction import nearest_alloy as nearest_alloy
    from pyro_hea.evaluate.reconstruction import (
        nearest_alloy_mae_at_pct as nearest_alloy_mae_at_pct,
    )
    from pyro_hea.evaluate.reliability import calibrated_ece_band as calibrated_ece_band
    from pyro_hea.evaluate.reliability import (
        expected_calibration_error as expected_calibration_error,
    )
    from pyro_hea.evaluate.reliability import reliability_table as reliability_table
    from pyro_hea.evaluate.simulation import rank_data as rank_data
    from pyro_hea.evaluate.simulation import simulation_ranks as simulation_ranks
    from pyro_hea.evaluate.simulation import uniformity as uniformity
    from pyro_hea.evaluate.specs import SpecComparison as SpecComparison
    from pyro_hea.evaluate.specs import compare_specs as compare_specs
    from pyro_hea.evaluate.units import Bench as Bench

_HOMES = {
    "BASELINES": "baselines",
    "Bench": "units",
    "Judge": "judge",
    "METRICS": "classification",
    "PublishedRun": "protocols",
    "SpecComparison": "specs",
    "bootstrap_interval": "intervals",
    "brier_decomposition": "calibration",
    "by_size": "classification",
    "calibrated_ece_band": "reliability",
    "classification_metrics": "classification",
    "compare_specs": "specs",
    "composition_metrics": "reconstruction",
    "cross_validation": "comparison",
    "distance_from": "calibration",
    "embedded_judge": "judge",
    "expected_calibration_error": "reliability",
    "fit_predict": "baselines",
    "headline": "protocols",
    "interval_coverage": "calibration",
    "interval_coverage_benchmark": "coverage",
    "expert_priors": "experts",
    "label_budget": "comparison",
    "label_from_latent": "latent",
    "measure": "protocols",
    "nearest_alloy": "reconstruction",
    "nearest_alloy_mae_at_pct": "reconstruction",
    "paired_difference": "intervals",
    "published_benchmark": "published",
    "published_run": "protocols",
    "rank_data": "simulation",
    "reliability_table": "reliability",
    "simulation_ranks": "simulation",
    "told_apart": "calibration",
    "uniformity": "simulation",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
