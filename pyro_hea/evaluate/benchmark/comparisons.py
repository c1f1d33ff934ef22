"""The model beside the baselines: the published split, folds, and few labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from pyro_hea.evaluate import folds_benchmark, label_budget, published_benchmark
from pyro_hea.evaluate.benchmark.protocol_result import MEASURES, ProtocolResult, format_interval
from pyro_hea.plots import curve_panels, interval_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner
    from pyro_hea.evaluate.folds import Kind


def published(runner: Runner, seeds: int) -> ProtocolResult:
    """The published split: trained on its labelled and unlabelled parts, tested once."""
    found = published_benchmark(runner, seeds=seeds)
    rows = [
        {"measure": m, "mean": format_interval(values)} for m, values in found["summary"].items()
    ]
    first = f"Published split, mean over {seeds} seeds with its 95 % interval"
    tables = {first: pd.DataFrame(rows)} | _tables(found)
    return ProtocolResult("published", found, tables, _figure(found))


def random(runner: Runner, seeds: int) -> ProtocolResult:
    """Five random folds of all labelled alloys, beside the baselines."""
    return _folds("random", runner, seeds)


def grouped(runner: Runner, seeds: int) -> ProtocolResult:
    """Five folds that keep sets of elements together, beside the baselines."""
    return _folds("grouped", runner, seeds)


def budget(runner: Runner, seeds: int) -> ProtocolResult:
    """Few labels, the other alloys unlabelled: measured on the published test part."""
    found = label_budget(runner, seeds=seeds)
    tables, curves = {}, []
    for key, measure in MEASURES.items():
        rows = []
        for labels, scores in found["budgets"].items():
            models = scores["models"]
            rows.append({"labels": labels} | {m: models[m][key]["mean"] for m in models})
            curves += [
                {
                    "x_label": "labels",
                    "y_label": measure,
                    "name": model,
                    "x": int(labels),
                    **values[key],
                }
                for model, values in models.items()
            ]
        tables[f"{measure} by number of labels, mean over {seeds} seeds"] = pd.DataFrame(rows)
    paired = [
        {"labels": labels} | {b: format_interval(d) for b, d in scores["auc_difference"].items()}
        for labels, scores in found["budgets"].items()
    ]
    tables["AUC, pyro_hea minus each baseline, paired by seed, 95 % interval"] = pd.DataFrame(
        paired
    )
    figure = curve_panels(pd.DataFrame(curves)).figure
    return ProtocolResult("budget", found, tables, figure)


def _folds(kind: Kind, runner: Runner, seeds: int) -> ProtocolResult:
    found = folds_benchmark(kind, runner, seeds=seeds)
    return ProtocolResult(kind, found, _tables(found), _figure(found))


def _tables(found: dict[str, Any]) -> dict[str, pd.DataFrame]:
    tables = {}
    low, high = found["ece_band"]
    notes = {
        "all": f"; the ECE of a calibrated predictor lies in {low:.3f} to {high:.3f}",
        "≥ 4 elements": "",
    }
    for group, note in notes.items():
        rows = {model: scores[group] for model, scores in found["models"].items()}
        table = pd.DataFrame(rows).T.rename_axis("model").reset_index().astype({"n": int})
        tables[f"Alloys: {group}; mean over {found['seeds']} seeds{note}"] = table
    paired = [
        {"baseline": name} | {measure: format_interval(d) for measure, d in differences.items()}
        for name, differences in found["differences"].items()
    ]
    heading = "pyro_hea minus each baseline, paired, 95 % interval over the alloys"
    return tables | {heading: pd.DataFrame(paired)}


def _figure(found: dict[str, Any]) -> Figure:
    rows = []
    for name, differences in found["differences"].items():
        for key, interval in differences.items():
            measure, _, group = key.partition(", ")
            label = f"{MEASURES[measure]}, pyro_hea minus baseline"
            rows.append({"measure": label, "name": name, "group": group, **interval})
    return interval_panels(pd.DataFrame(rows), reference=0.0).figure
