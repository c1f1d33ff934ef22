"""Priors of z, independent coordinates or learnt with the rest, and the normal of its guide."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions.utils import _standard_normal
from torch.nn.functional import softplus

from pyro_hea.program.flows import CouplingFlow
from pyro_hea.spec import FlowPrior, Mixture, VampPrior

if TYPE_CHECKING:
    from pyro_hea.spec import Latent, Prior

Encoder: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From fractions (K, C, E) and context (K, C, width) to the outputs of an encoder, (K, C, ...)."""

_ONE = torch.Size()
"""A single draw."""

_SMALLEST_SCALE = 1e-2

_SMALLEST_OF_GUIDE = 1e-4
"""Standard deviation of the guide's normal, which may not collapse to a point."""


def normal_outputs(dim: int, covariance: str) -> int:
    """Number of outputs of an encoder for each alloy.

    Examples
    --------
    >>> normal_outputs(8, "diagonal"), normal_outputs(8, "full")
    (16, 44)
    """
    return 2 * dim if covariance == "diagonal" else 2 * dim + dim * (dim - 1) // 2


def normal_of(outputs: Tensor, dim: int) -> TorchDistribution:
    """The normal over (d,) with the outputs of an encoder as parameters.

    Its covariance is L Lᵀ with L = diag(s) (I + N), where N is strictly lower triangular; without
    outputs for N it is diag(s²).

    Parameters
    ----------
    outputs : Tensor, shape (..., `normal_outputs`)
        Any real numbers: means, raw scales, and N row by row.
    dim : int
        Coordinates d.

    Examples
    --------
    >>> q = normal_of(torch.tensor([0.0, 0.0, 9.0, 9.0, 0.5]), 2)
    >>> (q.covariance_matrix / q.covariance_matrix[0, 0]).round(decimals=2)
    tensor([[1.0000, 0.5000],
            [0.5000, 1.2500]])
    """
    loc, raw, below = outputs[..., :dim], outputs[..., dim : 2 * dim], outputs[..., 2 * dim :]
    scale = softplus(raw - 2.0) + _SMALLEST_OF_GUIDE
    if not below.shape[-1]:
        return dist.Normal(loc, scale).to_event(1)
    row, column = torch.tril_indices(dim, dim, -1, device=outputs.device)
    identity = torch.eye(dim, dtype=outputs.dtype, device=outputs.device)
    root = identity.expand(*loc.shape, dim).clone()
    root[..., row, column] = below
    return DrawnNormal(loc, scale_tril=scale.unsqueeze(-1) * root)


class DrawnNormal(dist.MultivariateNormal):
    """Remembers the noise of its last draw, and scores that draw without solving for it."""

    _drawn: tuple[Tensor, Tensor] | None = None

    def rsample(self, sample_shape: Any = _ONE) -> Tensor:
        """Draw, with the gradient of the parameters."""
        shape = self._extended_shape(sample_shape)
        noise = _standard_normal(shape, self.loc.dtype, self.loc.device)
        value = self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
        self._drawn = value, noise
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, (...)."""
        if self._drawn is None or value is not self._drawn[0]:
            log_prob: Any = super().log_prob
            return cast("Tensor", log_prob(value))
        logs = self.scale_tril.diagonal(dim1=-2, dim2=-1).log()
        surprise = logs.add(self._drawn[1].square(), alpha=0.5).sum(-1)
        return torch.rsub(surprise, -math.log(2 * math.pi) / 2 * value.shape[-1])


class IndependentPrior(nn.Module):
    """The same distribution for each coordinate."""

    like: Tensor

    def __init__(self, declared: Prior, dim: int) -> None:
        super().__init__()
        self.declared, self.dim = declared, dim
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def distribution(self, encoder: Encoder) -> TorchDistribution:
        """p(z), over (d,)."""
        return self.declared.distribution(self.like).expand([self.dim]).to_event(1)


class MixturePrior(nn.Module):
    """A mixture of C normals whose weights, means and scales are learnt."""

    def __init__(self, members: int, components: int, dim: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(members, 1, components))
        self.loc = nn.Parameter(torch.randn(members, 1, components, dim))
        self.raw_scale = nn.Parameter(torch.full((members, 1, components, dim), 0.5))

    def distribution(self, encoder: Encoder) -> TorchDistribution:
        """p(z), (K, 1) over (d,)."""
        normals = dist.Normal(self.loc, softplus(self.raw_scale) + _SMALLEST_SCALE).to_event(1)
        return dist.MixtureSameFamily(dist.Categorical(logits=self.logits), normals)


class VampMixturePrior(nn.Module):
    """The mean posterior of C learnt alloys.

    Tomczak and Welling, VAE with a VampPrior (2018), with learnt weights and values of the
    targets beside the compositions.
    """

    def __init__(self, members: int, components: int, dim: int, elements: int, width: int) -> None:
        super().__init__()
        self.dim = dim
        self.logits = nn.Parameter(torch.zeros(members, 1, components))
        self.compositions = nn.Parameter(2 * torch.randn(members, components, elements))
        self.contexts = nn.Parameter(torch.randn(members, components, width))

    def distribution(self, encoder: Encoder) -> TorchDistribution:
        """p(z), (K, 1) over (d,)."""
        outputs = encoder(self.compositions.softmax(-1), self.contexts).unsqueeze(1)
        normals = normal_of(outputs, self.dim)
        return dist.MixtureSameFamily(dist.Categorical(logits=self.logits), normals)


class PushedPrior(nn.Module):
    """A standard normal pushed through a learnt invertible flow."""

    def __init__(self, declared: FlowPrior, members: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.flow = CouplingFlow(members, dim, 0, declared.hidden, declared.layers, declared.bins)

    def distribution(self, encoder: Encoder) -> TorchDistribution:
        """p(z), (K, 1) over (d,)."""
        weight = next(self.flow.parameters())
        zero = weight.new_zeros(len(weight), 1, self.dim)
        base = dist.Normal(zero, torch.ones_like(zero)).to_event(1)
        return dist.TransformedDistribution(base, [self.flow(zero[..., :0])])


LatentPriorModule: TypeAlias = IndependentPrior | MixturePrior | VampMixturePrior | PushedPrior


def latent_prior_of(declared: Latent, members: int, elements: int, width: int) -> LatentPriorModule:
    """The declared prior of z.

    Parameters
    ----------
    declared : Latent
    members, elements : int
    width : int
        Width of the encoded targets.
    """
    prior = declared.prior
    if isinstance(prior, Mixture):
        return MixturePrior(members, prior.components, declared.dim)
    if isinstance(prior, VampPrior):
        return VampMixturePrior(members, prior.components, declared.dim, elements, width)
    if isinstance(prior, FlowPrior):
        return PushedPrior(prior, members, declared.dim)
    return IndependentPrior(prior, declared.dim)
