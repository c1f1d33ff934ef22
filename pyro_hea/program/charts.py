"""The Pyro program of an atlas: a mixture of K charts, each an invertible map of a flat piece.

As a graph::

    chart ──┐                        model: chart ~ Categorical(α), ξ ~ plateau with soft edges,
            ▼                               z = S_chart(ξ), x ~ Normal(D_chart(z), σ_x)
    ξ ────> z ────> x
                                     guide: z ~ Normal(E_k(x), σ_z) and ξ = S_k⁻¹(z) in each chart,
                                            chart ~ Categorical(γ(x))

The charts are the members of the networks, and the branches of the enumerated site `chart`: values
of shape (K, N, ...) are at once of each member and of each branch.

Alberti, Hertrich, Santacesaria and Sciutto, Manifold Learning by Mixture Models of VAEs for Inverse
Problems, JMLR 2024 (arXiv:2303.15244).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.functional import relu

from pyro_hea.program.flows import CouplingFlow

if TYPE_CHECKING:
    from pyro_hea.spec import AtlasSpec
    from pyro_hea.spec.charts import ChartDensity, Coupling


_SCALAR = torch.Size()


class Plateau(TorchDistribution):
    """A coordinate of a chart: uniform in the middle, with soft edges; see `spec.ChartDensity`.

    Parameters
    ----------
    declared : ChartDensity
    like : Tensor
        A scalar that gives dtype and device.

    Examples
    --------
    >>> from pyro_hea.spec.charts import ChartDensity
    >>> density = Plateau(ChartDensity(), torch.zeros(()))
    >>> height = density.log_prob(torch.tensor([0.0, 0.9, 1.0])).exp()
    >>> height / height[0]
    tensor([1.0000, 0.5250, 0.0500])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real
    has_rsample = False

    def __init__(
        self, declared: ChartDensity, like: Tensor, batch_shape: torch.Size = _SCALAR
    ) -> None:
        self.declared, self._like = declared, like
        super().__init__(batch_shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: object = None) -> Plateau:
        """The same distribution with another batch shape."""
        return Plateau(self.declared, self._like, torch.Size(batch_shape))

    @property
    def _masses(self) -> tuple[float, float, float]:
        """Mass of plateau, edge and tail on one side, before they are normalised."""
        p = self.declared
        return p.inner, (1 - p.inner) * (1 + p.edge) / 2, p.edge / p.decay

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, by coordinate."""
        p, size = self.declared, value.abs()
        along = (size.clamp(p.inner, 1.0) - p.inner) / (1 - p.inner)
        tail = p.decay * relu(size - 1.0)
        return torch.log1p((p.edge - 1) * along) - tail - math.log(2 * sum(self._masses))

    def sample(self, sample_shape: Any = _SCALAR) -> Tensor:
        """Draw by the inverse of the cumulative distribution."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return self.icdf(torch.rand(shape, dtype=self._like.dtype, device=self._like.device))

    def icdf(self, value: Tensor) -> Tensor:
        """The coordinates below which lie shares (0, 1) of the mass."""
        p, (plateau, edge, tail) = self.declared, self._masses
        mass = (2 * value - 1).abs() * (plateau + edge + tail)
        width, fall = 1 - p.inner, 1 - p.edge
        share = ((mass - plateau) / width).clamp(0.0, (1 + p.edge) / 2)
        on_edge = p.inner + width * (1 - (1 - 2 * fall * share).clamp_min(0.0).sqrt()) / fall
        left = (1 - (mass - plateau - edge) / tail).clamp(torch.finfo(mass.dtype).eps, 1.0)
        size = torch.where(mass < plateau, mass, on_edge)
        size = torch.where(mass > plateau + edge, 1.0 - left.log() / p.decay, size)
        return (value - 0.5).sign() * size


class Encoded(NamedTuple):
    """Points in each chart, with what the bound is made of.

    Attributes
    ----------
    z, xi : Tensor, shape (K, N, d)
        Coordinates before and after the latent flow.
    log_q : Tensor, shape (K, N)
        Log density of ξ under the guide of the chart.
    log_joint : Tensor, shape (K, N)
        log α_k p(ξ) p(x | ξ, k).
    """

    z: Tensor
    xi: Tensor
    log_q: Tensor
    log_joint: Tensor

    @property
    def log_weights(self) -> Tensor:
        """The log weights log α_k − L_k(x), (K, N)."""
        return self.log_joint - self.log_q


