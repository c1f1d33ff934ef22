"""Modes of the posterior of z, alloy by alloy, by BFGS for many functions side by side.

The density has kinks where the splines of the flow have theirs, and many a mode lies on one. BFGS
with a weak Wolfe line search converges there too, where Newton's method does not (Lewis and
Overton, Mathematical Programming 141 (2013) 135).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from pyro_hea.posterior.local_posterior import LocalPosterior

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.model import AlloyModel

    Function = Callable[[Tensor], tuple[Tensor, Tensor]]

_ROUNDS = ((32, 12), (10, 25), (3, 150))
"""Searches that go on in each round, and evaluations of each at most."""

_ARMIJO, _WOLFE = 1e-4, 0.5

_CONVERGED, _SHORTEST = 1e-12, 1e-10
"""Expected gain, and length of a step, at which a function is at its minimum."""


class Minima:
    """BFGS of many functions of d variables, (..., d), each with a line search of its own.

    Parameters
    ----------
    function : callable
        From u (..., d) to values (...) and gradients (..., d); functions know nothing of each
        other.
    start : Tensor, shape (..., d)

    Examples
    --------
    >>> centre = torch.tensor([[1.0, -2.0], [3.0, 0.0]], dtype=torch.float64)
    >>> def function(u):
    ...     away = u - centre
    ...     return away.abs().sum(-1) + away.square().sum(-1), away.sign() + 2 * away
    >>> minima = Minima(function, torch.zeros_like(centre))
    >>> for _ in range(100):
    ...     minima.step(function)
    >>> minima.u.round(decimals=6)
    tensor([[ 1., -2.],
            [ 3.,  0.]], dtype=torch.float64)
    """

    def __init__(self, function: Function, start: Tensor) -> None:
        self.u = start
        self.value, self.gradient = function(start)
        first = self.gradient.norm(dim=-1).clamp_min(1.0).reciprocal()  # a step of length 1
        self.inverse = first[..., None, None] * torch.eye(start.shape[-1]).to(start)
        self.size = torch.ones_like(self.value)
        self.low, self.high = torch.zeros_like(self.size), torch.full_like(self.size, math.inf)

    @property
    def direction(self) -> Tensor:
        """Where each function is searched, (..., d)."""
        return -(self.inverse @ self.gradient.unsqueeze(-1)).squeeze(-1)

    @property
    def active(self) -> Tensor:
        """Which functions are not at their minimum yet, (...)."""
        slope = (self.gradient * self.direction).sum(-1)
        length = (self.high - self.low) * self.direction.norm(dim=-1)
        return (slope < -_CONVERGED) & (length > _SHORTEST)

    def step(self, function: Function) -> None:
        """One evaluation: each function ends its line search there, or goes on with it."""
        direction = self.direction
        u = self.u + self.size.unsqueeze(-1) * direction
        value, gradient = function(u)
        slope = (self.gradient * direction).sum(-1)
        low_enough = value <= self.value + _ARMIJO * self.size * slope
        flat_enough = (gradient * direction).sum(-1) >= _WOLFE * slope
        taken = low_enough & flat_enough & self.active
        self.high = torch.where(low_enough, self.high, self.size)
        self.low = torch.where(low_enough & ~flat_enough, self.size, self.low)
        bisected = torch.where(self.high.isinf(), 2 * self.low, (self.low + self.high) / 2)
        self._update(taken, u - self.u, gradient - self.gradient)
        chosen = taken.unsqueeze(-1)
        self.u, self.gradient = u.where(chosen, self.u), gradient.where(chosen, self.gradient)
        self.value = value.where(taken, self.value)
        self.size = torch.where(taken, 1.0, bisected)
        self.low = torch.where(taken, 0.0, self.low)
        self.high = torch.where(taken, math.inf, self.high)

    def _update(self, taken: Tensor, s: Tensor, y: Tensor) -> None:
        """The inverse Hessian of those that are taken."""
        curvature = (s * y).sum(-1)
        taken = taken & (curvature > 0)
        rho = torch.where(taken, curvature, 1.0).reciprocal()[..., None, None]
        s, y = s.unsqueeze(-1), y.unsqueeze(-1)
        left = torch.eye(s.shape[-2]).to(s) - rho * s @ y.mT
        updated = left @ self.inverse @ left.mT + rho * s @ s.mT
        self.inverse = updated.where(taken[..., None, None], self.inverse)

    def take(self, columns: Tensor) -> None:
        """Go on with the functions at `columns` of the last axis but that of the variables."""
        for name, value in vars(self).items():
            axis = self.value.dim() - 1 if name != "value" else value.dim() - 1
            setattr(self, name, value.index_select(axis, columns))


def find_modes(model: AlloyModel, batch: AlloyBatch) -> Tensor:
    """Z at the mode of w of each alloy in each member, (K, N, d).

    The posterior has several modes, and the guide's centre leads to the highest one only by chance.
    So the search starts at many points, the same for every alloy in the guide's units; after each
    of a few rounds those that have come highest go on.

    Parameters
    ----------
    model : AlloyModel
        In double precision: rounding, which depends on what else is in the batch, would decide
        between modes.
    batch : AlloyBatch
        With compositions and a value of every target.
    """
    guide = LocalPosterior.of_guide(model.latent_posterior(batch.composition, batch.targets))
    starts = _starts(_ROUNDS[0][0], guide.loc.shape[-1]).to(guide.loc)
    u = starts[:, None, None].expand(-1, *guide.loc.shape)
    for count, evaluations in _ROUNDS:
        u, value = _descend(model, batch, u[:count], evaluations)
        order = value.argsort(0)
        u = u.take_along_dim(order.unsqueeze(-1), 0)
    with torch.no_grad():
        return guide.latent(u[0])[0]


def _starts(count: int, dim: int) -> Tensor:
    """The guide's centre, and points of its normal that fill it evenly, (count, d)."""
    even = torch.quasirandom.SobolEngine(dim, scramble=True, seed=0).draw(count - 1)
    normal = torch.special.ndtri(even.double().clamp(1e-6, 1 - 1e-6))
    return torch.cat([torch.zeros(1, dim), normal])


