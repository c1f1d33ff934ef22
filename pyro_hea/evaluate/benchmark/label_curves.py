"""Models over the number of labels: with unlabelled alloys, and under experts' priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from pyro_hea.evaluate.benchmark.protocol_result import MEASURES, ProtocolResult, format_interval
from pyro_hea.evaluate.experts import ALONE, EXPERTS, expert_priors
from pyro_hea.evaluate.semisupervised import SHARES, semisupervised_benchmark, share_name
from pyro_hea.plots import curve_panels

if TYPE_CHECKING:
    from pyro_hea.evaluate.runner import Runner


def semisupervised(runner: Runner, seeds: int) -> ProtocolResult:
    """Few labels and a growing share of the other alloys unlabelled: the published test part."""
    found = semisupervised_benchmark(runner, seeds=seeds)
    return label_curves("semisupervised", found, [share_name(share) for share in SHARES])


def experts(runner: Runner, seeds: int) -> ProtocolResult:
    """Few labels under a flat prior and three of experts: measured on the published test part."""
    found = expert_priors(runner, seeds=seeds)
    return label_curves("experts", found, [*EXPERTS, *ALONE])


def label_curves(protocol: str, found: Mapping[str, Any], drawn: Sequence[str]) -> ProtocolResult:
    """The result of a protocol whose `budgets` are what `paired_scores` gives.

    Parameters
    ----------
    protocol : str
    found : mapping
        `seeds` and `budgets`.
    drawn : sequence of str
        Models of the figure.
    """
    budgets, seeds = found["budgets"], found["seeds"]
    tables, curves = {}, []
    rows = next(iter(budgets.values()))
    for key in rows["models"][drawn[0]]:
        measure, _, group = key.partition(", ")
        name = MEASURES[measure] + (f", {group}" if group else "")
        for part, what in (
            ("models", f"mean over {seeds} draws with its 95 % interval"),
            ("differences", "paired by draw, 95 % interval"),
        ):
            tables[f"{name}, {what}"] = pd.DataFrame(
                [
                    {"model" if part == "models" else "difference": row}
                    | {
                        f"{n} labels": format_interval(b[part][row][key])
                        for n, b in budgets.items()
                    }
                    for row in next(iter(budgets.values()))[part]
                ]
            )
        if not group:
            curves += [
                {"x_label": "labels", "y_label": name, "name": model, "x": int(n)}
                | budget["models"][model][key]
                for n, budget in budgets.items()
                for model in drawn
            ]
    figure = curve_panels(pd.DataFrame(curves)).figure
    return ProtocolResult(protocol, found, tables, figure)
