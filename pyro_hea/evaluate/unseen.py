"""Alloys of elements that no training alloy holds: elements and groups left out in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.alloys.dataset import AlloyDataset, load_alloys
from pyro_hea.evaluate.baselines import BASELINES, fit_predict
from pyro_hea.evaluate.comparison import MODEL, compare
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.posterior.predictions import UNSEEN_PRIOR_WEIGHT, head_marginals
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.evaluate.runner import Runner
    from pyro_hea.spec import ModelSpec

GROUPS = {
    "Ti, Zr, Hf": ("Ti", "Zr", "Hf"),
    "V, Nb, Ta": ("V", "Nb", "Ta"),
    "Cr, Mo, W": ("Cr", "Mo", "W"),
    "Mn, Re": ("Mn", "Re"),
    "Co, Ni": ("Co", "Ni"),
    "Pd, Pt, Rh, Ru": ("Pd", "Pt", "Rh", "Ru"),
    "Cu, Ag, Au": ("Cu", "Ag", "Au"),
    "Al, Si": ("Al", "Si"),
}
"""Elements of one group of the periodic table, left out together."""

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Weights of the prior per atom of an unseen element among which each fold's is chosen."""

CHOSEN, ALONE, FULL = MODEL, "heads alone", "prior by share"
"""Answers with the weight chosen on the other folds, without the prior, and with weight 1."""

_FEWEST = 20  # labelled alloys with the elements, and without them


def unseen_benchmark(runner: Runner, *, seeds: int) -> dict[str, Any]:
    """Leave out all alloys of an element, or of a group, and predict them.

    A row is an alloy together with what was left out: an alloy of five elements is predicted in
    five folds. The weight of the prior is chosen for each fold by the log loss of all other folds.

    Parameters
    ----------
    runner : Runner
    seeds : int

    Returns
    -------
    dict
        By `elements` and `groups`: `models`, `ece_band` and `differences` as in
        `folds_benchmark`, `weights` (chosen for each fold, first seed) and `log_loss_by_weight`
        over all folds; and `shipped`, the weight that the library uses.
    """
    alloys = load_alloys("zeng2024")
    single: dict[str, tuple[str, ...]] = {e: (e,) for e in alloys.elements}
    kinds = {"elements": single, "groups": GROUPS}
    folds = {
        kind: {name: out for name, out in each.items() if _enough(alloys, out)}
        for kind, each in kinds.items()
    }
    tasks = {
        f"unseen-seed{seed}-{'-'.join(out)}": partial(
            _left_out, out, seed, runner.spec, runner.device
        )
        for seed in range(seeds)
        for each in folds.values()
        for out in each.values()
    }
    done = runner.run(tasks)
    found: dict[str, Any] = {"protocol": "unseen", "seeds": seeds, "shipped": UNSEEN_PRIOR_WEIGHT}
    for kind, each in folds.items():
        runs: list[pd.DataFrame] = []
        weights: dict[str, float] = {}
        for seed in range(seeds):
            parts = {
                name: pd.DataFrame(done[f"unseen-seed{seed}-{'-'.join(out)}"])
                for name, out in each.items()
            }
            chosen = {name: best_weight(parts, leave_out=name) for name in parts}
            weights = weights or chosen
            runs.append(pd.concat([_answers(part, chosen[name]) for name, part in parts.items()]))
        found[kind] = {
            **compare(runs, [CHOSEN, ALONE, FULL, *BASELINES]),
            "weights": weights,
            "log_loss_by_weight": {
                f"{weight:g}": float(np.mean([_loss(run, weight) for run in runs]))
                for weight in WEIGHTS
            },
            "folds": {name: len(runs[0][runs[0]["left_out"] == name]) for name in each},
        }
    return found


def best_weight(parts: Mapping[str, pd.DataFrame], leave_out: str | None = None) -> float:
    """The weight of `WEIGHTS` with the least log loss over all folds but one."""
    others = pd.concat([part for name, part in parts.items() if name != leave_out])
    return min(WEIGHTS, key=lambda weight: _loss(others, weight))


def _enough(alloys: AlloyDataset, out: Sequence[str]) -> bool:
    """Whether enough labelled alloys hold the elements, and enough of both classes do not."""
    labels = alloys.labels[TARGET]
    holds = alloys.fractions.reindex(columns=list(out), fill_value=0.0).gt(0).any(axis=1)
    without = labels[~holds].value_counts()
    return int(labels[holds].count()) >= _FEWEST and len(without) == 2 and without.min() >= _FEWEST


def _left_out(out: Sequence[str], seed: int, spec: ModelSpec, device: str) -> dict[str, list[Any]]:
    """Train without the elements and predict the labelled alloys that hold one of them."""
    alloys = load_alloys("zeng2024")
    holds = alloys.fractions[[e for e in out if e in alloys.elements]].gt(0).any(axis=1).to_numpy()
    known = alloys.labels[TARGET].notna().to_numpy()
    train, test = alloys.take(~holds), alloys.take(holds & known)
    vae = DisentangledVAE(spec).fit(train, seed=seed, device=device, progress=False)
    fractions = test.fractions.loc[:, test.fractions.gt(0).any()]
    heads = head_marginals(vae.ensemble, fractions)[TARGET].probabilities()[..., 1].mean(0)
    labelled = train.labels[TARGET].notna().to_numpy()
    x, y = train.features[labelled], train.labels[TARGET][labelled]
    unseen = [element for element in fractions.columns if element not in train.elements]
    table = {
        "formula": [f"{formula} without {', '.join(out)}" for formula in test.formulas],
        "left_out": [", ".join(out)] * len(test),
        "number_of_elements": test.number_of_elements.to_numpy(),
        "label": test.labels[TARGET].to_numpy(),
        "unseen_share": fractions[unseen].sum(axis=1).to_numpy(),
        "heads": heads.double().cpu().numpy(),
    }
    for name in BASELINES:
        table[name] = fit_predict(name, x, y, test.features, seed)
    return {name: np.asarray(column).tolist() for name, column in table.items()}


def _answers(part: pd.DataFrame, weight: float) -> pd.DataFrame:
    """A fold with the answers at three weights of the prior."""
    weights = {CHOSEN: weight, ALONE: 0.0, FULL: 1.0}
    return part.assign(**{name: _mixed(part, w) for name, w in weights.items()})


def _mixed(part: pd.DataFrame, weight: float) -> NDArray[np.float64]:
    share = weight * part["unseen_share"].to_numpy()
    return (1 - share) * part["heads"].to_numpy() + share * 0.5


def _loss(part: pd.DataFrame, weight: float) -> float:
    p, y = _mixed(part, weight), part["label"].to_numpy()
    return float(-np.log(np.clip(np.where(y == 1, p, 1 - p), 1e-12, 1)).mean())
