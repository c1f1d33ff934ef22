"""Test whether the label can be read from the latent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm

from pyro_hea.evaluate.measures import label_from_latent
from pyro_hea.posterior.predictions import INTERVAL

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def label_leak(latents: Sequence[pd.DataFrame], y: ArrayLike, seed: int = 0) -> pd.DataFrame:
    """Test that a label cannot be read from the latent.

    Parameters
    ----------
    latents : sequence of DataFrame, each of shape (N, d)
        The same labelled alloys in each member, encoded with their true labels.
    y : array_like, shape (N,)
        0 and 1; alloys where it is NaN are left out.
    seed : int
        Of folds and trees.

    Returns
    -------
    DataFrame
        By reader, `knn` (15 nearest neighbours) and `trees` (extra trees): `auc`, the mean over
        the members of the AUC in 5 folds; `low` and `high`, its 94 % interval over other alloys
        (Hanley and McNeil, Radiology 143 (1982) 29) and other members; `chance`, the AUC that a
        reader of noise exceeds in 3 of 100 cases; `leaks`, whether `low` is above 0.5 and the AUC
        above `chance`.

    Raises
    ------
    DataError
        As `pyro_hea.evaluate.measures.label_from_latent`.
    """
    labels = np.asarray(y, float)
    known = ~np.isnan(labels)
    scores = [label_from_latent(z[known], labels[known], seed) for z in latents]
    ones, zeros = int((labels == 1).sum()), int((labels == 0).sum())
    quantile = norm.ppf((1 + INTERVAL) / 2)
    by_chance = np.sqrt((ones + zeros + 1) / (12 * ones * zeros))
    rows = {}
    for reader in ("knn", "trees"):
        aucs = np.array([score[f"{reader}_auc"] for score in scores])
        auc = aucs.mean()
        members = aucs.var(ddof=1) / len(aucs) if len(aucs) > 1 else 0.0
        sd = np.sqrt(_variance(auc, ones, zeros) + members)
        low, chance = auc - quantile * sd, 0.5 + quantile * by_chance
        rows[reader] = {
            "auc": auc,
            "low": max(low, 0.0),
            "high": min(auc + quantile * sd, 1.0),
            "chance": chance,
            "leaks": bool(low > 0.5 and auc > chance),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="reader")


def _variance(auc: float, ones: int, zeros: int) -> float:
    """Variance of an AUC over samples of the alloys."""
    both, neither = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (ones - 1) * (both - auc**2) + (zeros - 1) * (neither - auc**2)
    return max(float(spread / (ones * zeros)), 0.0)
