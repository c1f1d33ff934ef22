"""How far the guide is from the posterior that it approximates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.errors import GuideWarning, warn
from pyro_hea.posterior.ensemble import as_fractions
from pyro_hea.posterior.idata import load_arviz
from pyro_hea.posterior.limits import check_size
from pyro_hea.posterior.local_posterior import LocalPosterior
from pyro_hea.posterior.nuts import fixed_targets, sample_latents
from pyro_hea.posterior.psis import K_HAT_LIMIT, psis
from pyro_hea.posterior.traces import in_double_precision, weighted_draws

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyBatch, AlloyDataset
    from pyro_hea.posterior.ensemble import Ensemble
    from pyro_hea.program.model import AlloyModel

R_HAT_LIMIT = 1.05
"""R-hat above which chains have not mixed."""


def guide_table(
    ensemble: Ensemble,
    alloys: AlloyDataset | Alloys,
    *,
    member: int = 0,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Bounds of each alloy's evidence by the guide, and whether they can be trusted.

    Targets are fixed: at the label where there is one, else at the member's more probable class.

    Parameters
    ----------
    ensemble : Ensemble
    alloys : alloys of the training elements
    member, draws, seed : int

    Returns
    -------
    DataFrame
        By formula: `k_hat` of the guide's importance weights (PSIS); `elbo`, their mean logarithm;
        `iwae`, the logarithm of their mean (Burda, Grosse and Salakhutdinov, 2016); `evidence`,
        the same from a distribution fitted to the alloy, with its own `evidence_k_hat`. In nats:
        bounds of log p(x, y), so that `evidence` - `elbo` is the guide's Kullback-Leibler
        divergence where `evidence_k_hat` is small.

    Warns
    -----
    GuideWarning
        Counting the alloys with a k-hat above 0.7.
    """
    ensemble.check_member(member)
    model, batch = _single_member(ensemble, alloys, member)
    numbers = 2 * draws * len(batch) * (2 * ensemble.spec.latent.dim + 4)  # in double precision
    check_size(numbers, "ask for fewer draws, or fewer alloys at a time")
    with seeded(seed):
        guide = weighted_draws(model, batch, draws).log_weight[:, 0]
        with unvalidated(), model.cached_flow():
            local = LocalPosterior.fitted(model, batch).weighted(model, batch, draws)[2][:, 0]
    k_hat = psis(guide.cpu().numpy())[1]
    table = {
        "k_hat": k_hat,
        "elbo": guide.mean(0).cpu().numpy(),
        "iwae": (guide.logsumexp(0) - np.log(draws)).cpu().numpy(),
        "evidence": (local.logsumexp(0) - np.log(draws)).cpu().numpy(),
        "evidence_k_hat": psis(local.cpu().numpy())[1],
    }
    _warn_of_high_k_hat(k_hat)
    return pd.DataFrame(table, as_fractions(alloys).index)


def check_guide(
    ensemble: Ensemble,
    alloys: AlloyDataset | Alloys,
    *,
    member: int = 0,
    draws: int = 500,
    chains: int = 4,
    warmup: int = 150,
    seed: int = 0,
) -> pd.DataFrame:
    """The guide's z beside that of NUTS, within one member and with the targets fixed.

    Parameters
    ----------
    ensemble : Ensemble
    alloys : alloys of the training elements
    member : int
    draws, chains, warmup : int
        Of NUTS; the guide is drawn as often in all.
    seed : int

    Returns
    -------
    DataFrame
        By formula and latent coordinate: `guide_mean`, `guide_sd`, `nuts_mean`, `nuts_sd`; `gap`,
        the difference of the means in Monte-Carlo standard errors of that difference, and
        `gap_sd`, in standard deviations of the posterior; `correlation_gap`, the largest
        difference of the coordinate's correlations with the others; `r_hat` and `ess` of the
        chains; `k_hat` of the guide at the alloy.

    Warns
    -----
    GuideWarning
        Counting alloys with a k-hat above 0.7, and coordinates whose chains have not mixed.
    """
    arviz = load_arviz()
    model, batch = _single_member(ensemble, alloys, member)
    nuts = (
        sample_latents(model, batch, draws=draws, chains=chains, warmup=warmup, seed=seed)
        .z.cpu()
        .numpy()
    )
    with seeded(seed):
        guide = weighted_draws(model, batch, draws * chains)
    z = guide.sites["z"][:, 0].cpu().numpy()
    k_hat = psis(guide.log_weight[:, 0].cpu().numpy())[1]
    pooled, latents = nuts.reshape(-1, *nuts.shape[2:]), z.shape[-1]
    chains_of_z = xr.DataArray(nuts, dims=("chain", "draw", "alloy", "latent"))
    ess, r_hat = (
        np.asarray(function(chains_of_z.to_dataset(name="z"))["z"])
        for function in (arviz.ess, arviz.rhat)
    )
    mean_gap = z.mean(0) - pooled.mean(0)
    error = np.sqrt(pooled.var(0) / ess + z.var(0) / len(z))
    table = {
        "guide_mean": z.mean(0),
        "guide_sd": z.std(0),
        "nuts_mean": pooled.mean(0),
        "nuts_sd": pooled.std(0),
        "gap": mean_gap / error,
        "gap_sd": mean_gap / pooled.std(0),
        "correlation_gap": np.abs(_correlations(z) - _correlations(pooled)).max(-1),
        "r_hat": r_hat,
        "ess": ess,
        "k_hat": np.repeat(k_hat[:, None], latents, 1),
    }
    _warn_of_high_k_hat(k_hat)
    if unmixed := int((r_hat > R_HAT_LIMIT).sum()):
        warn(
            f"{unmixed} of {r_hat.size} coordinates have R-hat above {R_HAT_LIMIT}: the chains "
            "have not mixed there; use more draws or more warm-up",
            GuideWarning,
        )
    index = pd.MultiIndex.from_product(
        [as_fractions(alloys).index, [f"z{i}" for i in range(latents)]], names=["formula", "latent"]
    )
    return pd.DataFrame({name: values.ravel() for name, values in table.items()}, index)


def _single_member(
    ensemble: Ensemble, alloys: AlloyDataset | Alloys, member: int
) -> tuple[AlloyModel, AlloyBatch]:
    fixed = fixed_targets(ensemble, ensemble.batch(alloys), member)
    return in_double_precision(ensemble.model.member(member), fixed)


def _correlations(draws: np.ndarray) -> np.ndarray:
    """Correlation matrices (N, d, d) of draws (S, N, d)."""
    scaled = (draws - draws.mean(0)) / draws.std(0)
    return np.einsum("sni,snj->nij", scaled, scaled) / len(draws)


def _warn_of_high_k_hat(k_hat: np.ndarray) -> None:
    if beyond := int((k_hat > K_HAT_LIMIT).sum()):
        warn(
            f"{beyond} of {len(k_hat)} alloys have k-hat above {K_HAT_LIMIT}: the guide is too far "
            "from their posterior for importance weights; use method='importance' or 'nuts'",
            GuideWarning,
        )
