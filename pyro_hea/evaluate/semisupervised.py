"""What alloys without a label bring where labels are few."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.errors import UnseenElementWarning
from pyro_hea.evaluate.comparison import predictions
from pyro_hea.evaluate.folds import keep_labels
from pyro_hea.evaluate.paired import LEARNT_ALONE, TREES, scores_by_labels
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.materials.alloys.dataset import load_alloys
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from pyro_hea.evaluate.runner import Runner
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.spec import ModelSpec

BUDGETS = (25, 50, 100)
"""Numbers of labels."""

SHARES = (0, 25, 50, 100)
"""Per cent of the other training alloys that are there, unlabelled."""


def share_name(share: int) -> str:
    """The name of a share of the alloys in results."""
    return f"{share} % unlabelled"


def semisupervised_benchmark(
    runner: Runner, *, seeds: int, budgets: Sequence[int] = BUDGETS
) -> dict[str, Any]:
    """The published test part, after training with few labels and a share of the other alloys.

    Parameters
    ----------
    runner : Runner
        Its spec with the changes of `LEARNT_ALONE` is trained.
    seeds : int
        Seeds 0, 1, … of the labels, of the unlabelled alloys and of the models. The labels are the
        same for each share, and a smaller share is a part of a larger one.
    budgets : sequence of int

    Returns
    -------
    dict
        `budgets`: by number of labels what `paired_scores` gives of the model with each share and
        of the baselines, which read labels alone; `differences` are to no unlabelled alloys.
    """
    variants = {share_name(share): share for share in SHARES}
    found = scores_by_labels(
        runner,
        _predicted,
        "semisupervised{count}-share{variant}-seed{seed}",
        variants,
        seeds=seeds,
        budgets=budgets,
        beside_trees=[*variants][-1],
    )
    return {"protocol": "semisupervised", "seeds": seeds, "budgets": found}


def training_alloys(count: int, share: int, seed: int) -> AlloyDataset:
    """So many labelled alloys of the published training part and a share of the others, unlabelled.

    Parameters
    ----------
    count : int
        Labels, half of each class.
    share : int
        Per cent.
    seed : int

    Examples
    --------
    >>> few, more = (training_alloys(25, share, 0) for share in (0, 50))
    >>> len(few), int(more.labels["single_phase"].notna().sum()), len(more)
    (25, 25, 591)
    """
    parts = load_alloys("zeng2024").split("published")
    labelled = keep_labels(parts["labelled"], TARGET, count, seed)
    others = (labelled.take(np.arange(count, len(labelled))) + parts["unlabelled"]).without(
        parts["test"]
    )
    order = np.random.default_rng(seed).permutation(len(others))
    kept = np.sort(order[: round(share / 100 * len(others))])
    return labelled.take(np.arange(count)).without(parts["test"]) + others.take(kept)


def _predicted(share: int, count: int, seed: int, spec: ModelSpec, device: str) -> dict[str, Any]:
    """Labels of the test part and what the model says; without unlabelled alloys, baselines too."""
    train = training_alloys(count, share, seed)
    test = load_alloys("zeng2024").split("published")["test"]
    vae = DisentangledVAE(spec.with_(**LEARNT_ALONE))
    vae.fit(train, seed=seed, device=device, progress=False)
    baselines = TREES if share == SHARES[0] else ()
    with warnings.catch_warnings():  # few alloys do not hold every element; that is the question
        warnings.simplefilter("ignore", UnseenElementWarning)
        return predictions(vae, train, test, seed=seed, baselines=baselines)
