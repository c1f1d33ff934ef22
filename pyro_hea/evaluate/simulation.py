"""Simulation-based calibration of the whole program (Talts et al., arXiv:1804.06788).

Targets, latents and compositions are drawn from the model; from each composition the targets and
latents are inferred again; where inference is right, the rank of what was drawn among the draws of
the posterior is uniform. The features are covariates that do not depend on a sampled composition,
so the head, which reads nothing else, is right only where it gives back the prior: the targets'
ranks are taken from the program with the targets known, or from importance sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from pyro import poutine
from scipy.stats import chisquare

from pyro_hea.devices import seeded
from pyro_hea.materials.alloys.dataset import AlloyBatch
from pyro_hea.posterior.idata import to_inference_data
from pyro_hea.posterior.importance import weighted_classes
from pyro_hea.posterior.psis import psis
from pyro_hea.posterior.traces import weighted_draws

if TYPE_CHECKING:
    import arviz as az

    from pyro_hea.posterior import Ensemble

BINS = 10
"""Of the ranks' histogram."""


def simulation_ranks(
    ensemble: Ensemble,
    *,
    method: Literal["guide", "importance"],
    simulations: int = 500,
    draws: int = 99,
    member: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank what was drawn from the prior among draws of the posterior.

    Parameters
    ----------
    ensemble : Ensemble
        With priors that do not read features.
    method : {"guide", "importance"}
        Which inference is tried: the guide's z with the targets known, or z and targets by
        importance sampling.
    simulations, draws : int
        Alloys drawn, and draws of each posterior; with 99 a rank is one of 100.
    member, seed : int

    Returns
    -------
    DataFrame, shape (simulations, d or d + targets)
        Rank (0 to `draws`) of each latent `z0`, … ; with "importance" also of each target, with
        ties broken at random.
    """
    model = ensemble.model.member(member)
    latents = [f"z{i}" for i in range(ensemble.spec.latent.dim)]
    rng = np.random.default_rng(seed)
    with torch.no_grad(), seeded(seed):
        features = ensemble.batch(ensemble.known).features
        features = features[rng.integers(len(features), size=simulations)]
        trace = poutine.trace(model.model).get_trace(AlloyBatch(None, features, {}, {}))
        sites: dict[str, Any] = dict(trace.nodes)
        true_y = {n: sites[n]["value"][0] for n in ensemble.spec.target_names}
        true_z = sites["z"]["value"][0].cpu().numpy()
        x = sites["composition"]["value"][0]
        if method == "guide":
            drawn = weighted_draws(model, AlloyBatch(x, features, true_y, {}), draws)
            z = drawn.sites["z"][:, 0].cpu().numpy()
            return pd.DataFrame(_ranks(z, true_z, rng), columns=latents)
    with seeded(seed):
        classes = weighted_classes(model, AlloyBatch(x, features, {}, {}), 4 * draws)
    log_weight = torch.cat([c.log_weight for c in classes])[:, 0].double().cpu().numpy()
    weight, _ = psis(log_weight)
    chosen = np.stack([rng.choice(len(w), draws, p=w / w.sum()) for w in weight.T], 1)
    rows = np.arange(simulations)
    z = torch.cat([c.z for c in classes])[:, 0].cpu().numpy()[chosen, rows]
    table = pd.DataFrame(_ranks(z, true_z, rng), columns=latents)
    for name, value in true_y.items():
        of_draw = np.repeat([c.values[name] for c in classes], 4 * draws)
        table[name] = _ranks(of_draw[chosen], value.cpu().numpy(), rng)
    return table


def rank_data(ranks: Sequence[pd.DataFrame], draws: int = 99) -> az.InferenceData:
    """Ranks of several runs as ArviZ takes them.

    Parameters
    ----------
    ranks : sequence of DataFrame
        As `simulation_ranks` gives them, of one kind and size.
    draws : int
        The highest rank that there is; an attribute of the result.

    Returns
    -------
    InferenceData
        `rank` (chain, draw, site) in `posterior`, where a chain is a run and a draw a simulation.

    Examples
    --------
    >>> idata = rank_data([pd.DataFrame({"z0": [3, 99], "z1": [0, 50]})])
    >>> idata["posterior"]["rank"].sel(site="z1").to_numpy()
    array([[ 0, 50]])
    """
    return to_inference_data(
        {"posterior": {"rank": np.stack([table.to_numpy() for table in ranks])}},
        observed={},
        constant={},
        dims={"rank": ["site"]},
        default_dims=[],
        coords={"site": list(ranks[0].columns)},
        attributes={"inference": "simulation ranks", "chain_is": "run", "draws": draws},
    )


def uniformity(ranks: pd.DataFrame, draws: int = 99) -> pd.Series:
    """P-value of uniform ranks for each column (χ² over ten bins)."""
    edges = np.linspace(0, draws + 1, BINS + 1)
    p = {n: float(chisquare(np.histogram(r, edges)[0]).pvalue) for n, r in ranks.items()}
    return pd.Series(p, name="p_value")


def _ranks(draws: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws (S, N, ...) that are below the truth (N, ...), half of the ties by chance."""
    below, ties = (draws < truth).sum(0), (draws == truth).sum(0)
    return np.asarray(below + rng.integers(0, ties + 1))
