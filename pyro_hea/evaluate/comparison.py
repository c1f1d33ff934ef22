"""The model beside the baselines: the same alloys, folds and features in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score

from pyro_hea.evaluate.baselines import BASELINES, fit_predict
from pyro_hea.evaluate.folds import FOLDS, Kind, folds, keep_labels
from pyro_hea.evaluate.measures.classification import by_size
from pyro_hea.evaluate.measures.intervals import bootstrap_interval, paired_difference
from pyro_hea.evaluate.measures.reliability import calibrated_ece_band
from pyro_hea.evaluate.plain_vae import PLAIN_VAE, plain_vae_predict
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.materials.alloys.dataset import AlloyDataset, load_alloys
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.evaluate.runner import Runner
    from pyro_hea.spec import ModelSpec

MODEL = "pyro_hea"
COMPARED = (*BASELINES, PLAIN_VAE)
"""What the model is compared with."""

BUDGETS = (25, 50, 100, 200, 400)
"""Numbers of labels, the other training alloys being unlabelled."""

_FEWEST = {"all": 0, "≥ 4 elements": 4}
"""Groups of alloys whose differences are reported, with their smallest number of elements."""

_DRAWS = 1000
"""Bootstrap samples of the alloys."""


def folds_benchmark(
    kind: Kind, runner: Runner, *, seeds: int, baselines: Sequence[str] = COMPARED
) -> dict[str, Any]:
    """Five folds of all labelled alloys, each alloy predicted once a seed by every model.

    Parameters
    ----------
    kind : {"random", "grouped"}
        Random folds, or folds that keep each set of elements together.
    runner : Runner
    seeds : int
        Seeds 0, 1, … of the folds and of the models.
    baselines : sequence of str
        Of `COMPARED`.

    Returns
    -------
    dict
        `models`: by model the measures of the pooled folds, mean over the seeds, overall and for
        alloys of at least four elements. `ece_band`: where the ECE of a calibrated predictor
        would lie, mean over the seeds. `differences`: model minus each baseline, with 95 %
        intervals of a bootstrap over the alloys, the same in every seed.
    """
    tasks = {
        f"{kind}-seed{seed}-fold{fold}": partial(
            _fold, kind, seed, fold, runner.spec, baselines, runner.device
        )
        for seed in range(seeds)
        for fold in range(FOLDS)
    }
    done = runner.run(tasks)
    runs = [
        pd.concat([pd.DataFrame(done[f"{kind}-seed{seed}-fold{fold}"]) for fold in range(FOLDS)])
        for seed in range(seeds)
    ]
    return {"protocol": kind, "seeds": seeds, **compare(runs, [MODEL, *baselines])}


def label_budget(
    runner: Runner,
    *,
    budgets: Sequence[int] = BUDGETS,
    seeds: int,
    baselines: Sequence[str] = COMPARED,
) -> dict[str, Any]:
    """The published test part after training with few labels, the rest of the alloys unlabelled.

    Parameters as in `folds_benchmark`.

    Returns
    -------
    dict
        `budgets`: by number of labels, each model's AUC and log loss (mean and 95 % interval over
        the seeds) and the paired difference of the AUC to each baseline, with its interval.
    """
    tasks = {
        f"budget{count}-seed{seed}": partial(
            _budget, count, seed, runner.spec, baselines, runner.device
        )
        for count in budgets
        for seed in range(seeds)
    }
    done = runner.run(tasks)
    models, found = [MODEL, *baselines], {}
    for count in budgets:
        runs = [pd.DataFrame(done[f"budget{count}-seed{seed}"]) for seed in range(seeds)]
        aucs = {m: [roc_auc_score(run["label"], run[m]) for run in runs] for m in models}
        losses = {m: [log_loss(run["label"], run[m]) for run in runs] for m in models}
        found[str(count)] = {
            "models": {
                m: {"auc": bootstrap_interval(aucs[m]), "log_loss": bootstrap_interval(losses[m])}
                for m in models
            },
            "auc_difference": {b: paired_difference(aucs[MODEL], aucs[b]) for b in baselines},
        }
    return {"protocol": "budget", "seeds": seeds, "budgets": found}


def predictions(
    vae: DisentangledVAE,
    train: AlloyDataset,
    test: AlloyDataset,
    *,
    seed: int,
    baselines: Sequence[str],
    device: str = "auto",
) -> dict[str, list[Any]]:
    """Probabilities of every model for the labelled test alloys, one column a model.

    Parameters
    ----------
    vae : DisentangledVAE
        Trained on `train`.
    train : AlloyDataset
        What the baselines are fitted on.
    test : AlloyDataset
    seed : int
    baselines : sequence of str
    device : str
    """
    test = test.take(test.labels[TARGET].notna().to_numpy())
    known = train.labels[TARGET].notna().to_numpy()
    x_train, y_train = train.features[known], train.labels[TARGET][known]
    columns = {MODEL: vae.predict(test)[TARGET].to_numpy()}
    for name in baselines:
        if name == PLAIN_VAE:
            columns[name] = plain_vae_predict(train, test, TARGET, vae.spec, seed, device)
        else:
            columns[name] = fit_predict(name, x_train, y_train, test.features, seed)
    table = pd.DataFrame(
        {
            "formula": test.formulas,
            "number_of_elements": test.number_of_elements.to_numpy(),
            "label": test.labels[TARGET].to_numpy(),
            **columns,
        }
    )
    return {str(name): column.tolist() for name, column in table.items()}


def compare(runs: Sequence[pd.DataFrame], models: Sequence[str]) -> dict[str, Any]:
    """Measure the first model and those that it is compared with.

    Parameters
    ----------
    runs : sequence of DataFrame
        One a seed, of the same alloys: `formula`, `number_of_elements`, `label` and the
        probabilities of each model.
    models : sequence of str

    Returns
    -------
    dict
        `models`, `ece_band` and `differences`; see `folds_benchmark`.
    """
    runs = [run.sort_values("formula", ignore_index=True) for run in runs]
    tables = {
        m: [by_size(r["label"], r[m], r["number_of_elements"]).iloc[:2] for r in runs]
        for m in models
    }
    means = {m: sum(rows[1:], rows[0]) / len(rows) for m, rows in tables.items()}
    bands = [calibrated_ece_band(run[models[0]]) for run in runs]
    return {
        "models": {m: table.to_dict("index") for m, table in means.items()},
        "ece_band": np.mean(bands, axis=0).tolist(),
        "differences": differences(runs, models),
    }


def _fold(
    kind: Kind, seed: int, fold: int, spec: ModelSpec, baselines: Sequence[str], device: str
) -> dict[str, list[Any]]:
    train, test = folds(load_alloys("zeng2024"), TARGET, kind, seed)[fold]
    return _trained(train, test, seed, spec, baselines, device)


def _budget(
    count: int, seed: int, spec: ModelSpec, baselines: Sequence[str], device: str
) -> dict[str, list[Any]]:
    parts = load_alloys("zeng2024").split("published")
    train = keep_labels(parts["labelled"], TARGET, count, seed) + parts["unlabelled"]
    return _trained(train, parts["test"], seed, spec, baselines, device)


def _trained(
    train: AlloyDataset,
    test: AlloyDataset,
    seed: int,
    spec: ModelSpec,
    baselines: Sequence[str],
    device: str,
) -> dict[str, list[Any]]:
    """Train on what is not in the test part; what would be is left out, counted in a warning."""
    train = train.without(test)
    vae = DisentangledVAE(spec).fit(train, seed=seed, device=device, progress=False)
    return predictions(vae, train, test, seed=seed, baselines=baselines, device=device)


def differences(
    runs: Sequence[pd.DataFrame], models: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """First model minus each other, mean over the runs, with an interval over the alloys.

    Parameters
    ----------
    runs : sequence of DataFrame
        As of `compare`, in the same order of alloys.
    models : sequence of str

    Returns
    -------
    dict
        By other model and by measure and group of alloys: `mean`, `low` and `high`, 95 %.
    """
    found: dict[str, dict[str, dict[str, float]]] = {other: {} for other in models[1:]}
    for group, fewest in _FEWEST.items():
        chosen = [run[run["number_of_elements"] >= fewest] for run in runs]
        labels = chosen[0]["label"].to_numpy()
        rng = np.random.default_rng(0)
        drawn = rng.integers(len(labels), size=(_DRAWS, len(labels)))
        rows = np.vstack([np.arange(len(labels)), drawn])  # the first is the alloys as they are
        for measure, score in (("auc", _auc), ("log_loss", _log_loss)):
            means = {
                m: np.mean([score(labels, part[m].to_numpy(), rows) for part in chosen], axis=0)
                for m in models
            }
            for other in models[1:]:
                difference = means[models[0]] - means[other]
                low, high = np.nanquantile(difference[1:], [0.025, 0.975])
                found[other][f"{measure}, {group}"] = {
                    "mean": float(difference[0]),
                    "low": float(low),
                    "high": float(high),
                }
    return found


def _auc(y: NDArray[np.float64], p: NDArray[np.float64], rows: NDArray[np.intp]) -> Any:
    """AUC of each draw of rows, (draws,): how often a positive is above a negative, ties half."""
    draws, n = rows.shape
    drawn = np.bincount((rows + n * np.arange(draws)[:, None]).ravel(), minlength=draws * n)
    order = np.argsort(p)
    drawn, y = drawn.reshape(draws, n)[:, order], y[order]
    first = np.flatnonzero(np.diff(p[order], prepend=-np.inf))  # of each value of p
    positive = np.add.reduceat(drawn * y, first, axis=1)
    negative = np.add.reduceat(drawn * (1 - y), first, axis=1)
    below = negative.cumsum(1) - negative / 2
    with np.errstate(invalid="ignore"):  # a draw of one class only is NaN
        return (positive * below).sum(1) / (positive.sum(1) * negative.sum(1))


def _log_loss(y: NDArray[np.float64], p: NDArray[np.float64], rows: NDArray[np.intp]) -> Any:
    """Log loss of each draw of rows, (draws,)."""
    tiny = np.finfo(float).eps
    likelihood = np.clip(np.where(y == 1, p, 1 - p), tiny, 1.0)
    return -np.log(likelihood)[rows].mean(1)
