"""The model beside the baselines: the same alloys, folds and features in the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score

from pyro_hea.dataset import AlloyDataset, load_alloys
from pyro_hea.evaluate.baselines import BASELINES, fit_predict
from pyro_hea.evaluate.classification import by_size
from pyro_hea.evaluate.folds import Kind, folds, keep_labels
from pyro_hea.evaluate.intervals import paired_difference
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from pyro_hea.spec import ModelSpec

MODEL = "pyro_hea"
BUDGETS = (25, 50, 100, 200, 400)
"""Numbers of labels, the other training alloys being unlabelled."""

_COMPARED: dict[str, tuple[Callable[..., float], int]] = {
    "auc": (roc_auc_score, 0),
    "log_loss": (log_loss, 0),
    "auc, ≥ 4 elements": (roc_auc_score, 4),
}
"""Measures that are compared, each with the fewest elements of the alloys that it is taken of."""

_DRAWS = 500
"""Bootstrap samples of the alloys."""


def cross_validation(
    kind: Kind,
    spec: ModelSpec | None = None,
    *,
    seeds: int,
    baselines: Sequence[str] = tuple(BASELINES),
    cache: Path | None = None,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, Any]:
    """Five folds of all labelled alloys, each alloy predicted once a seed by every model.

    Parameters
    ----------
    kind : {"random", "grouped"}
        Random folds, or folds that keep each set of elements together.
    spec : ModelSpec, optional
    seeds : int
        Seeds 0, 1, … of the folds and of the models.
    baselines : sequence of str
    cache : path, optional
        Folder in which the predictions of each fold are kept; one that is there is not run again.
    device : str
    progress : bool

    Returns
    -------
    dict
        `models`: by model the measures of the pooled folds, mean over the seeds, overall and for
        alloys of at least four elements. `differences`: model minus each baseline, with 95 %
        intervals of a bootstrap over the alloys.
    """
    alloys = load_alloys()
    runs = []
    for seed in range(seeds):
        parts = [
            _cached(
                cache,
                f"{kind}-seed{seed}-fold{index}",
                partial(predictions, train, test, spec, seed, baselines, device, progress),
            )
            for index, (train, test) in enumerate(folds(alloys, TARGET, kind, seed))
        ]
        runs.append(pd.concat(parts, ignore_index=True))
    return {"protocol": kind, "seeds": seeds, **_summary(runs, [MODEL, *baselines])}


def label_budget(
    spec: ModelSpec | None = None,
    *,
    budgets: Sequence[int] = BUDGETS,
    seeds: int,
    baselines: Sequence[str] = tuple(BASELINES),
    cache: Path | None = None,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, Any]:
    """The published test part after training with few labels, the rest of the alloys unlabelled.

    Parameters and cache as in `cross_validation`.

    Returns
    -------
    dict
        `budgets`: by number of labels, each model's mean AUC and log loss over the seeds and the
        paired difference of the AUC to each baseline, with its 95 % interval over the seeds.
    """
    parts = load_alloys().split("published")
    found = {}
    for count in budgets:
        runs = []
        for seed in range(seeds):
            train = keep_labels(parts["labelled"], TARGET, count, seed) + parts["unlabelled"]
            run = partial(
                predictions, train, parts["test"], spec, seed, baselines, device, progress
            )
            runs.append(_cached(cache, f"budget{count}-seed{seed}", run))
        scores = pd.DataFrame(
            [{m: roc_auc_score(run["label"], run[m]) for m in [MODEL, *baselines]} for run in runs]
        )
        losses = pd.DataFrame(
            [{m: log_loss(run["label"], run[m]) for m in [MODEL, *baselines]} for run in runs]
        )
        found[count] = {
            "models": {
                m: {"auc": float(scores[m].mean()), "log_loss": float(losses[m].mean())}
                for m in scores
            },
            "auc_difference": {b: paired_difference(scores[MODEL], scores[b]) for b in baselines},
        }
    return {"protocol": "budget", "seeds": seeds, "budgets": found}


def predictions(
    train: AlloyDataset,
    test: AlloyDataset,
    spec: ModelSpec | None,
    seed: int,
    baselines: Sequence[str],
    device: str,
    progress: bool,
) -> pd.DataFrame:
    """Probabilities of every model for the labelled test alloys, one column a model.

    No composition of the test part is trained on: those that would be are left out and counted
    in a warning.
    """
    test = test.take(test.labels[TARGET].notna().to_numpy())
    train = train.without(test)
    vae = DisentangledVAE(spec).fit(train, seed=seed, device=device, progress=progress)
    known = train.labels[TARGET].notna().to_numpy()
    x_train, y_train = train.features[known], train.labels[TARGET][known]
    columns = {MODEL: vae.predict(test)[TARGET].to_numpy()}
    for name in baselines:
        columns[name] = fit_predict(name, x_train, y_train, test.features, seed)
    return pd.DataFrame(
        {
            "formula": test.formulas,
            "number_of_elements": test.number_of_elements.to_numpy(),
            "label": test.labels[TARGET].to_numpy(),
            **columns,
        }
    )


def _cached(cache: Path | None, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    if cache is None:
        return make()
    path = cache / f"{name}.csv"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".partial")
        make().to_csv(unfinished, index=False)
        unfinished.replace(path)
    return pd.read_csv(path)


def _summary(runs: list[pd.DataFrame], models: list[str]) -> dict[str, Any]:
    tables = {
        m: [by_size(r["label"], r[m], r["number_of_elements"]).iloc[:2] for r in runs]
        for m in models
    }
    means = {m: sum(rows[1:], rows[0]) / len(rows) for m, rows in tables.items()}
    differences: dict[str, dict[str, Any]] = {baseline: {} for baseline in models[1:]}
    for measure, (score, least) in _COMPARED.items():
        parts = [run[run["number_of_elements"] >= least] for run in runs]
        for baseline, interval in _bootstrap(parts, models, score).items():
            differences[baseline][measure] = interval
    return {
        "models": {m: table.to_dict("index") for m, table in means.items()},
        "differences": differences,
    }


def _bootstrap(
    parts: list[pd.DataFrame], models: list[str], score: Callable[..., float]
) -> dict[str, dict[str, float]]:
    """Model minus each baseline, mean over the runs, with an interval over resampled alloys."""
    rng = np.random.default_rng(0)

    def differences(rows: Sequence[Any]) -> pd.Series:
        scores = pd.DataFrame(
            [
                {m: score(part["label"].to_numpy()[r], part[m].to_numpy()[r]) for m in models}
                for part, r in zip(parts, rows, strict=True)
            ]
        ).mean()
        return scores[MODEL] - scores.drop(MODEL)

    drawn = pd.DataFrame(
        [differences([rng.integers(len(p), size=len(p)) for p in parts]) for _ in range(_DRAWS)]
    )
    whole = differences([slice(None)] * len(parts))
    low, high = drawn.quantile(0.025), drawn.quantile(0.975)
    return {
        str(b): {"mean": float(whole[b]), "low": float(low[b]), "high": float(high[b])}
        for b in whole.index
    }
