"""Posterior predictive checks of sets of alloys.

Each draw of the alloys is a replicate of the whole set; statistics of the real set are compared
with those of the replicates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.posterior.idata import to_inference_data

if TYPE_CHECKING:
    import arviz as az
    from numpy.typing import NDArray

    from pyro_hea.posterior.ensemble import Ensemble

    Floats = NDArray[np.float64]

PRESENCE_THRESHOLD = 0.01
"""Fraction from which an element counts as present; multinomial draws have stray atoms."""


def check_predictive(
    ensemble: Ensemble, idata: az.InferenceData, *, group: str = "posterior_predictive"
) -> tuple[pd.DataFrame, az.InferenceData]:
    """Compare sets of generated alloys with the set of real ones, statistic by statistic.

    Parameters
    ----------
    ensemble : Ensemble
        Gives the features.
    idata : InferenceData
        As `posterior` draws it: `composition` in `group` (chain, draw, alloy, element) and in
        `observed_data` (alloy, element). Each draw is a replicate of the set.
    group : {"posterior_predictive", "prior_predictive"}

    Returns
    -------
    table : DataFrame
        By statistic: `observed` (of the real set), `mean` and `sd` over the replicates, and
        `p_value`, the two-sided share of replicates that are as far out (never 0: the real set
        counts as one). Statistics are the mean and the standard deviation, over the alloys, of
        the number of elements and of each feature, and of each element the share of the alloys
        that hold it.
    checks : InferenceData
        The replicates alloy by alloy, as `az.plot_ppc` takes them: `number_of_elements` and each
        feature, in `posterior_predictive` and `observed_data`.
    """
    drawn = np.asarray(idata[group]["composition"], float)
    real = np.asarray(idata["observed_data"]["composition"], float)
    generated = _of_alloys(ensemble, drawn)
    observed = _of_alloys(ensemble, real)
    rows = {}
    for name, values in generated.items():
        for label, statistic in (("mean", np.mean), ("sd", np.std)):
            rows[f"{label} of {name}"] = statistic(observed[name]), statistic(values, axis=-1)
    for i, element in enumerate(ensemble.elements):
        holds = (drawn[..., i] >= PRESENCE_THRESHOLD).mean(-1)
        rows[f"share with {element}"] = (real[..., i] >= PRESENCE_THRESHOLD).mean(-1), holds
    table = pd.DataFrame(
        {name: _compare(float(seen), values) for name, (seen, values) in rows.items()}
    ).T
    checks = to_inference_data(
        {"posterior_predictive": generated},
        observed=observed,
        constant={},
        dims={},
        default_dims=["alloy"],
        coords={"alloy": list(idata["observed_data"]["alloy"].to_numpy())},
        attributes=dict(idata[group].attrs),
    )
    return table.rename_axis("statistic"), checks


def _of_alloys(ensemble: Ensemble, fractions: Floats) -> dict[str, Floats]:
    """Statistics of each alloy, (...), from fractions (..., E)."""
    present = np.where(fractions >= PRESENCE_THRESHOLD, fractions, 0.0)
    present /= present.sum(-1, keepdims=True)
    rows = torch.tensor(present.reshape(-1, present.shape[-1]))
    features = ensemble.feature_map(rows).numpy().reshape(*present.shape[:-1], -1)
    values = {"number_of_elements": (present > 0).sum(-1)}
    names = ensemble.feature_map.names
    return values | {n: features[..., i] for i, n in enumerate(names) if n not in values}


def _compare(observed: float, replicates: Floats) -> dict[str, float]:
    replicates = replicates.ravel()
    above = (1 + (replicates >= observed).sum()) / (1 + replicates.size)
    below = (1 + (replicates <= observed).sum()) / (1 + replicates.size)
    return {
        "observed": observed,
        "mean": float(replicates.mean()),
        "sd": float(replicates.std()),
        "p_value": min(1.0, 2 * float(min(above, below))),
    }
