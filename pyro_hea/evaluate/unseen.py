"""Alloys of elements that no training alloy holds: elements and groups left out in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.evaluate.baselines import BASELINES, fit_predict
from pyro_hea.evaluate.comparison import MODEL, compare
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.materials.alloys.dataset import AlloyDataset, load_alloys, to_batch
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.posterior.marginals import marginals
from pyro_hea.posterior.predictions import distance_to_known
from pyro_hea.posterior.trust import PRIOR_WEIGHT, prior_share
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

WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Shares of the prior far from the training alloys, among which each fold's is chosen."""

ALONE, BY_ATOMS = "heads alone", "prior by share of atoms"
"""Answers without the prior, and with as much of it as there are atoms of unseen elements."""

_FEWEST = 20  # labelled alloys with the elements, and without them


def unseen_benchmark(runner: Runner, *, seeds: int) -> dict[str, Any]:
    """Leave out all alloys of an element, or of a group, and predict them.

    A row is an alloy together with what was left out: an alloy of five elements is predicted in
    five folds. The weight of `prior_share` is chosen for each fold on all other folds, by the
    log loss with each fold counted once.

    Parameters
    ----------
    runner : Runner
    seeds : int

    Returns
    -------
    dict
        By `elements` and `groups`: `models`, `ece_band` and `differences` as in
        `folds_benchmark`, over all rows; `log_loss_by_fold`, by model the mean over the folds;
        `weights`, chosen for each fold of the first seed; `log_loss_by_weight`; and `folds`, their
        numbers of rows. `shipped` is the weight that the library uses.
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
    found: dict[str, Any] = {"protocol": "unseen", "seeds": seeds, "shipped": PRIOR_WEIGHT}
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
        models = [MODEL, ALONE, BY_ATOMS, *BASELINES]
        found[kind] = {
            **compare(runs, models),
            "log_loss_by_fold": {
                model: float(np.mean([_loss_by_fold(run, run[model]) for run in runs]))
                for model in models
            },
            "weights": weights,
            "log_loss_by_weight": {
                f"{w:g}": float(np.mean([_loss_by_fold(run, _mixed(run, w)) for run in runs]))
                for w in WEIGHTS
            },
            "folds": runs[0]["left_out"].value_counts(sort=False).to_dict(),
        }
    return found


def best_weight(parts: Mapping[str, pd.DataFrame], leave_out: str | None = None) -> float:
    """The weight of `WEIGHTS` with the least log loss, a mean over all folds but one."""
    others = pd.concat([part for name, part in parts.items() if name != leave_out])
    return min(WEIGHTS, key=lambda weight: _loss_by_fold(others, _mixed(others, weight)))


def _enough(alloys: AlloyDataset, out: Sequence[str]) -> bool:
    """Whether enough labelled alloys hold the elements, and enough of both classes do not."""
    labels = alloys.labels[TARGET]
    holds = alloys.fractions[list(out)].gt(0).any(axis=1)
    without = labels[~holds].value_counts()
    return int(labels[holds].count()) >= _FEWEST and len(without) == 2 and without.min() >= _FEWEST


def _left_out(out: Sequence[str], seed: int, spec: ModelSpec, device: str) -> dict[str, list[Any]]:
    """Train without the elements and predict the labelled alloys that hold one of them."""
    alloys = load_alloys("zeng2024")
    holds = alloys.fractions[list(out)].gt(0).any(axis=1).to_numpy()
    known = alloys.labels[TARGET].notna().to_numpy()
    train, test = alloys.take(~holds), alloys.take(holds & known)
    vae = DisentangledVAE(spec).fit(train, seed=seed, device=device, progress=False)
    ensemble, fractions = vae.ensemble, test.fractions
    feature_map = FeatureMap(spec.features.columns, ensemble.tables, list(fractions.columns))
    batch = to_batch(fractions, feature_map, device=ensemble.device)
    heads = marginals(ensemble.model, batch, [TARGET])[TARGET].probabilities()[..., 1].mean(0)
    labelled = train.labels[TARGET].notna().to_numpy()
    x, y = train.features[labelled], train.labels[TARGET][labelled]
    table = {
        "formula": [f"{formula} without {', '.join(out)}" for formula in test.formulas],
        "left_out": [", ".join(out)] * len(test),
        "number_of_elements": test.number_of_elements.to_numpy(),
        "label": test.labels[TARGET].to_numpy(),
        "unseen_atoms": fractions[list(out)].sum(axis=1).to_numpy(),
        "distance": distance_to_known(ensemble, fractions, feature_map),
        "heads": heads.double().cpu().numpy(),
    }
    for name in BASELINES:
        table[name] = fit_predict(name, x, y, test.features, seed)
    return {name: np.asarray(column).tolist() for name, column in table.items()}


def _answers(part: pd.DataFrame, weight: float) -> pd.DataFrame:
    """A fold with the answers at a weight of the prior, without it, and with the prior by atoms."""
    found = part.copy()
    found[MODEL], found[ALONE] = _mixed(part, weight), part["heads"]
    found[BY_ATOMS] = _with_prior(part, part["unseen_atoms"].to_numpy())
    return found


def _mixed(part: pd.DataFrame, weight: float) -> NDArray[np.float64]:
    return _with_prior(part, prior_share(part["distance"].to_numpy(), weight))


def _with_prior(part: pd.DataFrame, share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((1 - share) * part["heads"].to_numpy() + share * 0.5)


def _loss_by_fold(part: pd.DataFrame, p: NDArray[np.float64] | pd.Series) -> float:
    """Mean over the folds of the log loss of each."""
    likelihood = np.where(part["label"] == 1, p, 1 - np.asarray(p))
    losses = pd.Series(-np.log(np.clip(likelihood, 1e-12, 1)))
    return float(losses.groupby(part["left_out"].to_numpy()).mean().mean())
