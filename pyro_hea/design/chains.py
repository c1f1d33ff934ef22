"""Chains of the design posterior: NUTS on its smooth relaxation, with jumps in between.

NUTS walks within a mode and seldom leaves it. Between its draws each chain is offered points of a
mixture round tempered particles, and goes there by the rule of Metropolis and Hastings, which
leaves the density as it is (Tierney, Annals of Statistics 22 (1994) 1701). The chains of all
members are run side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pyro_hea.design.program import log_factor
from pyro_hea.design.smooth import relaxed, smooth_program
from pyro_hea.design.tempering import populations
from pyro_hea.design.told import drawn_targets
from pyro_hea.posterior.trees import Jump, LogDensity, sample

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

_AHEAD = 4
"""Rounds of jumps whose densities are computed at once."""

_DEEPEST = 2
"""Doublings of a trajectory: the way within a mode is short, and jumps do the rest."""

_ACCEPTED = 0.6


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
        draws=draws,
        warmup=warmup,
        deepest=_DEEPEST,
        accepted=_ACCEPTED,
        jump=jumps(density, Mixture.around(particles), chains),
    )
    u = found.draws.transpose(0, 1)
    with torch.no_grad():
        height = factor(u.flatten(0, 1).transpose(0, 1)).T.unflatten(0, u.shape[:2])
    evidence = tempered[0].log_weight
    return Chains(u, height, found.diverging.transpose(0, 1), found.step_size, evidence)


class Mixture(NamedTuple):
    """Normals round particles (K, M, d), of widths (K, 1, d), and a standard normal."""

    centres: Tensor
    width: Tensor

    @classmethod
    def around(cls, particles: Tensor) -> Mixture:
        """Round the particles of each member, (K, M, d)."""
        return cls(particles, _WIDTH * particles.std(1, keepdim=True))

    def sample(self, count: int) -> Tensor:
        """Points of each member, (K, count, d)."""
        members, particles, dim = self.centres.shape
        rows = torch.randint(particles, (members, count, 1)).expand(-1, -1, dim)
        noise = torch.randn(members, count, dim).to(self.centres)
        wide = torch.rand(members, count, 1) < _DEFENSIVE
        return noise.where(wide, self.centres.gather(1, rows) + self.width * noise)

    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at u (K, n, d), (K, n), less the constant of a standard normal."""
        away = torch.cdist(u / self.width, self.centres / self.width).square() / 2
        near = (-away).logsumexp(-1) - self.width.log().sum(-1)
        return torch.logaddexp(
            near + math.log((1 - _DEFENSIVE) / self.centres.shape[1]),
            math.log(_DEFENSIVE) - u.square().sum(-1) / 2,
        )


def jumps(density: LogDensity, mixture: Mixture, chains: int) -> Jump:
    """A move of points (C, K, d) with log densities (C, K) that leaves each density as it is."""
    rounds = _offered(density, mixture, chains)

    def jump(u: Tensor, height: Tensor) -> Tensor:
        lead = height - mixture.log_prob(u.transpose(0, 1)).T
        for point, there in zip(*next(rounds), strict=True):
            taken = torch.rand_like(lead).log() < there - lead
            u, lead = point.where(taken[..., None], u), there.where(taken, lead)
        return u

    return jump


def _offered(
    density: Callable[[Tensor], Tensor], mixture: Mixture, chains: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Points (jumps, C, K, d) without end, and how far the density is above the mixture there."""
    shape = (_AHEAD, _JUMPS, chains)
    while True:
        u = mixture.sample(_AHEAD * _JUMPS * chains)
        points = u.transpose(0, 1)
        with torch.no_grad():
            lead = density(points) - mixture.log_prob(u).T
        yield from zip(points.unflatten(0, shape), lead.unflatten(0, shape), strict=True)
