"""How often the intervals of numbers hold, beside those of trees and of a line."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from pyro_hea.evaluate.comparison import MODEL
from pyro_hea.evaluate.folds import FOLDS
from pyro_hea.evaluate.measures.intervals import bootstrap_interval
from pyro_hea.evaluate.regressors import predict_quantiles
from pyro_hea.materials.alloys.dataset import load_alloys
from pyro_hea.posterior import predict
from pyro_hea.spec import Continuous, ModelSpec
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from pyro_hea.evaluate.runner import Runner
    from pyro_hea.materials.alloys.dataset import AlloyDataset

Floats: TypeAlias = NDArray[np.float64]

NOMINAL = (0.5, 0.8, 0.9, 0.95)
"""Probabilities of the central intervals."""

COMPARED = ("extra_trees", "ridge")
"""Baselines of the protocol."""

QUANTILES = np.arange(1, 40) / 40
"""Levels of the quantiles behind intervals and scores; those of `NOMINAL` are among them."""


def interval_coverage_benchmark(runner: Runner, *, seeds: int) -> dict[str, Any]:
    """Five random folds of all alloys with a number; each label is predicted once a seed.

    Parameters
    ----------
    runner : Runner
        The numbers are those of its spec; where it has none, those of the spec `properties`,
        without the classes that they are given there.
    seeds : int
        Seeds 0, 1, … of the folds and of the models.

    Returns
    -------
    dict
        `targets`: by number and model the `coverage` of the intervals by their probability (mean
        and 95 % interval of a bootstrap over the alloys), the mean `width` of the 90 % interval,
        `mae` of the median and `crps`, the last three in the number's unit.
    """
    spec = _continuous_only(runner.spec)
    tasks = {
        f"intervals-seed{seed}-fold{fold}": partial(_fold, seed, fold, spec, runner.device)
        for seed in range(seeds)
        for fold in range(FOLDS)
    }
    table = pd.concat([pd.DataFrame(rows) for rows in runner.run(tasks).values()])
    targets: dict[str, dict[str, Any]] = {}
    for (target, model), rows in table.groupby(["target", "model"], sort=False):
        targets.setdefault(str(target), {})[str(model)] = _scores(rows)
    return {"protocol": "intervals", "seeds": seeds, "targets": targets}


def quantile_scores(y: Floats, quantiles: Floats) -> pd.DataFrame:
    """What quantiles are worth, alloy by alloy.

    Parameters
    ----------
    y : array, shape (N,)
    quantiles : array, shape (levels, N)
        At `QUANTILES`.

    Returns
    -------
    DataFrame
        `error` of the median, `crps` (twice the mean pinball loss; Gneiting and Raftery, J. Am.
        Stat. Assoc. 102 (2007) 359), `width` of the 90 % interval, and for each probability of
        `NOMINAL` whether its interval holds.
    """
    level, over = QUANTILES[:, None], y - quantiles
    pinball = np.maximum(level * over, (level - 1) * over)
    columns = {"error": np.abs(over[_bound_rows(0.0)[0]]), "crps": 2 * pinball.mean(0)}
    low, high = _bound_rows(0.9)
    columns["width"] = quantiles[high] - quantiles[low]
    for nominal in NOMINAL:
        low, high = _bound_rows(nominal)
        columns[str(nominal)] = ((y >= quantiles[low]) & (y <= quantiles[high])).astype(float)
    return pd.DataFrame(columns)


def _continuous_only(spec: ModelSpec) -> ModelSpec:
    if any(isinstance(target, Continuous) for target in spec.targets):
        return spec
    shipped = ModelSpec.shipped("properties").targets
    numbers = [t.model_copy(update={"given": ()}) for t in shipped if isinstance(t, Continuous)]
    return spec.with_(targets=tuple(numbers))


def _fold(seed: int, fold: int, spec: ModelSpec, device: str) -> list[dict[Hashable, Any]]:
    data = load_alloys(["zeng2024", "borg2020"])
    names = [t.name for t in spec.targets if isinstance(t, Continuous)]
    labelled = np.flatnonzero(data.labels[names].notna().any(axis=1))
    shuffled = KFold(FOLDS, shuffle=True, random_state=seed).split(labelled)
    held = np.zeros(len(data), bool)
    held[labelled[list(shuffled)[fold][1]]] = True
    train, test = data.take(~held), data.take(held)
    vae = DisentangledVAE(spec).fit(train, seed=seed, device=device, progress=False)
    answers = {MODEL: _quantiles(vae, test, names)}
    for name in COMPARED:
        answers[name] = {n: _baseline(name, train, test, n, seed) for n in names}
    rows: list[dict[Hashable, Any]] = []
    for target in names:
        y = test.labels[target].to_numpy(float)
        known = np.isfinite(y)
        formulas = np.array(test.formulas)[known]
        for model, quantiles in answers.items():
            scores = quantile_scores(y[known], quantiles[target][:, known])
            scored = scores.assign(target=target, model=model, formula=formulas)
            rows += scored.to_dict("records")
    return rows


def _quantiles(vae: DisentangledVAE, test: AlloyDataset, names: Sequence[str]) -> dict[str, Floats]:
    """Of the model, by number (levels, N): the bounds of central intervals."""
    found = {name: np.empty((len(QUANTILES), len(test))) for name in names}
    for low in range(len(QUANTILES) // 2 + 1):
        high = len(QUANTILES) - 1 - low
        central = max(QUANTILES[high] - QUANTILES[low], 1e-6)  # that of the median is empty
        table = predict(vae.ensemble, test, interval=central)
        for name in names:
            found[name][low], found[name][high] = table[f"{name}_low"], table[f"{name}_high"]
    return found


def _baseline(name: str, train: AlloyDataset, test: AlloyDataset, target: str, seed: int) -> Floats:
    known = train.labels[target].notna().to_numpy()
    x, y = train.features[known].to_numpy(), train.labels[target][known].to_numpy(float)
    return np.exp(predict_quantiles(name, x, np.log(y), test.features.to_numpy(), QUANTILES, seed))


def _scores(rows: pd.DataFrame) -> dict[str, Any]:
    alloys = rows.drop(columns=["target", "model"]).groupby("formula").mean()
    return {
        "alloys": len(alloys),
        "coverage": {str(p): bootstrap_interval(alloys[str(p)]) for p in NOMINAL},
        "width": float(alloys["width"].mean()),
        "mae": float(alloys["error"].mean()),
        "crps": float(alloys["crps"].mean()),
    }


def _bound_rows(central: float) -> tuple[int, int]:
    """Rows of the bounds of a central interval."""
    low = round((1 - central) / 2 * (len(QUANTILES) + 1)) - 1
    return low, len(QUANTILES) - 1 - low
