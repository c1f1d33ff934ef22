"""Protocols, the judge of designs, and baselines to compare with.

A name brings in its module when it is first asked for: not all need torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_hea.evaluate.baselines import BASELINES as BASELINES
    from pyro_hea.evaluate.baselines import fit_predict as fit_predict
    from pyro_hea.evaluate.comparison import folds_benchmark as folds_benchmark
    from pyro_hea.evaluate.comparison import label_budget as label_budget
    from pyro_hea.evaluate.coverage import (
        interval_coverage_benchmark as interval_coverage_benchmark,
    )
    from pyro_hea.evaluate.cross_validation import CrossValidation as CrossValidation
    from pyro_hea.evaluate.cross_validation import cross_validate as cross_validate
    from pyro_hea.evaluate.experts import expert_priors as expert_priors
    from pyro_hea.evaluate.judge import Judge as Judge
    from pyro_hea.evaluate.judge import embedded_judge as embedded_judge
    from pyro_hea.evaluate.parameter_sweep import sweep as sweep
    from pyro_hea.evaluate.protocols import PublishedRun as PublishedRun
    from pyro_hea.evaluate.protocols import headline as headline
    from pyro_hea.evaluate.protocols import measure as measure
    from pyro_hea.evaluate.protocols import published_run as published_run
    from pyro_hea.evaluate.published import published_benchmark as published_benchmark
    from pyro_hea.evaluate.runner import Runner as Runner
    from pyro_hea.evaluate.simulation import rank_data as rank_data
    from pyro_hea.evaluate.simulation import simulation_ranks as simulation_ranks
    from pyro_hea.evaluate.simulation import uniformity as uniformity
    from pyro_hea.evaluate.spec_comparison import SpecComparison as SpecComparison
    from pyro_hea.evaluate.spec_comparison import compare_specs as compare_specs

_HOMES = {
    "BASELINES": "baselines",
    "Runner": "runner",
    "Judge": "judge",
    "PublishedRun": "protocols",
    "SpecComparison": "spec_comparison",
    "compare_specs": "spec_comparison",
    "CrossValidation": "cross_validation",
    "cross_validate": "cross_validation",
    "folds_benchmark": "comparison",
    "embedded_judge": "judge",
    "fit_predict": "baselines",
    "headline": "protocols",
    "interval_coverage_benchmark": "coverage",
    "expert_priors": "experts",
    "label_budget": "comparison",
    "measure": "protocols",
    "published_benchmark": "published",
    "published_run": "protocols",
    "rank_data": "simulation",
    "simulation_ranks": "simulation",
    "sweep": "parameter_sweep",
    "uniformity": "simulation",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