def _descend(
    model: AlloyModel, batch: AlloyBatch, start: Tensor, evaluations: int
) -> tuple[Tensor, Tensor]:
    """Where searches from u (S, K, N, d) come, and minus the log density there, (S, K, N).

    Alloys all of whose searches have ended leave the batch.
    """
    rows = torch.arange(len(batch), device=start.device)
    found, value = start.clone(), start.new_empty(start.shape[:-1])
    minima: Minima | None = None
    while len(rows):
        with model.cached_flow():
            guide = LocalPosterior.of_guide(
                model.latent_posterior(batch.composition, batch.targets)
            )
            function = _potential(guide, model, batch)
            minima = minima or Minima(function, start)
            left = minima.active.any(0).any(0)
            while left.sum() > len(left) / 2 and evaluations > 0:
                minima.step(function)
                evaluations -= 1
                left = minima.active.any(0).any(0)
        found[:, :, rows], value[..., rows] = minima.u, minima.value
        if evaluations <= 0:
            break
        left = left.nonzero()[:, 0]
        rows, batch = rows[left], _take(batch, left)
        minima.take(left)
    return found, value


def _take(batch: AlloyBatch, rows: Tensor) -> AlloyBatch:
    """The alloys at `rows`, whose targets may differ from member to member."""
    targets = {name: value[..., rows] for name, value in batch.targets.items()}
    return batch.replaced(targets={}).take(rows).replaced(targets=targets)


def _potential(guide: LocalPosterior, model: AlloyModel, batch: AlloyBatch) -> Function:
    """Minus the log joint density of u (S, K, N, d) and its gradient."""

    @torch.enable_grad()
    def function(u: Tensor) -> tuple[Tensor, Tensor]:
        u = u.detach().requires_grad_()
        value = -guide.joint(u, model, batch)[1]
        (gradient,) = torch.autograd.grad(value.sum(), u)
        return value.detach(), gradient

    return function
