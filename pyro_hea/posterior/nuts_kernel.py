"""The No-U-Turn sampler for many densities side by side, each with its own steps and trees.

Pyro's NUTS treats all coordinates as one point: a hundred independent posteriors share one step
size and one trajectory. Here each has its own, and all gradients are computed at once.
The algorithm is that of Stan: trajectories double
until they turn back, and a draw is picked from them by weight (Hoffman and Gelman, JMLR 15 (2014)
1593; Betancourt, arXiv:1701.02434). Between trajectories a point may jump to a draw of a proposal,
taken or left by Metropolis' rule, which leads from one mode to another.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from pyro.ops.dual_averaging import DualAveraging
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro.distributions import TorchDistribution
    from torch import Tensor

    LogDensity = Callable[[Tensor], Tensor]

_FIRST_STEP = 0.3
"""Step size that adaptation starts from, where a density's standard deviations are about 1."""

_DELAY = 2.0
"""Seconds after which the progress bar is shown."""

_DIVERGED = 1000.0
"""Loss of log density, in nats, at which a trajectory is given up."""


class NUTSDraws(NamedTuple):
    """Draws, (draws, C, ..., d), and of each draw whether its trajectory diverged.

    `diverging`, `steps`, how many gradients a draw took, and `energy`, minus the log density of
    position and momentum in nats, are (draws, C, ...); `step_size` is
    (...), the same for all C chains of a density.
    """

    draws: Tensor
    diverging: Tensor
    steps: Tensor
    energy: Tensor
    step_size: Tensor


class _Point(NamedTuple):
    """Positions, momenta and gradients, (C, ..., d), and log densities, (C, ...)."""

    u: Tensor
    p: Tensor
    gradient: Tensor
    log_p: Tensor

    @property
    def joint(self) -> Tensor:
        """Log density of position and momentum, (C, ...)."""
        return self.log_p - self.p.square().sum(-1) / 2

    def where(self, chosen: Tensor, other: _Point) -> _Point:
        """The same where `chosen` (C, ...), else the other."""
        u, p, gradient = (
            torch.where(chosen.unsqueeze(-1), a, b)
            for a, b in zip(self[:3], other[:3], strict=True)
        )
        return _Point(u, p, gradient, torch.where(chosen, self.log_p, other.log_p))


def sample_nuts(
    log_density: LogDensity,
    start: Tensor,
    proposal: TorchDistribution,
    *,
    draws: int,
    warmup: int,
    jumps: int,
    deepest: int,
    accepted: float,
    progress: bool = False,
) -> NUTSDraws:
    """Draw from each density by NUTS, C chains of each.

    Parameters
    ----------
    log_density : callable
        From u (C, ..., d) to (C, ...), in nats; the densities know nothing of each other. They
        should be close to standard, for there is no other adaptation than of the step sizes.
    start : Tensor, shape (C, ..., d)
        First points of the chains.
    proposal : TorchDistribution
        Over u (..., d), close to the densities, with heavier tails: where jumps go.
    draws, warmup : int
        Draws kept of each chain, after `warmup` of adaptation.
    jumps : int
        Points that a chain is offered between two trajectories.
    deepest : int
        Doublings of a trajectory, at most: all wait for the longest.
    accepted : float
        Acceptance that the step sizes are adapted to.
    progress : bool
        Show a progress bar after two seconds.

    Returns
    -------
    NUTSDraws

    Examples
    --------
    >>> import pyro
    >>> _ = torch.manual_seed(0)
    >>> sd = torch.tensor([[0.5, 1.0], [1.0, 2.0]])  # of two densities
    >>> wide = pyro.distributions.Normal(torch.zeros(2, 2), 3.0).to_event(1)
    >>> found = sample_nuts(lambda u: -(u / sd).square().sum(-1) / 2, torch.zeros(4, 2, 2), wide,
    ...                draws=500, warmup=100, jumps=8, deepest=5, accepted=0.8)
    >>> (found.draws.std((0, 1)) / sd - 1).abs().max() < 0.1
    tensor(True)
    """
    point = _at(log_density, start, torch.zeros_like(start))
    step = torch.full(start.shape[1:-1], _FIRST_STEP).to(start)
    adaptation = DualAveraging(prox_center=math.log(10 * _FIRST_STEP))
    kept: list[tuple[Tensor, ...]] = []
    steps = range(warmup + draws)
    for i in tqdm(steps, "NUTS", unit="draw", delay=_DELAY, disable=not progress):
        point, acceptance, gradients, diverging = _transition(log_density, point, step, deepest)
        point = _jump(log_density, point, proposal, jumps)
        if i < warmup:
            adaptation.step(accepted - acceptance.mean(0))
            now, averaged = adaptation.get_state()
            step = (averaged if i == warmup - 1 else now).exp()
        else:
            kept.append((point.u, diverging, gradients, -point.joint))
    u, diverged, taken, energy = (torch.stack(column) for column in zip(*kept, strict=True))
    return NUTSDraws(u, diverged, taken, energy, step)


