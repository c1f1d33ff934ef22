"""A guide of the design posterior in each member, fitted by stochastic variational inference.

The guide is a mixture of normals. Its evidence lower bound on the smooth relaxation is averaged
over one draw of each part, which has a gradient, and the density is brought in gradually, so that
parts settle on different modes. Draws of the guide are then weighted by the posterior itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.distributions import Normal

from pyro_hea.design.mixture import Mixture
from pyro_hea.design.smooth import smooth_factor
from pyro_hea.design.told import drawn_targets

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
"""Nats below which the density pulls no more: parts that start far away come back by the prior."""

_WIDER = 1.4
"""A bound is best for a guide that is too narrow to be a proposal."""


def fitted_guide(problem: Problem) -> Mixture:
    """Fit a guide to the relaxed posterior of each member, in standard normal coordinates."""
    factor, ensemble = smooth_factor(problem), problem.ensemble
    shape = (ensemble.members, _PARTS, ensemble.spec.latent.dim + len(drawn_targets(problem)))
    centres = torch.randn(shape, dtype=torch.double).requires_grad_()
    log_width = torch.full_like(centres[:, :1], -0.7, requires_grad=True)
    optimiser = torch.optim.Adam([centres, log_width])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=_STEPS)
    for step in range(_STEPS):
        width, power = log_width.exp(), min(1.0, 0.1 + step / (_WARMING * _STEPS))
        u = centres + width * torch.randn_like(centres)
        guide = Mixture(centres, width, share=0.0)
        prior = Normal(0.0, 1.0).log_prob(u).sum(-1)
        density = power * factor(u).clamp_min(_LOWEST) + prior
        bound = (density - guide.log_prob(u.transpose(0, 1)).T).mean(1).sum()
        optimiser.zero_grad()
        (-bound).backward()
        torch.nn.utils.clip_grad_norm_([centres, log_width], 20.0)
        optimiser.step()
        schedule.step()
    return Mixture(centres.detach(), _WIDER * log_width.exp().detach())
