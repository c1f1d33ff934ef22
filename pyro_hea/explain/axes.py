"""Names, use and agreement between seeds of latent axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy.linalg import orthogonal_procrustes

from pyro_hea.devices import seeded
from pyro_hea.errors import DataError

if TYPE_CHECKING:
    from pyro_hea.explain._members import Floats
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.vae import DisentangledVAE

UNUSED = 0.05
"""KL in nats below which an axis is unused."""

_DRAWS = 64


def name_axes(
    vae: DisentangledVAE,
    alloys: AlloyDataset,
    factors: pd.DataFrame,
    member: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Name each axis of one member by the factor that explains most of its variance.

    Parameters
    ----------
    vae : DisentangledVAE
    alloys : AlloyDataset
        Of the training elements.
    factors : DataFrame, shape (N, F)
        As `alloy_factors` gives them.
    member : int
    seed : int
        Of the draws behind the KL.

    Returns
    -------
    DataFrame
        By axis: `name` (the factor, with the sign of its correlation), `r2` (share of the axis'
        variance that it explains linearly), `kl` (see `axis_kl`) and `used`, whether that is at
        least `UNUSED`.
    """
    z = vae.encode(alloys, member)
    r = correlations(z, factors)
    best = r.abs().to_numpy().argmax(axis=1)
    chosen = r.to_numpy()[np.arange(len(r)), best]
    labels = [c if isinstance(c, str) else " ".join(c) for c in r.columns]
    kl = axis_kl(vae, alloys, member, seed)
    return pd.DataFrame(
        {
            "name": [
                f"{'+' if s > 0 else '−'} {labels[i]}" for i, s in zip(best, chosen, strict=True)
            ],
            "r2": chosen**2,
            "kl": kl,
            "used": kl >= UNUSED,
        },
        z.columns,
    )


def correlations(z: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """Pearson's r of each axis (rows) with each factor (columns); 0 where either is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.corrcoef(z.to_numpy(float).T, factors.to_numpy(float).T)
    d = z.shape[1]
    return pd.DataFrame(np.nan_to_num(r[:d, d:]), z.columns, factors.columns)


@torch.no_grad()
def axis_kl(vae: DisentangledVAE, alloys: AlloyDataset, member: int = 0, seed: int = 0) -> Floats:
    """KL of each axis of one member's guide from the prior, mean over the alloys, (d,) nats.

    Draws are summed up by their mean and spread, which is exact without a flow.
    """
    ensemble = vae.ensemble
    batch = ensemble.batch(alloys)
    with seeded(seed):
        guide = ensemble.model.latent_posterior(batch.composition, ensemble.most_probable(batch))
        z = guide.sample(torch.Size([_DRAWS]))[:, member].double().cpu()
    loc, scale = (m[member].double().cpu() for m in ensemble.latent_moments)
    mean, sd = (z.mean(0) - loc) / scale, z.std(0) / scale
    kl = (mean.square() + sd.square() - 1) / 2 - sd.log()
    return kl.mean(0).numpy()


def align(latents: Sequence[pd.DataFrame]) -> tuple[list[pd.DataFrame], pd.Series]:
    """Rotate latents of the same alloys onto the first (orthogonal Procrustes).

    The prior is the same in all directions, so two seeds agree up to a rotation or reflection at
    best, and are compared after it.

    Parameters
    ----------
    latents : sequence of DataFrame, each of shape (N, d)
        The same alloys in the same order, from different members or seeds.

    Returns
    -------
    aligned : list of DataFrame
        Centred; the first as it was besides.
    agreement : Series
        Share of the first one's variance that each aligned one explains: 1 where they are the
        same, below 0 where the alloys' mean would say more.

    Raises
    ------
    DataError
        For tables of different alloys or dimensions.

    Examples
    --------
    >>> z = pd.DataFrame({"z0": [0.0, 1, 2, 4], "z1": [1.0, 0, 3, 1]})
    >>> turned = pd.DataFrame({"z0": -z["z1"], "z1": z["z0"]})
    >>> align([z, turned])[1].round(6).tolist()
    [1.0, 1.0]
    """
    first = latents[0]
    for i, other in enumerate(latents):
        if other.shape != first.shape or not other.index.equals(first.index):
            raise DataError(
                f"latent {i} has shape {other.shape} and latent 0 {first.shape}; encode the same "
                "alloys, in the same order, with models of the same latent dimension"
            )
    goal = first.to_numpy(float) - first.to_numpy(float).mean(0)
    aligned, agreement = [], []
    for other in latents:
        centred = other.to_numpy(float) - other.to_numpy(float).mean(0)
        turned = centred @ orthogonal_procrustes(centred, goal)[0]
        aligned.append(pd.DataFrame(turned, first.index, first.columns))
        agreement.append(1 - ((turned - goal) ** 2).sum() / (goal**2).sum())
    return aligned, pd.Series(agreement, name="agreement")
