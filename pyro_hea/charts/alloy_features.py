"""Alloys with measured features: those nearest to them on an atlas, and draws given them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyro_hea.charts.alloy_designs import descended
from pyro_hea.charts.alloy_points import fractions_at
from pyro_hea.charts.atlas import Atlas
from pyro_hea.charts.inverse import posterior_chains, warn_if_off
from pyro_hea.design.gathering import gather
from pyro_hea.design.problem import MINIMUM, Problem, check_count, features_of
from pyro_hea.design.smooth import smooth_cost
from pyro_hea.errors import ConstraintError
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.posterior.idata import to_inference_data

if TYPE_CHECKING:
    import arviz as az
    from numpy.typing import NDArray

    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.result import DesignResult
    from pyro_hea.vae import DisentangledVAE


def match_features(
    atlas: Atlas,
    vae: DisentangledVAE,
    features: Mapping[str, tuple[float, float]],
    constraints: Sequence[Constraint] = (),
    *,
    n: int = 20,
    seed: int = 0,
    steps: int = 40,
) -> DesignResult:
    """Alloys of the manifold with measured features.

    Parameters
    ----------
    atlas : Atlas
    vae : DisentangledVAE
        Its element tables give the features, and it predicts what the alloys are.
    features : mapping of feature to (value, standard deviation)
    constraints : sequence of Constraint
    n, seed, steps
        As of `design`.

    Returns
    -------
    DesignResult
        The nearest in features first, which stand in the table. The alloys differ as far as the
        features leave open.

    Raises
    ------
    ConstraintError

    Warns
    -----
    EstimateWarning
        Where no match is near the features.
    """
    check_count(n, seed)
    features = _checked(features)
    problem = Problem.of(vae.ensemble, {}, constraints, with_wishes=False)
    cost = smooth_cost(problem, features)
    found, attributes = descended(atlas, problem, cost, n, seed, steps)
    have = features_of(found, vae.ensemble, tuple(features))
    value, sd = np.array([*features.values()], float).T
    off = np.abs((have.to_numpy() - value) / sd).max(1)
    order = np.argsort(off, kind="stable")[:n]
    warn_if_off(float(off.min()), "the measured features")
    result = gather(problem, found[order], attributes, best_first=False)
    table = result.table.assign(**{name: have[name].to_numpy()[order] for name in features})
    table.attrs = result.table.attrs
    return replace(result, table=table)


def posterior_alloys(
    atlas: Atlas,
    vae: DisentangledVAE,
    features: Mapping[str, tuple[float, float]],
    *,
    min_fraction: float = MINIMUM,
    draws: int = 250,
    chains: int = 4,
    particles: int = 500,
    seed: int = 0,
) -> az.InferenceData:
    """Draw alloys given measured features, each with a normal error.

    The prior is that of `sample`, whose alloys hold more elements than people would use:
    `match` gives alloys near known ones.

    Parameters
    ----------
    atlas : Atlas
    vae : DisentangledVAE
        Its element tables give the features.
    features : mapping of feature to (value, standard deviation)
    min_fraction : float
        Elements below this fraction are dropped, before features are computed too.
    draws, chains : int
        Chains are independent populations.
    particles : int
        Of each chart, in each chain.
    seed : int

    Returns
    -------
    InferenceData
        `posterior` with `composition`, the `features` of it, and the `chart`; `sample_stats`
        with `lp`, the log likelihood; `observed_data` and `constant_data` with the values and
        their standard deviations.

    Raises
    ------
    ConstraintError
        For a feature without a value and a standard deviation.

    Warns
    -----
    EstimateWarning
        Where no alloy that is drawn has the features.
    """
    features = _checked(features)
    tables = vae.ensemble.tables
    own = FeatureMap([*features], tables, atlas.columns)
    value, sd = torch.tensor([*features.values()], dtype=torch.double).unbind(-1)

    def of(points: Tensor) -> tuple[NDArray[np.float64], Tensor]:
        alloys = fractions_at(points.flatten(0, -2).numpy(), min_fraction)
        return alloys, own(torch.tensor(alloys))

    def log_likelihood(points: Tensor) -> Tensor:
        return torch.distributions.Normal(value, sd).log_prob(of(points)[1]).sum(-1)

    drawn = posterior_chains(atlas.model, log_likelihood, None, draws, chains, particles, seed)
    alloys, have = of(drawn["x"])
    warn_if_off(float(((have - value) / sd).abs().amax(-1).min()), "the measured features")
    shape = drawn["chart"].shape
    return to_inference_data(
        {
            "posterior": {
                "composition": alloys.reshape(*shape, -1),
                "features": have.view(*shape, -1).numpy(),
                "chart": drawn["chart"].numpy(),
            },
            "sample_stats": {"lp": drawn["lp"].numpy()},
        },
        observed={"features": value.numpy()},
        constant={"standard_deviation": sd.numpy()},
        dims={"composition": ["element"], "features": ["feature"], "chart": []},
        data_dims={"features": ["feature"], "standard_deviation": ["feature"]},
        default_dims=["feature"],
        coords={"element": list(atlas.columns), "feature": [*features]},
        attributes={"model": "AlloyAtlas", "draws_are_of": "tempered particles", "seed": seed},
    )


def _checked(features: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Features with finite numbers as their values and standard deviations."""
    if not isinstance(features, Mapping) or not features:
        raise ConstraintError("it needs a feature, as in {'mixing_enthalpy': (-10, 1)}")
    checked = {}
    for name, value in features.items():
        try:
            mean, sd = map(float, value)
        except (TypeError, ValueError):
            mean = sd = np.nan
        if not (np.isfinite(mean) and 0 < sd < np.inf):
            raise ConstraintError(
                f"'{name}' is to be (value, standard deviation), as (8.1, 0.1), not {value!r}"
            )
        checked[name] = (mean, sd)
    return checked
