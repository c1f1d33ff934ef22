"""Features that a model reads, and groups of correlated ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from pyro_hea.errors import UnseenElementWarning, warn
from pyro_hea.materials.alloys.dataset import to_batch
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.posterior import as_fractions

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.posterior import Ensemble
    from pyro_hea.vae import DisentangledVAE


def features_of(vae: DisentangledVAE, alloys: AlloyDataset | Alloys) -> pd.DataFrame:
    """Declared features of alloys of any elements, (N, F), in the units of `FEATURES`.

    Warns
    -----
    UnseenElementWarning
        For elements that no training alloy holds: they have features, but no latent.
    """
    ensemble, fractions = vae.ensemble, as_fractions(alloys)
    warn_of_unseen(ensemble, fractions)
    names = ensemble.spec.features.columns
    feature_map = FeatureMap(names, ensemble.tables, list(fractions.columns))
    batch = to_batch(fractions, feature_map, dtype=torch.float64)
    return pd.DataFrame(batch.features.numpy(), fractions.index, list(names))


def warn_of_unseen(ensemble: Ensemble, fractions: pd.DataFrame) -> None:
    """Say that alloys (N, E) with elements outside the training ones have features alone."""
    unseen = [e for e in fractions.columns if e not in ensemble.elements and fractions[e].any()]
    if unseen:
        warn(
            f"no training alloy holds {', '.join(unseen)}: alloys with them are explained by their "
            "features, and have no latent",
            UnseenElementWarning,
        )


def correlated_groups(
    features: pd.DataFrame, count: int = 8, names: Sequence[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Group features that say the same, by average linkage on 1 - |Spearman's ρ|.

    Parameters
    ----------
    features : DataFrame, shape (N, F)
        Of the alloys among which they are correlated; a constant feature stands alone.
    count : int
        Groups to make.
    names : sequence of str, optional
        The features to group, all by default.

    Returns
    -------
    dict of str to tuple of str
        By the member that is most correlated with the rest of its group, with " …" added where
        there is a rest.

    Examples
    --------
    >>> a, b = np.arange(8.0), np.array([3.0, 1, 4, 1, 5, 9, 2, 6])
    >>> correlated_groups(pd.DataFrame({"a": a, "b": b, "a squared": a**2}), count=2)
    {'a …': ('a', 'a squared'), 'b': ('b',)}
    """
    table = features if names is None else features[list(names)]
    columns = [str(name) for name in table.columns]
    if len(columns) <= count:
        return {name: (name,) for name in columns}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a constant feature
        rho = np.abs(np.nan_to_num(table.corr("spearman").to_numpy()))
    np.fill_diagonal(rho, 1.0)
    tree = linkage(squareform(1 - rho, checks=False), "average")
    label = fcluster(tree, count, "maxclust")
    groups = {}
    for own in dict.fromkeys(label):
        rows = np.flatnonzero(label == own)
        head = columns[rows[rho[np.ix_(rows, rows)].sum(1).argmax()]]
        groups[f"{head} …" if len(rows) > 1 else head] = tuple(columns[i] for i in rows)
    return groups
