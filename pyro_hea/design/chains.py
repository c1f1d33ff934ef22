"""Chains of the design posterior: NUTS on its smooth relaxation, with jumps in between.

NUTS moves within a mode and seldom leaves it. Between its draws each chain is offered points of a
mixture round tempered particles in independence Metropolis-Hastings steps, which leave the density
invariant (Tierney, Annals of Statistics 22 (1994) 1701). The chains of all
members are run side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pyro_hea.design.guide import NormalMixture
from pyro_hea.design.smooth import smooth_factor
from pyro_hea.design.tempering import populations
from pyro_hea.posterior.nuts_kernel import sample_nuts

if TYPE_CHECKING:
    from pyro_hea.design.problem import Problem

_PARTICLES, _POPULATIONS = 256, 4
"""Of each member; the mixture is centred on them."""

_WIDTH = 0.6
"""Of a part of the mixture, in standard deviations of the particles."""

_JUMPS = 32
"""Points that each chain is offered between two draws of NUTS."""

_DEEPEST = 1
"""Largest tree depth: the jumps move between modes."""

_ACCEPTED = 0.6

_EVIDENCE_DRAWS, _CHUNK = 8192, 1024
"""Draws of the mixture behind the evidence of each member."""


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
    ensemble, factor = problem.ensemble, smooth_factor(problem)

    def density(u: Tensor) -> Tensor:  # of chains (C, K, D), as those are that follow it
        return (factor(u.transpose(0, 1)) - u.transpose(0, 1).square().sum(-1) / 2).T

    with torch.no_grad():
        walking = populations(factor, ensemble.members, _PARTICLES, problem.dim)
        tempered = [next(walking) for _ in range(_POPULATIONS)]
    particles = torch.cat([population.u for population in tempered], 1).double()
    mixture = NormalMixture(particles, _WIDTH * particles.std(1, keepdim=True))
    found = sample_nuts(
        density,
        particles[:, -chains:].transpose(0, 1).contiguous(),
        mixture,
        draws=draws,
        warmup=warmup,
        jumps=_JUMPS,
        deepest=_DEEPEST,
        accepted=_ACCEPTED,
    )
    u = found.draws.transpose(0, 1)
    with torch.no_grad():
        height = factor(u.flatten(0, 1).transpose(0, 1)).T.unflatten(0, u.shape[:2])
        # Less noisy than the evidence from tempering so few particles.
        points = mixture.sample(torch.Size([_EVIDENCE_DRAWS])).split(_CHUNK)
        weight = torch.cat([density(some) - mixture.log_prob(some) for some in points])
        evidence = weight.logsumexp(0).log_softmax(0)
    return Chains(u, height, found.diverging.transpose(0, 1), found.step_size, evidence)
