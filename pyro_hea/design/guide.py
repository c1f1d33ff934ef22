"""A guide of the design posterior in each member, fitted by stochastic variational inference.

The guide is a mixture of normals. Its evidence lower bound on the smooth relaxation is averaged
over one draw of each part, which has a gradient, and the density is brought in gradually, so that
parts settle on different modes. Draws of the guide are then weighted by the posterior itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Normal, constraints

from pyro_hea.design.smooth import smooth_factor

if TYPE_CHECKING:
    from pyro_hea.design.problem import Problem

_PARTS = 16
"""Normals in each member."""

_STEPS = 300

_RATE = 0.1
"""Largest learning rate, of a schedule that rises and falls."""

_WARMING = 0.6
"""Share of the steps over which the power of the density rises to 1."""

_LOWEST = -60.0
"""Nats below which the density has no gradient: far parts return by the prior alone."""

_WIDER = 1.4
"""Factor on the widths: a guide that maximises the bound is too narrow for importance sampling."""


_PRIOR_SHARE = 0.1
"""Share of the mixture that is the prior, so that its tails are never much lighter (a defensive
mixture, Hesterberg 1995)."""

_ONE = torch.Size()


class NormalMixture(TorchDistribution):
    """A mixture of normals of one width and of a standard normal, over u (..., K, d).

    Parameters
    ----------
    centres : Tensor, shape (K, M, d)
    width : Tensor, shape (K, 1, d)
    share : float
        Of the standard normal.
    """

    arg_constraints: ClassVar = {}
    support = constraints.real_vector

    def __init__(self, centres: Tensor, width: Tensor, share: float = _PRIOR_SHARE) -> None:
        self._centres, self._width, self._share = centres, width, share
        super().__init__(centres.shape[:1], centres.shape[2:], validate_args=False)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        """Points of each member, (..., K, d)."""
        members, parts, dim = self._centres.shape
        count = torch.Size(sample_shape).numel()
        rows = torch.randint(parts, (members, count, 1)).expand(-1, -1, dim)
        noise = torch.randn(members, count, dim).to(self._centres)
        wide = torch.rand(members, count, 1) < self._share
        u = noise.where(wide, self._centres.gather(1, rows) + self._width * noise)
        return u.transpose(0, 1).reshape(*sample_shape, members, dim)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density at u (n, K, d), (n, K)."""
        u = value.transpose(0, 1)
        away = torch.cdist(u / self._width, self._centres / self._width).square() / 2
        each = (-away).logsumexp(-1) - self._width.log().sum(-1) - math.log(away.shape[-1])
        if self._share:
            prior = -u.square().sum(-1) / 2 + math.log(self._share)
            each = torch.logaddexp(each + math.log1p(-self._share), prior)
        return each.T - u.shape[-1] / 2 * math.log(2 * math.pi)


def fitted_guide(problem: Problem) -> NormalMixture:
    """Fit a guide to the relaxed posterior of each member, in standard normal coordinates."""
    factor, ensemble = smooth_factor(problem), problem.ensemble
    shape = (ensemble.members, _PARTS, problem.dim)
    centres = torch.randn(shape, dtype=torch.double).requires_grad_()
    log_width = torch.full_like(centres[:, :1], -0.7, requires_grad=True)
    optimiser = torch.optim.Adam([centres, log_width])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=_STEPS)
    for step in range(_STEPS):
        width, power = log_width.exp(), min(1.0, 0.1 + step / (_WARMING * _STEPS))
        u = centres + width * torch.randn_like(centres)
        guide = NormalMixture(centres, width, share=0.0)
        prior = Normal(0.0, 1.0).log_prob(u).sum(-1)
        density = power * factor(u).clamp_min(_LOWEST) + prior
        bound = (density - guide.log_prob(u.transpose(0, 1)).T).mean(1).sum()
        optimiser.zero_grad()
        (-bound).backward()
        torch.nn.utils.clip_grad_norm_([centres, log_width], 20.0)
        optimiser.step()
        schedule.step()
    return NormalMixture(centres.detach(), _WIDER * log_width.exp().detach())
