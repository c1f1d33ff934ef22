"""Posterior draws of a point on an atlas, given noisy data about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from pyro_hea.charts.descent import jacobian
from pyro_hea.charts.objectives import evaluated, misfit
from pyro_hea.design.tempering import populations
from pyro_hea.devices import seeded
from pyro_hea.errors import DataError, EstimateWarning, nearest, warn
from pyro_hea.posterior.idata import to_inference_data
from pyro_hea.program.charts import Plateau

if TYPE_CHECKING:
    import arviz as az
    from numpy.typing import ArrayLike

    from pyro_hea.charts.archive import SavedAtlas
    from pyro_hea.program.charts import AtlasModel


PointPrior: TypeAlias = Literal["learnt", "even"]
"""How probable points are before data: as often as they were met, or the same per volume."""

_FAR = 5.0
"""Standard deviations from the data beyond which no point explains them."""

_OFF = -1e4
"""Log probability of a point off the atlas, under a prior that is even on it."""


def posterior_draws(
    atlas: SavedAtlas,
    operator: Callable[[Tensor], Tensor] | ArrayLike,
    data: ArrayLike,
    noise: float,
    *,
    prior: PointPrior = "learnt",
    draws: int = 500,
    chains: int = 4,
    particles: int = 1000,
    seed: int = 0,
) -> az.InferenceData:
    """Draw points of the manifold given data b = A(x) + Normal(0, noise).

    Particles in the coordinates of each chart are tempered from the prior to the posterior, and
    the charts are weighted by their evidence.

    Parameters
    ----------
    atlas : SavedAtlas
    operator : matrix of shape (m, n), or callable
        A. A callable takes points (M, n) and gives (M, m).
    data : array of shape (m,)
    noise : float
        Standard deviation of the data.
    prior : "learnt" or "even"
        Of a point before the data: as often as the atlas has learnt that points occur, or
        evenly, the same for each piece of the manifold of the same length, area or volume. What
        is learnt is no more exact than the training points are many.
    draws, chains : int
        Chains are independent populations.
    particles : int
        Of each chart, in each chain.
    seed : int

    Returns
    -------
    InferenceData
        `posterior` with `chart`, `xi` (coordinates in it) and `x`; `sample_stats` with `lp`,
        the log likelihood; `observed_data` with the data.

    Warns
    -----
    EstimateWarning
        Where no point that is drawn explains the data.
    """
    if not isinstance(noise, Real) or not noise > 0:
        raise DataError(f"noise={noise!r} is not allowed; it is a standard deviation above 0")
    if prior not in get_args(PointPrior):
        allowed = get_args(PointPrior)
        raise DataError(
            f"there is no prior {prior!r}.{nearest(str(prior), allowed)} Priors of points: "
            f"{', '.join(allowed)}"
        )
    squares = misfit(operator, data)
    measured = torch.tensor(np.asarray(data, float))
    constant = measured.numel() * (math.log(noise) + 0.5 * math.log(2 * math.pi))

    def log_likelihood(points: Tensor) -> Tensor:
        return -evaluated(squares, points) / (2 * noise**2) - constant

    even_above = None if prior == "learnt" else atlas.floor
    drawn = posterior_chains(
        atlas.model, log_likelihood, even_above, draws, chains, particles, seed
    )
    off = (-2 * (drawn["lp"] + constant) / measured.numel()).clamp_min(0.0).sqrt()
    warn_if_off(float(off.min()), "the data")
    return to_inference_data(
        {
            "posterior": {name: drawn[name].numpy() for name in ("chart", "xi", "x")},
            "sample_stats": {"lp": drawn["lp"].numpy()},
        },
        observed={"data": measured.numpy()},
        constant={},
        dims={"chart": [], "xi": ["coordinate"], "x": ["feature"]},
        data_dims={"data": ["datum"]},
        default_dims=[],
        coords={
            "coordinate": [f"xi{i}" for i in range(atlas.model.spec.dim)],
            "feature": list(atlas.columns),
            "datum": list(range(measured.numel())),
        },
        attributes={
            "model": "Atlas",
            "draws_are_of": "tempered particles",
            "noise": noise,
            "prior": prior,
        },
    )


def warn_if_off(deviations: float, what: str) -> None:
    """Warn where even the nearest point is so many standard deviations from what was measured."""
    if deviations > _FAR:
        warn(
            f"the nearest point of the atlas is {deviations:.3g} standard deviations from {what}: "
            "nothing on it explains them. Check their unit and their noise",
            EstimateWarning,
        )


def posterior_chains(
    model: AtlasModel,
    log_likelihood: Callable[[Tensor], Tensor],
    even_above: float | None,
    draws: int,
    chains: int,
    particles: int,
    seed: int,
) -> dict[str, Tensor]:
    """Draws of independent populations, (chain, draw, ...).

    Parameters
    ----------
    model : AtlasModel
    log_likelihood : callable
        From points (M, n) to (M,).
    even_above : float or None
        None for the prior that the atlas has learnt; else the prior is even where the log weight of
        a point is above it, and nothing elsewhere.
    draws, chains, particles, seed : int

    Returns
    -------
    dict of str to Tensor
        `chart`, `xi` (..., d), `x` (..., n) and `lp`, the log likelihood.
    """
    numbers = (draws, chains, particles)
    if not all(isinstance(number, Integral) for number in numbers) or min(numbers) < 1:
        raise DataError("draws, chains and particles are at least 1, and whole numbers")
    each = [
        _chain(model, log_likelihood, even_above, draws, particles, seed * chains + chain)
        for chain in range(chains)
    ]
    stacked = (torch.stack(values) for values in zip(*each, strict=True))
    return dict(zip(("chart", "xi", "x", "lp"), stacked, strict=True))


@torch.no_grad()
def _chain(
    model: AtlasModel,
    log_likelihood: Callable[[Tensor], Tensor],
    even_above: float | None,
    draws: int,
    particles: int,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Charts, coordinates ξ, points and log likelihoods of the draws of one population."""
    density = Plateau(model.spec.density, model.log_alpha)
    normal = torch.distributions.Normal(0.0, 1.0)

    def placed(u: Tensor) -> Tensor:
        """Coordinates ξ at standard normal u."""
        share = normal.cdf(u.double()).clamp(1e-12, 1 - 1e-12)
        return density.icdf(share)

    def log_factor(u: Tensor) -> Tensor:
        xi = placed(u)
        z = model.from_xi(xi)
        points = model.decode(z)
        values = log_likelihood(points.flatten(0, 1)).view(points.shape[:-1])
        if even_above is None:
            return values + model.log_alpha[:, None]
        return values + _log_volume(model, xi, z, points, even_above)

    with seeded(seed):
        found = next(populations(log_factor, model.charts, particles, model.spec.dim))
        chart = torch.multinomial(found.log_weight.exp(), draws, replacement=True)
        row = torch.randint(particles, (draws,))
    xi = placed(found.u)
    points = model.decode(model.from_xi(xi))[chart, row]
    return chart, xi[chart, row], points, log_likelihood(points)


def _log_volume(model: AtlasModel, xi: Tensor, z: Tensor, points: Tensor, floor: float) -> Tensor:
    """Log volume of the atlas, relative to its prior of ξ in each chart, at points (K, M, n).

    Where charts overlap, each has the share of the volume that it is responsible for.
    """
    every = model.encoded(points.flatten(0, 1)).log_weights  # of each chart at the points of all
    weight = every.logsumexp(0).view(points.shape[:-1])
    rows = torch.arange(model.charts)
    own = every.view(model.charts, *points.shape[:-1])[rows, rows] - weight
    j = jacobian(model, z)
    stretch = torch.linalg.slogdet(j.mT @ j).logabsdet / 2 - model.to_xi(z)[1]
    volume = own + stretch - model.density().log_prob(xi)
    return torch.where(weight < floor, _OFF, volume)
