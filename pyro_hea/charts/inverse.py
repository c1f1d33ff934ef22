"""Posterior draws of a point on an atlas, given noisy data about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_hea.charts.objectives import evaluated, misfit
from pyro_hea.design.tempering import populations
from pyro_hea.devices import seeded
from pyro_hea.errors import DataError
from pyro_hea.posterior.idata import to_inference_data
from pyro_hea.program.charts import Plateau

if TYPE_CHECKING:
    import arviz as az
    from numpy.typing import ArrayLike

    from pyro_hea.program.charts import AtlasModel


def posterior_draws(
    model: AtlasModel,
    columns: Sequence[str],
    operator: Callable[[Tensor], Tensor] | ArrayLike,
    data: ArrayLike,
    noise: float,
    *,
    draws: int,
    chains: int,
    particles: int,
    seed: int,
) -> az.InferenceData:
    """See `pyro_hea.charts.Atlas.posterior`."""
    if not noise > 0:
        raise DataError(f"noise={noise} is not allowed; it is a standard deviation above 0")
    if min(draws, chains, particles) < 1:
        raise DataError("draws, chains and particles are at least 1")
    squares = misfit(operator, data)
    measured = torch.as_tensor(data, dtype=torch.float64)
    constant = measured.numel() * (math.log(noise) + 0.5 * math.log(2 * math.pi))

    def log_likelihood(points: Tensor) -> Tensor:
        return -evaluated(squares, points) / (2 * noise**2) - constant

    chart, xi, x, lp = zip(
        *(
            _chain(model, log_likelihood, draws, particles, seed * chains + chain)
            for chain in range(chains)
        ),
        strict=True,
    )
    sites = {"chart": chart, "xi": xi, "x": x}
    return to_inference_data(
        {
            "posterior": {name: torch.stack(values).numpy() for name, values in sites.items()},
            "sample_stats": {"lp": torch.stack(lp).numpy()},
        },
        observed={"data": measured.numpy()},
        constant={},
        dims={"chart": [], "xi": ["coordinate"], "x": ["feature"]},
        data_dims={"data": ["datum"]},
        default_dims=[],
        coords={
            "coordinate": [f"xi{i}" for i in range(model.spec.dim)],
            "feature": list(columns),
            "datum": list(range(measured.numel())),
        },
        attributes={"model": "Atlas", "draws_are_of": "tempered particles", "noise": noise},
    )


@torch.no_grad()
def _chain(
    model: AtlasModel,
    log_likelihood: Callable[[Tensor], Tensor],
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
        points = model.decode(model.from_xi(placed(u)))
        values = log_likelihood(points.flatten(0, 1)).view(points.shape[:-1])
        return values + model.log_alpha[:, None]

    with seeded(seed):
        found = next(populations(log_factor, model.charts, particles, model.spec.dim))
        chart = torch.multinomial(found.log_weight.exp(), draws, replacement=True)
        row = torch.randint(particles, (draws,))
    xi = placed(found.u)
    points = model.decode(model.from_xi(xi))[chart, row]
    return chart, xi[chart, row], points, log_likelihood(points)
