"""Models that are compared on the same draws of the labels, with intervals over the draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score

from pyro_hea.evaluate.comparison import MODEL
from pyro_hea.evaluate.measures.intervals import bootstrap_interval, paired_difference

if TYPE_CHECKING:
    from pyro_hea.evaluate.runner import Runner

FEW = (25, 50, 100, 200)
"""Numbers of labels, half of each class."""

TREES = ("extra_trees", "random_forest", "logistic_regression")
"""Baselines on the same labels."""

LEARNT_ALONE = {
    "training__members": 1,
    "training__epochs": 1,
    "training__wake_sleep": 0.0,
    "training__distillation__synthetic_alloys": 6000,
    "training__distillation__trees": 200,
    "training__distillation__steps": 333,
}
"""Smaller than the default: hundreds are trained. Distilled heads learn before all other training
and are not moved by it, so that the rest of the model is hardly trained changes no prediction."""

_GROUPS = {"all": 0, "≥ 4 elements": 4}


def scores_by_labels(
    runner: Runner,
    predicted: Callable[..., Mapping[str, Any]],
    task_name: str,
    variants: Mapping[str, Any],
    *,
    seeds: int,
    budgets: Sequence[int],
    beside_trees: str,
    alone: Iterable[str] = (),
) -> dict[str, Any]:
    """By number of labels what `paired_scores` gives of variants of the model and of `TREES`.

    Parameters
    ----------
    runner : Runner
    predicted : callable
        From a variant, a number of labels, a seed, a spec and a device to what
        `comparison.predictions` gives; for the first variant with `alone` and `TREES`.
    task_name : str
        With ``{variant}``, ``{count}`` and ``{seed}``.
    variants : mapping of str to object
        What is varied, by the name of the model. Differences are to the first.
    seeds : int
    budgets : sequence of int
        Numbers of labels.
    beside_trees : str
        The variant that each of `TREES` is compared with.
    alone : iterable of str
        Models that learn from no label.
    """
    tasks = {
        task_name.format(variant=variant, count=count, seed=seed): partial(
            predicted, variant, count, seed, runner.spec, runner.device
        )
        for count in budgets
        for seed in range(seeds)
        for variant in variants.values()
    }
    done = runner.run(tasks)
    first, *others = variants
    pairs = [(name, first) for name in others] + [(beside_trees, name) for name in TREES]
    found = {}
    for count in budgets:
        runs = []
        for seed in range(seeds):
            parts = {
                name: done[task_name.format(variant=variant, count=count, seed=seed)]
                for name, variant in variants.items()
            }
            columns = {name: part[MODEL] for name, part in parts.items()}
            runs.append(pd.DataFrame(parts[first]).assign(**columns))
        found[str(count)] = paired_scores(runs, [*variants, *alone, *TREES], pairs)
    return found


def paired_scores(
    runs: Sequence[pd.DataFrame], models: Iterable[str], pairs: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """AUC and log loss of each model, and differences of pairs of models.

    Parameters
    ----------
    runs : sequence of DataFrame
        One a draw: `number_of_elements`, `label` and the probabilities of each model.
    models : iterable of str
    pairs : iterable of (str, str)

    Returns
    -------
    dict
        `models`: by model and by "auc" or "log_loss", and the same followed by ", ≥ 4 elements",
        the mean over the draws and its 95 % interval. `differences`: the same of "A - B".

    Examples
    --------
    >>> run = pd.DataFrame({"label": [0, 1, 0, 1], "number_of_elements": [4, 4, 5, 5]})
    >>> run = run.assign(a=[0.2, 0.8, 0.3, 0.9], b=[0.2, 0.8, 0.9, 0.3])
    >>> found = paired_scores([run, run], ["a", "b"], [("a", "b")])
    >>> found["models"]["a"]["auc"]["mean"], found["differences"]["a - b"]["auc"]["mean"]
    (1.0, 0.5)
    """
    scores: dict[str, dict[str, list[float]]] = {
        model: {
            measure if group == "all" else f"{measure}, {group}": [
                float(score(part["label"], part[model]))
                for part in (run[run["number_of_elements"] >= fewest] for run in runs)
            ]
            for group, fewest in _GROUPS.items()
            for measure, score in (("auc", roc_auc_score), ("log_loss", log_loss))
        }
        for model in models
    }
    return {
        "models": {
            model: {key: bootstrap_interval(values) for key, values in of_model.items()}
            for model, of_model in scores.items()
        },
        "differences": {
            f"{a} - {b}": {
                key: paired_difference(scores[a][key], scores[b][key]) for key in scores[a]
            }
            for a, b in pairs
        },
    }
