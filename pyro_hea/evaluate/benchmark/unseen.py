"""Elements that no training alloy holds, left out in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pyro_hea.evaluate.benchmark.protocol_result import MEASURES, ProtocolResult, format_interval
from pyro_hea.evaluate.unseen import unseen_benchmark
from pyro_hea.plots import interval_panels

if TYPE_CHECKING:
    from pyro_hea.evaluate import Runner


def unseen(runner: Runner, seeds: int) -> ProtocolResult:
    """Each element, and each group of elements, left out of training and predicted."""
    found = unseen_benchmark(runner, seeds=seeds)
    tables, rows = {}, []
    for kind in ("elements", "groups"):
        of_kind = found[kind]
        low, high = of_kind["ece_band"]
        for group in ("all", "≥ 4 elements"):
            scores = {model: groups[group] for model, groups in of_kind["models"].items()}
            table = pd.DataFrame(scores).T.rename_axis("model").reset_index().astype({"n": int})
            if group == "all":
                table["log loss, each fold once"] = table["model"].map(of_kind["log_loss_by_fold"])
            tables[
                f"Left out: {kind}; alloys: {group}; the ECE of a calibrated predictor of all "
                f"lies in {low:.3f} to {high:.3f}"
            ] = table
        differences = of_kind["differences"]
        tables[f"Left out: {kind}; pyro_hea minus each, paired, 95 % interval"] = pd.DataFrame(
            [
                {"answers": name} | {m: format_interval(d) for m, d in of_name.items()}
                for name, of_name in differences.items()
            ]
        )
        weights = of_kind["log_loss_by_weight"].items()
        tables[f"Left out: {kind}; log loss by the weight of the prior, each fold once"] = (
            pd.DataFrame([{"weight": weight, "log loss": loss} for weight, loss in weights])
        )
        for name, of_name in differences.items():
            for key, interval in of_name.items():
                measure, _, group = key.partition(", ")
                if group == "all":
                    label = f"{MEASURES[measure]}, pyro_hea minus other"
                    rows.append({"measure": label, "name": name, "group": kind, **interval})
    figure = interval_panels(pd.DataFrame(rows), reference=0.0).figure
    return ProtocolResult("unseen", found, tables, figure)
