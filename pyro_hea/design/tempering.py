"""Importance sampling of the design posterior, in small steps from the prior.

Weights of draws from the prior itself would concentrate on a few of them. Particles are drawn from
the prior and tempered to the posterior in steps of a power of its density: reweight, resample, move
each particle by a Markov kernel that leaves the tempered posterior invariant. (Del Moral,
Doucet and Jasra, Sequential Monte Carlo samplers, 2006; the kernel is preconditioned
Crank-Nicolson.) Members are sampled side by side and weighted by their own evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

_KEPT = 0.5
"""Least effective sample size of a tempering step, as a share of the particles."""

_MOVES = 3
"""Walks of every particle at each temperature."""

_STEPS = (0.05, 0.8)
"""Shortest and longest step of the walk; each is drawn between them, evenly in the logarithm."""

_BISECTIONS = 30


class Particles(NamedTuple):
    """A population at the full weight.

    `u` is (K, n, d); `log_weight`, of each member, (K,); `ancestor`, the prior draw that each
    particle comes from, (K, n); `acceptance`, the share of the last walks that was taken.
    """

    u: Tensor
    log_weight: Tensor
    ancestor: Tensor
    acceptance: float


def populations(
    log_factor: Callable[[Tensor], Tensor], members: int, particles: int, dim: int
) -> Iterator[Particles]:
    """Temper a population, then keep walking: each one yielded is spread like the posterior.

    Parameters
    ----------
    log_factor : callable
        From u (K, n, d) to the logarithm of what multiplies its standard normal prior, (K, n).
    members, particles, dim : int
        K, n and d.

    Yields
    ------
    Particles
    """
    u = torch.randn(members, particles, dim)
    factor = log_factor(u)
    ancestor = torch.arange(particles).expand(members, -1)
    log_weight = torch.zeros(members, dtype=torch.double)
    power, acceptance = 0.0, 1.0
    while True:
        if power < 1:
            step = _next_power(factor, log_weight, power) - power
            power += step
            # Resampling within members keeps the plates; evidence says what a member is worth.
            log_weight = log_weight + (step * factor).logsumexp(1) - torch.tensor(particles).log()
            rows = _resampled((step * factor).softmax(1))
            ancestor, factor = ancestor.gather(1, rows), factor.gather(1, rows)
            u = u.gather(1, rows[..., None].expand_as(u))
        for _ in range(_MOVES):
            u, factor, acceptance = _walk(log_factor, u, factor, power)
        if power >= 1:
            yield Particles(u, log_weight.log_softmax(0), ancestor, acceptance)


def _next_power(factor: Tensor, log_weight: Tensor, power: float) -> float:
    """The largest power up to 1 at which the effective sample size is half of the particles.

    It is that within each member, averaged by the weights of the members: the evidence of one
    member does not lower the effective sample size of its own particles.
    """
    share = log_weight.softmax(0)

    def worth(new: float) -> float:
        weight = ((new - power) * factor).double().softmax(1)
        return float((share / weight.square().sum(1)).sum()) / factor.shape[1]

    if worth(1.0) >= _KEPT:
        return 1.0
    low, high = power, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if worth(middle) < _KEPT else (middle, high)
    return high


def _resampled(weight: Tensor) -> Tensor:
    """Positions drawn by weight, evenly spaced (systematic), (K, n)."""
    members, count = weight.shape
    ticks = (torch.arange(count) + torch.rand(members, 1)).to(weight) / count
    return torch.searchsorted(weight.cumsum(1), ticks).clamp_max(count - 1)


def _walk(
    log_factor: Callable[[Tensor], Tensor], u: Tensor, factor: Tensor, power: float
) -> tuple[Tensor, Tensor, float]:
    shortest, longest = torch.tensor(_STEPS).log()
    step = (shortest + torch.rand(*u.shape[:2], 1) * (longest - shortest)).exp()
    proposed = (1 - step.square()).sqrt() * u + step * torch.randn_like(u)
    there = log_factor(proposed)
    taken = torch.rand(u.shape[:2]).log() < power * (there - factor)
    u = torch.where(taken[..., None], proposed, u)
    return u, torch.where(taken, there, factor), float(taken.double().mean())
