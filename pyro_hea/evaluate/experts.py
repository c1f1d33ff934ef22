"""What an expert's prior buys where labels are few."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch

from pyro_hea.devices import seeded
from pyro_hea.evaluate.baselines import fit_predict
from pyro_hea.evaluate.folds import keep_labels
from pyro_hea.evaluate.paired import FEW, LEARNT_ALONE, TREES, paired_scores
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.materials.alloys.dataset import load_alloys
from pyro_hea.posterior import new_ensemble
from pyro_hea.spec import HumeRothery, Logistic, Prior
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from pyro_hea.evaluate.runner import Runner
    from pyro_hea.program.sites import Expert
    from pyro_hea.spec import ModelSpec

RULE = HumeRothery()
"""The rules of the field as they are written; nothing of them is fitted."""

OPINION = Logistic(
    logistic={"atomic_size_difference": -1.0, "number_of_elements": -0.5, "mixing_enthalpy": 0.3}
)
"""Misfit and many elements speak against one phase, strong compounds too; how much is uncertain."""

WRONG = Logistic(
    logistic={"atomic_size_difference": 1.0, "number_of_elements": 0.5, "mixing_enthalpy": -0.3}
)
"""The same with every sign the wrong way round."""

EXPERTS: dict[str, Prior | HumeRothery | Logistic] = {
    "flat": Prior(dist="Bernoulli", probs=0.5),
    "rule": RULE,
    "logistic": OPINION,
    "wrong": WRONG,
}
"""Priors that are compared, the first with the others."""

ALONE = {"rule alone": RULE, "logistic alone": OPINION}
"""Experts without any label: the probability before a label is seen is the answer."""


def expert_priors(runner: Runner, *, seeds: int, budgets: Sequence[int] = FEW) -> dict[str, Any]:
    """The published test part, after training with few labels under each prior of `EXPERTS`.

    Parameters
    ----------
    runner : Runner
        Its spec with the changes of `LEARNT_ALONE` is varied by the prior alone.
    seeds : int
        Seeds 0, 1, … of the labels that are kept and of the models; the same for each prior.
    budgets : sequence of int

    Returns
    -------
    dict
        `budgets`: by number of labels what `paired_scores` gives of the priors, of the experts
        without labels and of the baselines; `differences` are to the flat prior.
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
        runs = []
        for seed in range(seeds):
            of_prior = {n: pd.DataFrame(done[f"expert-{n}{count}-seed{seed}"]) for n in EXPERTS}
            columns = {name: part["probability"] for name, part in of_prior.items()}
            runs.append(of_prior[first].drop(columns="probability").assign(**columns))
        found[str(count)] = paired_scores(
            runs,
            [*EXPERTS, *ALONE, *TREES],
            [(name, first) for name in others] + [(first, name) for name in TREES],
        )
    return {"protocol": "experts", "seeds": seeds, "budgets": found}


def _predicted(name: str, count: int, seed: int, spec: ModelSpec, device: str) -> dict[str, Any]:
    """Labels of the test part and what the model says; for the flat prior what others say too."""
    parts = load_alloys("zeng2024").split("published")
    train = keep_labels(parts["labelled"], TARGET, count, seed) + parts["unlabelled"]
    test = parts["test"].take(parts["test"].labels[TARGET].notna().to_numpy())
    train = train.without(test)
    spec = spec.with_(**LEARNT_ALONE).with_prior(TARGET, EXPERTS[name])
    vae = DisentangledVAE(spec).fit(train, seed=seed, device=device, progress=False)
    table = {
        "number_of_elements": test.number_of_elements.to_numpy(),
        "label": test.labels[TARGET].to_numpy(),
        "probability": vae.predict(test)[TARGET].to_numpy(np.float64),
    }
    if name == next(iter(EXPERTS)):
        for expert, prior in ALONE.items():
            declared = spec.with_prior(TARGET, prior)
            ensemble = new_ensemble(declared, train, seed, torch.device("cpu"))
            features = ensemble.batch(test).features
            with seeded(seed):
                odds = cast("Expert", ensemble.model.experts[TARGET]).prior_log_odds(features)
            table[expert] = odds.sigmoid().numpy()
        known = train.labels[TARGET].notna().to_numpy()
        x, y = train.features[known], train.labels[TARGET][known]
        for baseline in TREES:
            table[baseline] = fit_predict(baseline, x, y, test.features, seed)
    return {key: np.asarray(values).tolist() for key, values in table.items()}
