"""A distribution of z fitted to each alloy's own posterior, where the guide is one for all.

It is a multivariate t in the guide's w, pushed through the flow: first at the mode with the
curvature there (Laplace, by Newton's method from the guide's centre), then with the moments that
importance sampling gives (Cappé et al., Adaptive importance sampling in general mixture classes,
2008). It serves as coordinates for NUTS and as proposal for importance sampling; both correct it
exactly: it affects their speed and not their answer.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyro.distributions as dist
import torch

from pyro_hea.posterior.traces import log_densities

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.model import AlloyModel

_DEGREES = 5.0
"""Degrees of freedom of the t, whose tails are heavier than those of the posterior."""

_ASCENT_STEPS, _ASCENT_RATE = 50, 0.15
"""Adam steps of the mode search, and their size in standard deviations of the guide."""

_NEWTON_STEPS, _HALVINGS = 3, 5

_FLATTEST = 1e-2
"""Smallest curvature that is used, in units of the guide's inverse variance."""

_ROUNDS, _PARTICLES = 3, 500
"""Rounds and draws of importance sampling for the moments."""

_ROWS = 25_000
"""Draws scored at a time, over members and alloys: what stays in a processor's cache."""


class LocalPosterior:
    """An affine map of each alloy's u to w, and the transforms that take w to z.

    Parameters
    ----------
    loc : Tensor, shape (K, N, d)
    root : Tensor, shape (K, N, d, d)
        w = loc + root @ u.
    transforms : list of Transform
        From w to z, in order.
    """

    def __init__(self, loc: Tensor, root: Tensor, transforms: list[Any]) -> None:
        self.loc, self.root, self._transforms = loc, root, transforms
        self._log_volume = torch.linalg.slogdet(root).logabsdet

    @classmethod
    def of_guide(cls, q: Any) -> LocalPosterior:
        """Coordinates in which `q`, a normal or one pushed through transforms, is standard."""
        pushed = isinstance(q, dist.TransformedDistribution)
        base, transforms = (q.base_dist, q.transforms) if pushed else (q, [])
        full = isinstance(base, dist.MultivariateNormal)
        root = base.scale_tril if full else torch.diag_embed(base.stddev)
        return cls(base.mean.detach(), root.detach(), transforms)

    @classmethod
    def at_mode(cls, model: AlloyModel, batch: AlloyBatch) -> LocalPosterior:
        """With each alloy's mode in the guide's w, and the curvature there."""
        guide = cls.of_guide(model.latent_posterior(batch.composition, batch.targets))
        return guide._mode_search(model, batch)

    @classmethod
    def fitted(
        cls,
        model: AlloyModel,
        batch: AlloyBatch,
        rounds: int = _ROUNDS,
        particles: int = _PARTICLES,
    ) -> LocalPosterior:
        """Fit to alloys whose labels are all known; draws from torch's global generator."""
        local = cls.at_mode(model, batch)
        for _ in range(rounds):
            local = local._with_moments(model, batch, particles)
        return local

    @cached_property
    def standard(self) -> dist.MultivariateStudentT:
        """The distribution of u, (K, N) over (d,)."""
        degrees, eye = torch.tensor(_DEGREES).to(self.loc), torch.eye(self.loc.shape[-1])
        return dist.MultivariateStudentT(degrees, torch.zeros_like(self.loc), eye.to(self.loc))

    def latent(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Z at u (..., K, N, d), and the log volume that a unit of u becomes, (..., K, N)."""
        value = self.loc + (self.root @ u.unsqueeze(-1)).squeeze(-1)
        log_volume = self._log_volume
        for transform in self._transforms:
            moved = transform(value)
            log_volume = log_volume + transform.log_abs_det_jacobian(value, moved)
            value = moved
        return value, log_volume

    def joint(self, u: Tensor, model: AlloyModel, batch: AlloyBatch) -> tuple[Tensor, Tensor]:
        """Z at u (S, K, N, d), and log of the model's joint density of u and the data, in nats."""
        z, log_volume = self.latent(u)
        return z, log_densities(model, batch, z)[0] + log_volume

    @torch.no_grad()
    def weighted(
        self, model: AlloyModel, batch: AlloyBatch, draws: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw u; u and its z, (S, K, N, d), and log p(x, y, z) - log q(z), (S, K, N), in nats."""
        u = self.standard.sample(torch.Size([draws]))
        some = u.split(max(1, _ROWS // self.loc[..., 0].numel()))
        z, joint = map(
            torch.cat, zip(*(self.joint(part, model, batch) for part in some), strict=True)
        )
        return u, z, joint - self.standard.log_prob(u)

    @torch.enable_grad()
    def _mode_search(self, model: AlloyModel, batch: AlloyBatch) -> LocalPosterior:
        def potential(u: Tensor) -> Tensor:
            return -self.joint(u.unsqueeze(0), model, batch)[1][0]

        u = torch.zeros_like(self.loc).requires_grad_()
        ascent = torch.optim.Adam([u], _ASCENT_RATE)
        for _ in range(_ASCENT_STEPS):
            (u.grad,) = torch.autograd.grad(potential(u).sum(), u)
            ascent.step()
        for _ in range(_NEWTON_STEPS):
            moved, root = _newton_step(potential, u)
            u = moved.requires_grad_()
        loc = self.loc + (self.root @ u.detach().unsqueeze(-1)).squeeze(-1)
        return LocalPosterior(loc, self.root @ root, self._transforms)

    def _with_moments(self, model: AlloyModel, batch: AlloyBatch, particles: int) -> LocalPosterior:
        """The same with the posterior's mean and covariance, by truncated weights."""
        u, _, log_weight = self.weighted(model, batch, particles)
        # No draw counts for more than sqrt(S) average ones (Ionides, 2008): no collapse.
        limit = log_weight.logsumexp(0) - 0.5 * math.log(particles)
        weight = log_weight.minimum(limit).softmax(0).unsqueeze(-1)
        mean = (weight * u).sum(0)
        centred = weight.sqrt() * (u - mean)
        covariance = torch.einsum("skni,sknj->knij", centred, centred)
        ridge = 0.02 * torch.eye(u.shape[-1]).to(u)
        root = torch.linalg.cholesky(covariance + ridge)
        loc = self.loc + (self.root @ mean.unsqueeze(-1)).squeeze(-1)
        return LocalPosterior(loc, self.root @ root, self._transforms)


@torch.enable_grad()
def _newton_step(potential: Callable[[Tensor], Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
    """One step down from u (K, N, d), by absolute curvatures, halved where it leads up.

    Returns where it leads, and the root of the inverse curvature (K, N, d, d).
    """
    value = potential(u)
    (slope,) = torch.autograd.grad(value.sum(), u, create_graph=True)
    rows = [torch.autograd.grad(s.sum(), u, retain_graph=True)[0] for s in slope.unbind(-1)]
    curvature, axes = torch.linalg.eigh(torch.stack(rows, -1))
    root = axes * curvature.abs().clamp_min(_FLATTEST).rsqrt().unsqueeze(-2)
    step = -(root @ (root.mT @ slope.detach().unsqueeze(-1))).squeeze(-1)
    with torch.no_grad():
        size = torch.ones_like(step[..., :1])
        for _ in range(_HALVINGS):
            worse = (potential(u + size * step) > value).unsqueeze(-1)
            if not worse.any():
                break
            size = torch.where(worse, size / 2, size)
        moved = torch.where(worse, u, u + size * step)
    return moved.detach(), root
