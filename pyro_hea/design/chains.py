"""Chains of the design posterior: NUTS on its smooth relaxation, with jumps in between.

NUTS walks within a mode and seldom leaves it. Between its draws each chain is offered points of a
mixture round tempered particles, and goes there by the rule of Metropolis and Hastings, which
leaves the density as it is (Tierney, Annals of Statistics 22 (1994) 1701). The chains of all
members are run side by side.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_hea.design.program import log_factor
from pyro_hea.design.smooth import relaxed, smooth_program
from pyro_hea.design.tempering import populations
from pyro_hea.design.told import drawn_targets
from pyro_hea.posterior.trees import sample

if TYPE_CHECKING:
    from pyro_hea.design.problem import Problem

_PARTICLES, _POPULATIONS = 256, 4
"""Of each member, round which the mixture is put."""

_WIDTH = 0.6
"""Of a part of the mixture, in standard deviations of the particles."""

_DEFENSIVE = 0.1
"""Share of the mixture that is the prior, so that it is nowhere much thinner than the density."""

_JUMPS = 32
"""Points that each chain is offered between two draws of NUTS."""

_DEEPEST = 2
"""Doublings of a trajectory: the way within a mode is short, and jumps do the rest."""

_ACCEPTED = 0.6


_ONE = torch.Size()


class Chains(NamedTuple):
    """Draws of the relaxed posterior in standard normal coordinates.

    `u` is (C, draws, K, D); `log_factor`, what multiplied its prior, and `diverging` are
    (C, draws, K); `step_size` and `log_evidence`, normalised over the members, (K,).
    """

    u: Tensor
    log_factor: Tensor
    diverging: Tensor
    step_size: Tensor
    log_evidence: Tensor


def draw_chains(problem: Problem, *, chains: int, draws: int, warmup: int) -> Chains:
    """Run chains in every member.

    Parameters
    ----------
    problem : Problem
    chains, draws, warmup : int
        In each member, and draws kept of each chain after `warmup` of adaptation.

    Returns
    -------
    Chains
    """
    smooth, ensemble = relaxed(problem), problem.ensemble
    like = ensemble.model.embedding.edges

    def factor(u: Tensor) -> Tensor:
        return log_factor(smooth, u.to(like), smooth_program).double().cpu()

    def density(u: Tensor) -> Tensor:  # of chains (C, K, D), as those are that follow it
        return (factor(u.transpose(0, 1)) - u.transpose(0, 1).square().sum(-1) / 2).T

    dim = ensemble.spec.latent.dim + len(drawn_targets(problem))
    with torch.no_grad():
        walking = populations(factor, ensemble.members, _PARTICLES, dim)
        tempered = [next(walking) for _ in range(_POPULATIONS)]
    particles = torch.cat([population.u for population in tempered], 1).double()
    found = sample(
        density,
        particles[:, -chains:].transpose(0, 1).contiguous(),
        Mixture(particles),
        draws=draws,
        warmup=warmup,
        jumps=_JUMPS,
        deepest=_DEEPEST,
        accepted=_ACCEPTED,
    )
    u = found.draws.transpose(0, 1)
    with torch.no_grad():
        height = factor(u.flatten(0, 1).transpose(0, 1)).T.unflatten(0, u.shape[:2])
    evidence = tempered[0].log_weight
    return Chains(u, height, found.diverging.transpose(0, 1), found.step_size, evidence)


class Mixture(TorchDistribution):
    """Normals round particles, all of a width, and a standard normal; over u (..., K, d).

    Parameters
    ----------
    particles : Tensor, shape (K, M, d)
    """

    arg_constraints: ClassVar = {}
    support = constraints.real_vector

    def __init__(self, particles: Tensor) -> None:
        self._centres = particles
        self._width = _WIDTH * particles.std(1, keepdim=True)
        super().__init__(particles.shape[:1], particles.shape[2:], validate_args=False)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        """Points of each member, (..., K, d)."""
        members, particles, dim = self._centres.shape
        count = torch.Size(sample_shape).numel()
        rows = torch.randint(particles, (members, count, 1)).expand(-1, -1, dim)
        noise = torch.randn(members, count, dim).to(self._centres)
        wide = torch.rand(members, count, 1) < _DEFENSIVE
        u = noise.where(wide, self._centres.gather(1, rows) + self._width * noise)
        return u.transpose(0, 1).reshape(*sample_shape, members, dim)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density at u (n, K, d), (n, K)."""
        u = value.transpose(0, 1)
        away = torch.cdist(u / self._width, self._centres / self._width).square() / 2
        near = (-away).logsumexp(-1) - self._width.log().sum(-1)
        both = torch.logaddexp(
            near + math.log((1 - _DEFENSIVE) / self._centres.shape[1]),
            math.log(_DEFENSIVE) - u.square().sum(-1) / 2,
        )
        return both.T - u.shape[-1] / 2 * math.log(2 * math.pi)
