"""Comparison with the published feature importance."""

from __future__ import annotations

import pandas as pd
from scipy.stats import spearmanr

from pyro_hea.errors import DataError

PUBLISHED_IMPORTANCE = {
    "mixing_entropy": 0.175,
    "melting_temperature": 0.105,
    "bulk_modulus": 0.099,
    "mixing_enthalpy": 0.084,
    "atomic_size_difference": 0.039,
    "molar_volume": 0.031,
    "valence_electron_concentration": 0.022,
    "electronegativity_difference": 0.005,
}
"""Mean |SHAP| of the published model's features (arXiv:2409.06740), in probability."""


def compare_with_published(importance: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Compare an importance with that of the published model.

    Parameters
    ----------
    importance : DataFrame
        As `Attributions.importance` gives it, of single features.

    Returns
    -------
    table : DataFrame
        The published features that the model has too: `mean`, `low`, `high`, `rank`,
        `published` and `published_rank`.
    correlation : float
        Spearman's ρ of the two rankings. With eight features |ρ| < 0.74 is no more than chance
        gives in one of twenty.

    Raises
    ------
    DataError
        Where fewer than three of the published features are in the model.
    """
    renamed = importance.rename(index={"mixing_entropy_published": "mixing_entropy"})
    shared = [name for name in PUBLISHED_IMPORTANCE if name in renamed.index]
    if len(shared) < 3:
        raise DataError(
            f"the importance holds {len(shared)} of the published features "
            f"({', '.join(PUBLISHED_IMPORTANCE)}); a ranking needs three"
        )
    published = pd.Series(PUBLISHED_IMPORTANCE)
    table = renamed.loc[shared, ["mean", "low", "high"]].assign(published=published[shared])
    table["rank"] = table["mean"].rank(ascending=False).astype(int)
    table["published_rank"] = table["published"].rank(ascending=False).astype(int)
    return table, float(spearmanr(table["mean"], table["published"]).statistic)
