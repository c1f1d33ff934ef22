"""Models that are compared on the same draws of the labels, with intervals over the draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sklearn.metrics import log_loss, roc_auc_score

from pyro_hea.evaluate.measures.intervals import bootstrap_interval, paired_difference

if TYPE_CHECKING:
    import pandas as pd

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
    >>> import pandas as pd
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
