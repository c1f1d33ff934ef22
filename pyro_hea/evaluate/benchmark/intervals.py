"""How often the intervals of numbers hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pyro_hea.evaluate import interval_coverage_benchmark
from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult, format_interval
from pyro_hea.evaluate.few_labels import few_label_benchmark
from pyro_hea.plots import interval_panels

if TYPE_CHECKING:
    from pyro_hea.evaluate import Runner

_DRAWN = "0.9"
"""Probability of the intervals in the figure."""


def intervals(runner: Runner, seeds: int) -> ProtocolResult:
    """How often the intervals of numbers hold: five folds of all labels, and 35 and 60 alone."""
    found = interval_coverage_benchmark(runner, seeds=seeds)
    found["few_labels"] = few_label_benchmark(runner, seeds=seeds)
    tables, drawn = {}, []
    for target, models in found["targets"].items():
        rows = []
        for name, scores in models.items():
            coverage = {
                f"{float(p):.0%}": format_interval(c) for p, c in scores["coverage"].items()
            }
            rest = {"width of 90%": scores["width"], "MAE": scores["mae"], "CRPS": scores["crps"]}
            rows.append({"model": name} | coverage | rest)
            measure = f"coverage of the 90 % intervals of {target}"
            drawn.append({"measure": measure, "name": name, **scores["coverage"][_DRAWN]})
        count = next(iter(models.values()))["alloys"]
        heading = f"Held-out {target} of {count} alloys within its interval, {seeds} seeds"
        tables[heading] = pd.DataFrame(rows)
    for labels, numbers in found["few_labels"].items():
        heading = f"{labels} labels alone, {seeds} seeds: the 94 % interval and R² of the others"
        tables[heading] = pd.DataFrame(
            {"number": number, "model": model} | {k: format_interval(v) for k, v in scores.items()}
            for number, models in numbers.items()
            for model, scores in models.items()
        )
    figure = interval_panels(pd.DataFrame(drawn), reference=float(_DRAWN)).figure
    return ProtocolResult("intervals", found, tables, figure)
