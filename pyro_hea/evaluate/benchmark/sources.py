"""What further sources add to the published table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from pyro_hea.evaluate.benchmark.protocol_result import MEASURES, ProtocolResult, format_interval
from pyro_hea.evaluate.sources import NOISE, PUBLISHED, sources_benchmark
from pyro_hea.plots import interval_panels

if TYPE_CHECKING:
    from pyro_hea.evaluate import Runner


def sources(runner: Runner, seeds: int) -> ProtocolResult:
    """Models of all sources and of the published table, on element sets that were left out."""
    found = sources_benchmark(runner, seeds=seeds)
    tables, rows = {}, []
    for kind, by_source in found["left_out"].items():
        tables[f"Left out: {kind}; mean over {seeds} seeds"] = pd.DataFrame(
            [
                {"labels of": source, "model": model} | _scores(groups)
                for source, each in by_source.items()
                for model, groups in each["models"].items()
            ]
        )
        for first, key in (("pyro_hea", "differences"), (NOISE, "noise_channel")):
            heading = f"Left out: {kind}; {first} minus other, paired, 95 % interval"
            tables[heading] = pd.DataFrame(
                [
                    {"labels of": source, "other": other}
                    | {measure: format_interval(d) for measure, d in of_other.items()}
                    for source, each in by_source.items()
                    for other, of_other in each[key].items()
                ]
            )
        for source, each in by_source.items():
            for key, interval in each["differences"][PUBLISHED].items():
                measure, _, group = key.partition(", ")
                if group == "all":
                    label = f"{MEASURES[measure]}, all sources minus published table"
                    rows.append({"measure": label, "name": source, "group": kind, **interval})
    figure = interval_panels(pd.DataFrame(rows), reference=0.0).figure
    return ProtocolResult("sources", found, tables, figure)


def _scores(groups: dict[str, dict[str, Any]]) -> dict[str, float]:
    """AUC and log loss of each group of alloys, with its size."""
    return {
        label if group == "all" else f"{label}, {group}": scores[key]
        for group, scores in groups.items()
        for key, label in {"n": "n", **MEASURES}.items()
    }