class AtlasModel(nn.Module):
    """K charts side by side in one program.

    Parameters
    ----------
    spec : AtlasSpec
    features : int
        Dimension n of the points.
    support : Tensor of int, shape (K, s), optional
        The s coordinates of which each chart knows; its points have 0 in the others. All by
        default.
    """

    log_alpha: Tensor
    centre: Tensor
    frame: Tensor
    scale: Tensor

    def __init__(self, spec: AtlasSpec, features: int, support: Tensor | None = None) -> None:
        super().__init__()
        self.spec, self.features = spec, features
        self.support: Tensor | None
        self.register_buffer("support", support)
        self.width = features if support is None else support.shape[1]
        self.decoder = _flow(spec.decoder, spec.charts, self.width)
        declared = spec.latent_flow if spec.dim > 1 else None
        self.latent_flow = None if declared is None else _flow(declared, spec.charts, spec.dim)
        self.register_buffer("log_alpha", torch.full((spec.charts,), -math.log(spec.charts)))
        self.register_buffer("centre", torch.zeros(spec.charts, 1, self.width))
        self.register_buffer("scale", torch.ones(spec.charts, 1, 1))
        self.register_buffer("frame", torch.eye(self.width).repeat(spec.charts, 1, 1))

    @property
    def charts(self) -> int:
        """K."""
        return self.spec.charts

    # The program.

    def model(self, points: Tensor) -> Tensor:
        """Chart, coordinates and point, for points (N, n)."""
        with pyro.plate("points", len(points)):
            chart = pyro.sample("chart", dist.Categorical(logits=self.log_alpha))
            xi = pyro.sample("xi", self.density())
            centre = self._of_chart(chart, self.decode(self.from_xi(xi)))
            likelihood = dist.Normal(centre, self.spec.noise).to_event(1)
            return pyro.sample("x", likelihood, obs=points)

    def guide(self, points: Tensor) -> Encoded:
        """Coordinates in each chart, then the chart by its responsibility.

        The responsibilities are of the coordinates that were drawn, so that they come first; the
        site `xi` takes them with their density.
        """
        there = self.encoded(points, self.noise(len(points)))
        with pyro.plate("points", len(points)):
            logits = there.log_weights.mT
            enumerated: Any = {"enumerate": "parallel"}
            pyro.sample("chart", dist.Categorical(logits=logits), infer=enumerated)
            pyro.sample("xi", dist.Delta(there.xi, log_density=there.log_q, event_dim=1))
        return there

    def _of_chart(self, chart: Tensor, values: Tensor) -> Tensor:
        """Of values (K, N, ...), those of each point's chart; all where charts are enumerated."""
        if chart.dim() > 1:
            return values
        return values[chart, torch.arange(len(chart), device=chart.device)]

    # Its parts.

    def density(self) -> TorchDistribution:
        """p(ξ), over (d,)."""
        one: Any = Plateau(self.spec.density, self.log_alpha)
        return cast("TorchDistribution", one.expand([self.spec.dim]).to_event(1))

    def noise(self, points: int) -> Tensor:
        """Standard normal noise of the guide, (K, N, d)."""
        return torch.randn(
            (self.charts, points, self.spec.dim),
            dtype=self.log_alpha.dtype,
            device=self.log_alpha.device,
        )

    def known(self, points: Tensor) -> Tensor:
        """Of points (N, n) or (K, N, n), the coordinates that each chart knows, (K, N, s)."""
        if self.support is None:
            return points
        points = points.expand(self.charts, *points.shape[-2:])
        return points.gather(-1, self.support[:, None].expand(-1, points.shape[1], -1))

    def transform(self, w: Tensor) -> Tensor:
        """T_k, from coordinates (K, N, s) to points (K, N, n)."""
        known = self.centre + self.scale * self.decoder(self.centre[..., :0])(w) @ self.frame
        if self.support is None:
            return known
        points = known.new_zeros(*known.shape[:-1], self.features)
        return points.scatter(-1, self.support[:, None].expand_as(known), known)

    def inverse(self, points: Tensor) -> Tensor:
        """T_k⁻¹, from points (N, n) or (K, N, n) to coordinates (K, N, s)."""
        inward = (self.known(points) - self.centre) @ self.frame.mT / self.scale
        return self.decoder(self.centre[..., :0]).inv(inward)

    def decode(self, z: Tensor) -> Tensor:
        """D_k, from coordinates (N, d) or (K, N, d) to points (K, N, n)."""
        zeros = z.new_zeros(*z.shape[:-1], self.width - self.spec.dim)
        return self.transform(torch.cat([z, zeros], -1))

    def encode(self, points: Tensor) -> Tensor:
        """E_k, the first d coordinates of T_k⁻¹, (K, N, d)."""
        return self.inverse(points)[..., : self.spec.dim]

    def from_xi(self, xi: Tensor) -> Tensor:
        """S_k, from ξ (N, d) or (K, N, d) to z (K, N, d)."""
        if self.latent_flow is None:
            return xi
        return self.latent_flow(self.centre[..., :0])(xi)

    def to_xi(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """S_k⁻¹(z), (K, N, d), and the logarithm of |det ∂ξ/∂z|, (K, N)."""
        if self.latent_flow is None:
            return z, z.new_zeros(z.shape[:-1])
        back = self.latent_flow(self.centre[..., :0]).inv
        xi = back(z)
        return xi, back.log_abs_det_jacobian(z, xi)

    def encoded(self, points: Tensor, noise: Tensor | None = None) -> Encoded:
        """Points (N, n), or of each chart (K, N, n), at noise (K, N, d); without, at its mean."""
        spec = self.spec
        z = self.encode(points)
        log_q = z.new_full((), -spec.dim * (math.log(spec.latent_noise) + _HALF_LOG_2PI))
        if noise is not None:
            z = z + spec.latent_noise * noise
            log_q = log_q - noise.square().sum(-1) / 2
        xi, log_det = self.to_xi(z)
        miss = (points - self.decode(z)).square().sum(-1) / (2 * spec.noise**2)
        constant = self.features * (math.log(spec.noise) + _HALF_LOG_2PI)
        log_joint = self.log_alpha[:, None] + self.density().log_prob(xi) - miss - constant
        return Encoded(z, xi, log_q - log_det, log_joint)

    def bound(self, points: Tensor) -> Tensor:
        """The bound log Σ_k α_k exp(−L_k(x)), the enumerated ELBO of each point (N,), in nats.

        `TraceEnum_ELBO` of model and guide gives its sum, at several times the cost.
        """
        return self.encoded(points, self.noise(len(points))).log_weights.logsumexp(0)


_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def _flow(declared: Coupling, charts: int, dim: int) -> CouplingFlow:
    return CouplingFlow(
        charts,
        dim,
        0,
        declared.hidden,
        2 * declared.couplings,
        1,
        activation=declared.activation,
        largest_log_scale=declared.largest_log_scale,
        permuted=range(2, 2 * declared.couplings, 2),
    )
