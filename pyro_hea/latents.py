"""Priors of z: independent coordinates, or one that is learnt with the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_hea.networks import CouplingFlow
from pyro_hea.spec import FlowPrior, Mixture, VampPrior

if TYPE_CHECKING:
    from pyro_hea.spec import Latent, Prior

Encoder: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From fractions (K, C, E) and context (K, C, width) to means and scales (K, C, d)."""

_SMALLEST_SCALE = 1e-2


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

    def __init__(self, members: int, components: int, elements: int, width: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(members, 1, components))
        self.compositions = nn.Parameter(2 * torch.randn(members, components, elements))
        self.contexts = nn.Parameter(torch.randn(members, components, width))

    def distribution(self, encoder: Encoder) -> TorchDistribution:
        """p(z), (K, 1) over (d,)."""
        loc, scale = encoder(self.compositions.softmax(-1), self.contexts)
        normals = dist.Normal(loc.unsqueeze(1), scale.unsqueeze(1)).to_event(1)
        return dist.MixtureSameFamily(dist.Categorical(logits=self.logits), normals)


class PushedPrior(nn.Module):
    """A standard normal pushed through a learnt invertible flow."""

    def __init__(self, declared: FlowPrior, members: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.flow = CouplingFlow(members, dim, 0, declared.hidden, declared.layers)

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
        Of the targets, as networks read them.
    """
    prior = declared.prior
    if isinstance(prior, Mixture):
        return MixturePrior(members, prior.components, declared.dim)
    if isinstance(prior, VampPrior):
        return VampMixturePrior(members, prior.components, elements, width)
    if isinstance(prior, FlowPrior):
        return PushedPrior(prior, members, declared.dim)
    return IndependentPrior(prior, declared.dim)
