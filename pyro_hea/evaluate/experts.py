"""What an expert's prior buys where labels are few."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import log_loss, roc_auc_score

from pyro_hea.evaluate.folds import keep_labels
from pyro_hea.evaluate.measures.intervals import bootstrap_interval, paired_difference
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.materials.alloys.dataset import load_alloys
from pyro_hea.spec import HumeRothery, Logistic, Prior
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from pyro_hea.evaluate.runner import Runner
    from pyro_hea.spec import ModelSpec

RULE = HumeRothery()
"""The rules of the field as they are written; nothing of them is fitted."""

OPINION = Logistic(
    logistic={"atomic_size_difference": -1.0, "number_of_elements": -0.5, "mixing_enthalpy": 0.3}
)
"""Misfit and many elements speak against one phase, strong compounds too; how much is uncertain."""

EXPERTS: dict[str, Prior | HumeRothery | Logistic] = {
    "flat": Prior(dist="Bernoulli", probs=0.5),
    "rule": RULE,
    "logistic": OPINION,
}
"""Priors that are compared, the first with the others."""

ALONE = "rule alone"
"""The rule without any label: its log odds are the answer."""

FEW = (25, 50, 100)
"""Numbers of labels, the other training alloys being unlabelled."""

SIZE = {"training__members": 2, "training__epochs": 100, "training__distillation": None}
"""Of every model here, smaller than the default: sixty and more are trained. A head with an
expert's prior has no teacher, so the flat prior has none here either."""


def expert_priors(runner: Runner, *, seeds: int, budgets: Sequence[int] = FEW) -> dict[str, Any]:
    """The published test part, after training with few labels under each prior of `EXPERTS`.

    Parameters
    ----------
    runner : Runner
        Its spec with the size of `SIZE` is varied by the prior alone.
    seeds : int
        Seeds 0, 1, … of the labels that are kept and of the models; the same for each prior.
    budgets : sequence of int

    Returns
    -------
    dict
        `budgets`: by number of labels, `models` with the AUC and log loss under each prior (mean
        and 95 % interval over the seeds), and `differences` of each expert to the flat prior,
        paired by seed.
    """
    tasks = {
        f"expert-{name}{count}-seed{seed}": partial(
            _predicted, name, count, seed, runner.spec, runner.device
        )
        for count in budgets
        for seed in range(seeds)
        for name in EXPERTS
    }
    done = runner.run(tasks)
    first, *others = EXPERTS
    found = {}
    for count in budgets:
        scores: dict[str, dict[str, list[float]]] = {}
        for name in (*EXPERTS, ALONE):
            of_unit = "rule" if name == ALONE else name
            runs = [done[f"expert-{of_unit}{count}-seed{seed}"] for seed in range(seeds)]
            column = "alone" if name == ALONE else "probability"
            scores[name] = {
                "auc": [roc_auc_score(run["label"], run[column]) for run in runs],
                "log_loss": [log_loss(run["label"], run[column]) for run in runs],
            }
        found[str(count)] = {
            "models": {
                name: {m: bootstrap_interval(values) for m, values in measures.items()}
                for name, measures in scores.items()
            },
            "differences": {
                name: {
                    m: paired_difference(scores[name][m], scores[first][m]) for m in scores[name]
                }
                for name in others
            },
        }
    return {"protocol": "experts", "seeds": seeds, "budgets": found}


def _predicted(
    name: str, count: int, seed: int, spec: ModelSpec, device: str
) -> dict[str, list[float]]:
    """Labels of the test part, and what the model and the rule say of them."""
    parts = load_alloys("zeng2024").split("published")
    train = keep_labels(parts["labelled"], TARGET, count, seed) + parts["unlabelled"]
    test = parts["test"].take(parts["test"].labels[TARGET].notna().to_numpy())
    spec = spec.with_(**SIZE).with_prior(TARGET, EXPERTS[name])
    vae = DisentangledVAE(spec).fit(train.without(test), seed=seed, device=device, progress=False)
    columns = {f: torch.tensor(test.features[f].to_numpy()) for f in RULE.features}
    table = pd.DataFrame(
        {
            "label": test.labels[TARGET].to_numpy(),
            "probability": vae.predict(test)[TARGET].to_numpy(np.float64),
            "alone": RULE.log_odds(columns).sigmoid().numpy(),
        }
    )
    return {str(key): values.tolist() for key, values in table.items()}
