"""What an expert's prior buys where labels are few."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pandas as pd

from pyro_hea.evaluate import expert_priors
from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult, format_interval
from pyro_hea.plots import curve_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner

_MEASURES = {"auc": "AUC", "log_loss": "log loss (nats)"}


def experts(runner: Runner, seeds: int) -> ProtocolResult:
    """Few labels under a flat prior and two of experts: measured on the published test part."""
    found = expert_priors(runner, seeds=seeds)
    tables, curves = {}, []
    for key, measure in _MEASURES.items():
        of_models = {n: scores["models"] for n, scores in found["budgets"].items()}
        tables[f"{measure}, mean over {seeds} seeds with its 95 % interval"] = pd.DataFrame(
            [
                {"labels": labels}
                | {name: format_interval(values[key]) for name, values in models.items()}
                for labels, models in of_models.items()
            ]
        )
        tables[f"{measure}, expert minus flat, paired by seed, 95 % interval"] = pd.DataFrame(
            [
                {"labels": n}
                | {name: format_interval(d[key]) for name, d in scores["differences"].items()}
                for n, scores in found["budgets"].items()
            ]
        )
        curves += [
            {"x_label": "labels", "y_label": measure, "name": name, "x": int(n), **values[key]}
            for n, models in of_models.items()
            for name, values in models.items()
        ]
    figure = curve_panels(pd.DataFrame(curves))[0].figure
    return ProtocolResult("experts", found, tables, cast("Figure", figure))
