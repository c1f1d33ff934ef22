"""Predicted targets with their uncertainty, as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pandas as pd
import torch
from scipy.special import betaincinv

from pyro_hea.devices import seeded
from pyro_hea.errors import DataError, UnseenElementWarning, warn
from pyro_hea.materials.alloys.dataset import AlloyDataset, to_batch
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.posterior.conditions import Condition, Conditions, condition_points, standardised
from pyro_hea.posterior.ensemble import Ensemble, as_fractions
from pyro_hea.posterior.marginals import POINTS, Marginal, marginals
from pyro_hea.posterior.trust import feature_distance, prior_share
from pyro_hea.spec import Binary, Continuous, Prior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.program.sites import CategoricalSite, ContinuousSite, OrdinalSite
    from pyro_hea.spec import Target

Floats: TypeAlias = "NDArray[np.float64]"

_PRIOR_DRAWS = 4001
"""Draws of the prior of a number, for alloys of elements absent from training."""

_ROWS = 65_536
"""Alloys predicted at a time, over members and combinations of parent targets."""

UNSEEN_SCORES = "an AUC of 0.85 and a log loss of 0.45, as those of extra trees"
"""What `pyro-hea benchmark unseen` found of the embedded single-phase labels."""

INTERVAL = 0.94
"""Probability of the reported intervals, ArviZ's default."""


