"""How good numbers are that few alloys have, beside trees, a Gaussian process and a line."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.evaluate.comparison import MODEL
from pyro_hea.evaluate.cross_validation import predict_held_out, score_held_out
from pyro_hea.evaluate.measures.intervals import bootstrap_interval, paired_difference
from pyro_hea.materials.alloys.dataset import load_alloys
from pyro_hea.spec import ModelSpec

if TYPE_CHECKING:
    from pyro_hea.evaluate.runner import Runner
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.spec import Target

NUMBERS = ("hardness", "yield_strength", "ultimate_strength", "elongation")
LABELS = (35, 60)

DRAWS = 5
"""Sets of labelled alloys a seed."""


def few_label_benchmark(runner: Runner, *, seeds: int) -> dict[str, Any]:
    """Train on a few labelled alloys alone, and predict the others that have the number.

    Alloys processed in a way that no training alloy was are left out.

    The spec of each draw is what `ModelSpec.for_data` infers from its alloys, with the networks
    and the training of the runner's spec.

    Parameters
    ----------
    runner : Runner
    seeds : int
        Of each, `DRAWS` random sets of labelled alloys for each number and each of `LABELS`.

    Returns
    -------
    dict
        By number of labels, number and model: `coverage` of the 94 % intervals, `r2`, `mae` and
        `width` (in the number's unit), each the mean over the draws with a 95 % interval of a
        bootstrap over them; and `r2 over extra_trees`, the paired difference.
    """
    tasks = {
        f"intervals-{labels}-{number}-draw{draw}": partial(
            _draw, labels, number, draw, runner.spec, runner.device
        )
        for labels in LABELS
        for number in NUMBERS
        for draw in range(DRAWS * seeds)
    }
    rows = pd.DataFrame([row for part in runner.run(tasks).values() for row in part])
    found: dict[str, Any] = {}
    for (labels, number), each in rows.groupby(["labels", "target"], sort=False):
        scores = each.pivot(index="draw", columns="model")
        of_model: dict[str, Any] = {
            model: {
                measure: bootstrap_interval(scores[measure, model])
                for measure in ("coverage", "r2", "mae", "width")
            }
            for model in each["model"].unique()
        }
        ahead = paired_difference(scores["r2", MODEL], scores["r2", "extra_trees"])
        of_model[MODEL]["r2 over extra_trees"] = ahead
        found.setdefault(str(labels), {})[str(number)] = of_model
    return found


def _draw(
    labels: int, number: str, draw: int, spec: ModelSpec, device: str
) -> list[dict[Hashable, Any]]:
    data = load_alloys(["zeng2024", "borg2020"])
    known = np.flatnonzero(data.labels[number].notna())
    order = np.random.default_rng(draw).permutation(known)
    train, test = data.take(order[:labels]), data.take(order[labels:])
    inferred = ModelSpec.for_data(train, [number], verbose=False)
    declared = spec.with_(targets=inferred.targets, training__distillation__numbers=True)
    test = _answerable(test, inferred.target(number))
    answers, _ = predict_held_out(declared, train, test, draw, device=device)
    scores = score_held_out(declared.targets, answers).reset_index()
    return scores.assign(labels=labels, draw=draw).to_dict("records")


def _answerable(alloys: AlloyDataset, target: Target) -> AlloyDataset:
    """Without those that were processed in a way that no training alloy was."""
    reports = alloys.reports[alloys.reports["target"] == target.name]
    strange = pd.Series(False, index=reports.index)
    for name, classes in target.conditions.items():
        if isinstance(classes, tuple):
            strange |= reports[name].notna() & ~reports[name].isin([*classes, ""])
    return alloys.take(~alloys.fractions.index.isin(reports["formula"][strange]))
