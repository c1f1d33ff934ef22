"""What an expert's prior buys where labels are few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from pyro_hea.devices import seeded
from pyro_hea.evaluate.comparison import predictions
from pyro_hea.evaluate.folds import keep_labels
from pyro_hea.evaluate.paired import FEW, LEARNT_ALONE, TREES, scores_by_labels
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
    found = scores_by_labels(
        runner,
        _predicted,
        "expert-{variant}{count}-seed{seed}",
        {name: name for name in EXPERTS},
        seeds=seeds,
        budgets=budgets,
        beside_trees=next(iter(EXPERTS)),
        alone=ALONE,
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
    first = name == next(iter(EXPERTS))
    table = predictions(vae, train, test, seed=seed, baselines=TREES if first else ())
    if first:
        for expert, prior in ALONE.items():
            declared = spec.with_prior(TARGET, prior)
            ensemble = new_ensemble(declared, train, seed, torch.device("cpu"))
            features = ensemble.batch(test).features
            with seeded(seed):
                odds = cast("Expert", ensemble.model.experts[TARGET]).prior_log_odds(features)
            table[expert] = odds.sigmoid().tolist()
    return table