def _at(log_density: LogDensity, u: Tensor, p: Tensor) -> _Point:
    u = u.detach().requires_grad_()
    log_p = log_density(u)
    (gradient,) = torch.autograd.grad(log_p.sum(), u)
    return _Point(u.detach(), p, gradient, log_p.detach())


def _jump(
    log_density: LogDensity, point: _Point, proposal: TorchDistribution, jumps: int
) -> _Point:
    chains = len(point.u)
    with torch.no_grad():  # all that are proposed are weighed at once
        proposed = proposal.sample(torch.Size([jumps * chains]))
        weights = log_density(proposed) - proposal.log_prob(proposed)
        u, weight = point.u, point.log_p - proposal.log_prob(point.u)
        for other, of_other in zip(proposed.split(chains), weights.split(chains), strict=True):
            taken = torch.rand_like(weight).log() < of_other - weight
            u = torch.where(taken.unsqueeze(-1), other, u)
            weight = torch.where(taken, of_other, weight)
    return _at(log_density, u, point.p)


def _leap(log_density: LogDensity, point: _Point, step: Tensor) -> _Point:
    """One step of the leapfrog, by `step` (C, ..., 1), back in time where it is negative."""
    half = point.p + step / 2 * point.gradient
    after = _at(log_density, point.u + step * half, half)
    return after._replace(p=half + step / 2 * after.gradient)


def _turns(first: Tensor, last: Tensor, total: Tensor) -> Tensor:
    """Whether a trajectory comes back on itself, by its outer momenta and the sum of all."""
    return ((first * total).sum(-1) <= 0) | ((last * total).sum(-1) <= 0)


def _transition(
    log_density: LogDensity, point: _Point, step: Tensor, deepest: int
) -> tuple[_Point, Tensor, Tensor, Tensor]:
    """The next draw; mean acceptance, number of gradients and divergence, (C, ...)."""
    start = point._replace(p=torch.randn_like(point.u))
    left = right = chosen = start
    total, zero = start.p, torch.zeros_like(start.log_p)
    log_weight, accepted, steps = zero, zero, zero
    growing, diverging = zero == 0, zero != 0
    for depth in range(deepest):
        forward = torch.rand_like(log_weight) < 0.5
        signed = torch.where(forward, step, -step).unsqueeze(-1)
        end, picked = right.where(forward, left), start
        added, added_weight = torch.zeros_like(total), torch.full_like(log_weight, -torch.inf)
        momenta, sums, whole = [], [], growing  # of the half that is added, while it does not turn
        for leaf in range(2**depth):
            end = _leap(log_density, end, signed).where(whole, end)
            gain = (end.joint - start.joint).nan_to_num(-torch.inf)
            accepted = accepted + torch.where(whole, gain.clamp_max(0).exp(), 0)
            steps = steps + whole
            diverging = diverging | (whole & (gain < -_DIVERGED))
            whole = whole & (gain >= -_DIVERGED)
            added_weight = torch.where(whole, added_weight.logaddexp(gain), added_weight)
            picks = whole & (torch.rand_like(gain).log() < gain - added_weight)
            picked = end.where(picks, picked)
            added = added + end.p
            momenta.append(end.p)
            sums.append(added)
            size = 2  # each part that doublings would have made by itself is not to turn either
            while (leaf + 1) % size == 0:
                first = leaf + 1 - size
                part = added - sums[first] + momenta[first]
                whole = whole & ~_turns(momenta[first], end.p, part)
                size *= 2
            if not whole.any():
                break
        swaps = whole & (torch.rand_like(log_weight).log() < added_weight - log_weight)
        chosen = picked.where(swaps, chosen)
        log_weight = torch.where(whole, log_weight.logaddexp(added_weight), log_weight)
        total = total + torch.where(whole.unsqueeze(-1), added, 0)
        right = end.where(whole & forward, right)
        left = end.where(whole & ~forward, left)
        growing = whole & ~_turns(left.p, right.p, total)
        if not growing.any():
            break
    return chosen, accepted / steps, steps, diverging
