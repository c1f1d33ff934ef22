"""How well classifiers tell clusters apart, before and after T."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from pyro_hea.explain.separable.member_latent import Encoded
    from pyro_hea.explain.separable.separable import SeparableLatent
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.program.separable import SeparableModel

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

LEVEL = 0.95
_DRAWS = 1000
_NEIGHBOURS = 5


def scores_of(
    separable: SeparableLatent, alloys: AlloyDataset | Alloys, shuffled: bool, seed: int
) -> pd.DataFrame:
    """See `SeparableLatent.scores`."""
    held, truth = separable.held_out(alloys)
    rows = {}
    shuffle = separable.shuffled if shuffled else None
    for name in ("before", "after"):
        after = name == "after"
        seen = coordinates(separable.trained, separable.model if after else None)
        other = coordinates(held, separable.model if after else None)
        tested = {"seen": (seen, separable.codes), "held_out": (other, truth)}
        rows[name] = read_clusters_from(seen, separable.codes, tested, seed)
        if shuffle is not None:
            model, codes = shuffle
            seen = coordinates(separable.trained, model if after else None)
            other = coordinates(held, model if after else None)
            by_chance = read_clusters_from(seen, codes, {"shuffled": (other, truth)}, seed)
            rows[name] = rows[name].join(by_chance)
    return pd.concat(rows, names=["latent"])


@torch.no_grad()
def coordinates(alloys: Encoded, model: SeparableModel | None) -> Floats:
    """W of alloys, or with T what it makes of it, (N, d)."""
    values = alloys.w if model is None else model.encode(alloys.w)
    return np.asarray(values.double().cpu().numpy())


def kept_clusters(separable: SeparableLatent, alloys: AlloyDataset | Alloys) -> pd.Series:
    """See `SeparableLatent.invertibility`."""
    encoded = separable.latent.encode(alloys)
    truth = separable.clusters_of(encoded.fractions.to_numpy(float))
    again = separable.w(separable.u(encoded.w))
    made = separable.latent.table(separable.latent.decode(again, encoded.y))
    kept = separable.clusters_of(made.to_numpy(float)) == truth
    by_cluster = {n: kept[truth == c].mean() for c, n in enumerate(separable.names) if c in truth}
    return pd.Series({**by_cluster, "all": kept[truth >= 0].mean()}, name="kept")


def classifiers() -> dict[str, Pipeline]:
    """Those that read the clusters, each on standardised coordinates."""
    models = {
        "KNN": KNeighborsClassifier(_NEIGHBOURS),
        "naive Bayes": GaussianNB(),
        "linear SVM": SVC(kernel="linear"),
        "RBF SVM": SVC(),
    }
    return {name: make_pipeline(StandardScaler(), model) for name, model in models.items()}


def read_clusters_from(
    latent: Floats, codes: Codes, tested: Mapping[str, tuple[Floats, Codes]], seed: int = 0
) -> pd.DataFrame:
    """Fit each classifier, and score it on other alloys.

    Parameters
    ----------
    latent : array, shape (N, d)
    codes : array of int, shape (N,)
        Cluster of each; alloys below 0 are left out.
    tested : mapping of str to (latent, codes)
        By column.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        By `classifier` and `measure` ("macro F1" or "accuracy"): each column of `tested`, with its
        95 % interval over alloys as `_low` and `_high`.
    """
    rows: dict[tuple[str, str], dict[str, float]] = {}
    fitted = latent[codes >= 0], codes[codes >= 0]
    for name, model in classifiers().items():
        model.fit(*fitted)
        found: dict[str, dict[str, float]] = {"macro F1": {}, "accuracy": {}}
        for column, (other, truth) in tested.items():
            known = truth >= 0
            said = model.predict(other[known])
            for measure, values in bootstrap_scores(truth[known], said, seed).items():
                low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
                found[measure] |= {
                    column: values[0],
                    f"{column}_low": low,
                    f"{column}_high": high,
                }
        rows |= {(name, measure): row for measure, row in found.items()}
    index = pd.MultiIndex.from_tuples([*rows], names=["classifier", "measure"])
    return pd.DataFrame([*rows.values()], index)


def bootstrap_scores(
    truth: Codes, said: Codes, seed: int = 0, draws: int = _DRAWS
) -> dict[str, Floats]:
    """Macro F1 and accuracy, first of the alloys, then of each resample of them, (1 + draws,).

    Macro F1 is the mean over the clusters that some of the alloys are in.

    Examples
    --------
    >>> scores = bootstrap_scores(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    >>> {name: round(float(values[0]), 3) for name, values in scores.items()}
    {'macro F1': 0.733, 'accuracy': 0.75}
    """
    count = int(max(truth.max(), said.max())) + 1
    pair = truth * count + said
    rows = np.random.default_rng(seed).integers(len(truth), size=(draws, len(truth)))
    every = np.vstack([np.arange(len(truth)), rows])
    tables = np.stack([np.bincount(pair[r], minlength=count**2) for r in every])
    tables = tables.reshape(-1, count, count)
    right = np.diagonal(tables, axis1=1, axis2=2)
    is_, called = tables.sum(2), tables.sum(1)
    f1 = 2 * right / np.maximum(is_ + called, 1)
    present = is_ > 0
    return {
        "macro F1": (f1 * present).sum(1) / present.sum(1),
        "accuracy": right.sum(1) / len(truth),
    }
