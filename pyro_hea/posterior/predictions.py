"""Predicted targets with their uncertainty, as tables."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy.stats import beta

from pyro_hea.dataset import AlloyDataset, to_batch
from pyro_hea.errors import UnseenElementWarning
from pyro_hea.features import FeatureMap
from pyro_hea.posterior.ensemble import Ensemble, as_fractions, feature_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.composition import Alloys

INTERVAL = 0.94
"""Probability of the reported intervals, ArviZ's default."""


def predict(ensemble: Ensemble, alloys: AlloyDataset | Alloys) -> pd.DataFrame:
    """Predict every target of any alloy that the element tables cover.

    Of the share of the atoms that are of elements absent from training, nothing was learnt: that
    share of the answer is the prior's, which widens the spread and the interval.

    Returns
    -------
    DataFrame
        By formula; columns `t` (mean probability of 1), `t_sd` (spread of that probability over
        the members), `t_low` and `t_high` (94 % interval), `t_epistemic` and `t_aleatoric` (see
        `decompose`) of each target `t`.

    Warns
    -----
    UnseenElementWarning
        Naming the elements that no training alloy holds.
    """
    fractions = as_fractions(alloys)
    feature_map = FeatureMap(
        feature_names(ensemble.spec.features), ensemble.tables, list(fractions.columns)
    )
    batch = to_batch(fractions, feature_map, device=ensemble.device)
    present = fractions.columns[(fractions > 0).any()]
    unseen = [element for element in present if element not in ensemble.elements]
    if unseen:
        warnings.warn(
            f"no training alloy holds {', '.join(unseen)}: predictions of alloys with them lean "
            "on the prior and are wider",
            UnseenElementWarning,
            stacklevel=3,
        )
    novelty = fractions[unseen].sum(axis=1).to_numpy()
    columns: dict[str, NDArray[np.float64]] = {}
    for target in ensemble.spec.targets:
        members = ensemble.head_probabilities(batch.features)[target.name].double().cpu().numpy()
        mean, sd = members.mean(0), members.std(0)
        mean, sd = _mix_with_prior(mean, sd, novelty, target.prior.probs)
        low, high = beta_interval(mean, sd)
        columns |= {
            target.name: mean,
            f"{target.name}_sd": sd,
            f"{target.name}_low": low,
            f"{target.name}_high": high,
            f"{target.name}_epistemic": sd,
            f"{target.name}_aleatoric": np.sqrt(np.maximum(mean * (1 - mean) - sd**2, 0.0)),
        }
    return pd.DataFrame(columns, fractions.index)


def decompose(
    members: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tell what the members do not know from what no member could know.

    By the law of total variance, for a label y that is 1 with the probability p_k of a member:
    Var y = p (1 - p) = Var p_k + mean p_k (1 - p_k), with p the mean of p_k.

    Parameters
    ----------
    members : ndarray, shape (K, N)
        Probability of 1 by member.

    Returns
    -------
    epistemic, aleatoric : ndarray, shape (N,)
        Standard deviations; their squares sum to p (1 - p). More data like these shrink the
        first and leave the second.

    Examples
    --------
    >>> epistemic, aleatoric = decompose(np.array([[0.5, 0.0], [0.5, 1.0]]))
    >>> epistemic, aleatoric           # members that agree on 0.5, and that contradict each other
    (array([0. , 0.5]), array([0.5, 0. ]))
    """
    return members.std(0), np.sqrt((members * (1 - members)).mean(0))


def _mix_with_prior(
    mean: NDArray[np.float64], sd: NDArray[np.float64], share: NDArray[np.float64], prior: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sd of a mixture with a beta of two pseudo-counts around the prior."""
    prior_variance = prior * (1 - prior) / 3
    mixed = (1 - share) * mean + share * prior
    second = (1 - share) * (sd**2 + mean**2) + share * (prior_variance + prior**2)
    return mixed, np.sqrt(np.maximum(second - mixed**2, 0.0))


def beta_interval(
    mean: NDArray[np.float64], sd: NDArray[np.float64], level: float = INTERVAL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Central interval of the beta distribution with this mean and standard deviation.

    Examples
    --------
    >>> low, high = beta_interval(np.array([0.5]), np.array([1 / 12**0.5]))  # uniform
    >>> low.round(3), high.round(3)
    (array([0.03]), array([0.97]))
    """
    inside = np.clip(mean, 1e-9, 1 - 1e-9)
    largest = inside * (1 - inside)
    # Neither a point nor, far in a corner, so wide that it would leave the mean outside.
    variance = np.clip(sd**2, np.minimum(1e-12, 1e-6 * largest**2), 0.999 * largest)
    count = largest / variance - 1
    a, b = inside * count, (1 - inside) * count
    tail = (1 - level) / 2
    return np.minimum(beta.ppf(tail, a, b), mean), np.maximum(beta.ppf(1 - tail, a, b), mean)


@torch.no_grad()
def encode(ensemble: Ensemble, alloys: AlloyDataset | Alloys, member: int) -> pd.DataFrame:
    """Latent centre of each alloy in one member, columns `z0`, `z1`, …."""
    batch = ensemble.batch(alloys)
    z = ensemble.encode(batch)[member].cpu().numpy()
    names = [f"z{i}" for i in range(z.shape[1])]
    return pd.DataFrame(z, as_fractions(alloys).index, names)


@torch.no_grad()
def reconstruct(ensemble: Ensemble, alloys: AlloyDataset | Alloys, member: int) -> pd.DataFrame:
    """Fractions that one member decodes from its own latent centres."""
    batch = ensemble.batch(alloys)
    decoded = ensemble.decode(ensemble.encode(batch), ensemble.most_probable(batch))[member]
    return pd.DataFrame(decoded.cpu().numpy(), as_fractions(alloys).index, list(ensemble.elements))