def predict(
    ensemble: Ensemble,
    alloys: AlloyDataset | Alloys,
    *,
    conditions: Conditions | None = None,
    interval: float = INTERVAL,
) -> pd.DataFrame:
    """Predict every target of any alloy that the element tables cover.

    Elements absent from training: the answer comes from the features, with a share of the prior
    that grows with their distance to the training alloys (`trust.prior_share`) and widens the
    spread and the interval. Alloys are predicted in chunks of bounded memory.

    Parameters
    ----------
    ensemble : Ensemble
    alloys : alloys of any elements of the packaged tables
    interval : float
        Probability of the intervals.
    conditions : mapping of name to number or numbers, optional
        At which the targets that have these conditions are predicted; those that the spec declares
        by default. Of several numbers each is meant, and of several such conditions every
        combination.

    Returns
    -------
    DataFrame
        By formula, for each target `t`:

        - binary: `t` (mean probability of 1), `t_sd` (spread of that probability over the
          members), `t_low` and `t_high` (interval of a beta matched to both), `t_epistemic` and
          `t_aleatoric` (see `decompose`);
        - categorical and ordinal: `t` (most probable class) and `t[class]`, its probability;
        - continuous: `t` (mean of the members' medians), `t_sd`, `t_low` and `t_high` (interval of
          the mixture of all members), `t_epistemic` (spread of the members' means) and
          `t_aleatoric`, all in the target's unit.

        With `conditions` the first columns hold these, and there is a row for each alloy and
        combination, the alloys of one combination together. `attrs["units"]` has the unit of each
        column of numbers.

    Raises
    ------
    DataError
        For an interval that is not between 0 and 1, and for a condition that no target has.

    Warns
    -----
    UnseenElementWarning
        Naming the elements that no training alloy holds.
    ExtrapolationWarning
        For a condition outside the range in which a target was measured.
    """
    if not 0 < interval < 1:
        raise DataError(f"interval={interval} is not allowed; it is a probability, such as 0.94")
    points = condition_points(ensemble, conditions or {})
    fractions = as_fractions(alloys)
    columns = ensemble.spec.features.columns
    feature_map = FeatureMap(columns, ensemble.tables, list(fractions.columns))
    present = fractions.columns[(fractions > 0).any()]
    held = ensemble.known.columns[(ensemble.known > 0).any()]
    unseen = [element for element in present if element not in held]
    if unseen:
        warn(
            f"no training alloy holds {', '.join(unseen)}: alloys with them are predicted from "
            "their features alone, and wider. With each element left out of training in turn, "
            f"such answers about a single phase had {UNSEEN_SCORES}; see the protocol unseen",
            UnseenElementWarning,
        )
    step = max(1, _ROWS // (ensemble.members * _branches(ensemble)))
    chunks = [fractions.iloc[at : at + step] for at in range(0, len(fractions), step)]
    tables = []
    for point in points:
        parts = [_predict_chunk(ensemble, c, feature_map, unseen, interval, point) for c in chunks]
        table = pd.concat(parts) if len(parts) > 1 else parts[0]
        for position, (name, value) in enumerate(point.items()):
            table.insert(position, name, value)
        tables.append(table)
    return pd.concat(tables) if len(tables) > 1 else tables[0]


def _branches(ensemble: Ensemble) -> int:
    """Combinations of values of parent targets that are summed over, at most."""
    parents = {parent for target in ensemble.spec.targets for parent in target.given}
    declared = (ensemble.spec.target(name) for name in parents)
    return math.prod(POINTS if isinstance(t, Continuous) else len(t.classes) for t in declared)


def _predict_chunk(
    ensemble: Ensemble,
    fractions: pd.DataFrame,
    feature_map: FeatureMap,
    unseen: list[str],
    interval: float,
    point: Mapping[str, Condition],
) -> pd.DataFrame:
    """Predictions of some alloys at one combination of conditions."""
    batch = to_batch(fractions, feature_map, device=ensemble.device)
    at = standardised(ensemble, point, len(batch), batch.features)
    share = np.zeros(len(fractions))
    beyond = fractions[unseen].gt(0).any(axis=1).to_numpy()
    if beyond.any():
        share[beyond] = prior_share(distance_to_known(ensemble, fractions[beyond], feature_map))
    answers = marginals(ensemble.model, batch.replaced(conditions=at))
    return prediction_table(ensemble.spec.targets, answers, share, interval, fractions.index)


def distance_to_known(
    ensemble: Ensemble, fractions: pd.DataFrame, feature_map: FeatureMap
) -> Floats:
    """Distance of alloys to the nearest training alloy, (N,); see `feature_distance`."""
    theirs = ensemble.feature_map(torch.tensor(ensemble.known.to_numpy(float)))
    ours = feature_map(torch.tensor(fractions.to_numpy(float)))
    return feature_distance(ours.numpy(), theirs.numpy())


def prediction_table(
    targets: Sequence[Target],
    answers: Mapping[str, Marginal],
    share: Floats,
    interval: float,
    index: pd.Index,
) -> pd.DataFrame:
    """Columns of `predict` from what the heads say; `attrs["units"]` has their units.

    Parameters
    ----------
    targets : sequence of Target
    answers : mapping of target to Marginal
    share : ndarray, shape (N,)
        Share of the prior in each answer.
    interval : float
    index : Index
    """
    columns: dict[str, Any] = {}
    units: dict[str, str] = {}
    for target in targets:
        marginal = answers[target.name]
        if isinstance(target, Binary):
            values = _predict_binary(target, marginal, share, interval)
        elif isinstance(target, Continuous):
            values = _predict_continuous(marginal, share, interval)
        else:
            values = _predict_classes(target.classes, marginal, share)
        columns |= {f"{target.name}{suffix}": column for suffix, column in values.items()}
        unit = target.unit if isinstance(target, Continuous) else "probability"
        units |= {f"{target.name}{suffix}": unit for suffix in values}
    table = pd.DataFrame(columns, index)
    table.attrs["units"] = {c: u for c, u in units.items() if u and table[c].dtype.kind == "f"}
    return table


def _predict_binary(
    target: Binary, marginal: Marginal, share: Floats, interval: float
) -> dict[str, Any]:
    members = marginal.probabilities()[..., 1].double().cpu().numpy()
    prior = target.prior.distribution().probs if isinstance(target.prior, Prior) else 0.5
    mean, sd = _mix_with_prior(members.mean(0), members.std(0), share, float(prior))
    low, high = beta_interval(mean, sd, interval)
    aleatoric = np.sqrt(np.maximum(mean * (1 - mean) - sd**2, 0.0))
    return {
        "": mean,
        "_sd": sd,
        "_low": low,
        "_high": high,
        "_epistemic": sd,
        "_aleatoric": aleatoric,
    }


def _predict_classes(classes: tuple[str, ...], marginal: Marginal, share: Floats) -> dict[str, Any]:
    site = cast("CategoricalSite | OrdinalSite", marginal.site)
    members = marginal.probabilities().double().cpu().numpy()
    prior = site.prior_logits.exp().double().cpu().numpy()
    weight = share[:, None]
    probabilities = (1 - weight) * members.mean(0) + weight * prior
    likeliest = np.array(classes)[probabilities.argmax(1)]
    each = zip(classes, probabilities.T, strict=True)
    return {"": likeliest} | {f"[{name}]": column for name, column in each}


def _predict_continuous(marginal: Marginal, share: Floats, interval: float) -> dict[str, Any]:
    site = cast("ContinuousSite", marginal.site)
    means, variances = (m.double().cpu().numpy() for m in marginal.moments())
    medians = marginal.medians().double().cpu().numpy()
    tails = ((1 - interval) / 2, 1 - (1 - interval) / 2)
    low, high = marginal.quantiles(tails).double().cpu().numpy()
    with seeded(0):
        prior = site.prior(None, {}).sample(torch.Size([_PRIOR_DRAWS])).double().cpu().numpy()
    mean = (1 - share) * means.mean(0) + share * prior.mean()
    epistemic = means.std(0)
    second = (1 - share) * (variances + means**2).mean(0) + share * (prior**2).mean()
    sd = np.sqrt(np.maximum(second - mean**2, 0.0))
    unseen = share > 0  # quantiles are not mixed: the wider interval holds
    low = np.where(unseen, np.minimum(low, np.quantile(prior, tails[0])), low)
    high = np.where(unseen, np.maximum(high, np.quantile(prior, tails[1])), high)
    scatter = marginal.within_conditions().moments()[1].double().cpu().numpy()
    aleatoric = np.sqrt(scatter.mean(0))
    epistemic = np.sqrt(np.maximum(sd**2 - aleatoric**2, epistemic**2))
    return {
        "": medians.mean(0),  # a mean of logarithmic numbers follows a tail that few labels tell
        "_sd": sd,
        "_low": low,
        "_high": high,
        "_epistemic": epistemic,
        "_aleatoric": aleatoric,
    }


def decompose(
    members: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epistemic and aleatoric standard deviation of a binary label.

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
        first only.

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
    low, high = betaincinv(a, b, tail), betaincinv(a, b, 1 - tail)
    return np.minimum(low, mean), np.maximum(high, mean)
