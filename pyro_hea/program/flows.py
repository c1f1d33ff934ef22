"""Invertible maps of a latent space, one for each member and each value of a context."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints

from pyro_hea.program.networks import MLP
from pyro_hea.program.splines import (
    LARGEST_LOG_SCALE,
    InverseCoupling,
    bin_sums,
    bounded,
    rational_spline,
    spline_outputs,
)


class Permutation(nn.Module):
    """A random order of the coordinates, drawn once for all members.

    Parameters
    ----------
    members, dim : int
    """

    order: Tensor

    def __init__(self, members: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("order", torch.randperm(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Reorder x, (..., K, N, dim)."""
        return x[..., self.order]

    def inverse(self, y: Tensor) -> Tensor:
        """The x that is reordered to y."""
        return y[..., self.order.argsort()]

    @property
    def log_det(self) -> Tensor:
        """Log determinant of the Jacobian, (K, 1) or ()."""
        return torch.zeros((), device=self.order.device)


class NormalisedPermutation(Permutation):
    """A `Permutation` after ActNorm: a shift and scale of each coordinate, learnt.

    Kingma and Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions (2018).
    """

    def __init__(self, members: int, dim: int) -> None:
        super().__init__(members, dim)
        self.loc = nn.Parameter(torch.zeros(members, 1, dim))
        self.log_scale = nn.Parameter(torch.zeros(members, 1, dim))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Start at the mean and the standard deviation of x, (N, dim) or (K, N, dim)."""
        self.loc.copy_(x.mean(-2, keepdim=True).expand_as(self.loc))
        scale = x.std(-2, keepdim=True).clamp_min(1e-3)
        self.log_scale.copy_(scale.log().expand_as(self.log_scale))

    def forward(self, x: Tensor) -> Tensor:
        """Standardise and reorder x, (..., K, N, dim)."""
        return super().forward((x - self.loc) * (-self.log_scale).exp())

    def inverse(self, y: Tensor) -> Tensor:
        """The x that is standardised and reordered to y."""
        return super().inverse(y) * self.log_scale.exp() + self.loc

    @property
    def log_det(self) -> Tensor:
        """Log determinant of the Jacobian, (K, 1)."""
        return -self.log_scale.sum(-1)


_OF_SPLINES = ("bin_sums", "smallest_bins", "bin_pair")
"""Buffers with the constants of `InverseCoupling`."""


class CouplingFlow(nn.Module):
    """Invertible map of each member's latent space, one for each value of a context.

    Layers of coupling: half of the coordinates, given the other half and the context, go through
    monotone splines (Durkan et al., Neural Spline Flows, 2019), and are then scaled and shifted
    (Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017).

    Parameters
    ----------
    members, dim, context : int
        The halves of `dim` swap from layer to layer; of an odd `dim` the first half is the larger.
    hidden : int or sequence of int
        Widths of the hidden layers of each coupling's network.
    layers, bins : int
        A spline of one bin is the identity.
    activation : {"silu", "softplus", "relu"}
    largest_log_scale : float
        Bound on the logarithm of each scale.
    permuted : collection of int
        The layers, counted from 0, before which a `Permutation` comes. Without one the halves
        stay together.
    normalised : bool
        Whether each of them is a `NormalisedPermutation`.
    """

    def __init__(
        self,
        members: int,
        dim: int,
        context: int,
        hidden: int | Sequence[int],
        layers: int,
        bins: int,
        *,
        activation: str = "silu",
        largest_log_scale: float = LARGEST_LOG_SCALE,
        permuted: Collection[int] = (),
        normalised: bool = False,
    ) -> None:
        super().__init__()
        widths = (hidden,) if isinstance(hidden, int) else tuple(hidden)
        halves = dim - dim // 2, dim // 2
        self.layers = nn.ModuleList()
        for layer in range(layers):
            kept, moved = halves[layer % 2], halves[1 - layer % 2]
            sizes = (kept + context, *widths, moved * (2 + spline_outputs(bins)))
            self.layers.append(MLP(members, sizes, gain=0.01, activation=activation))
        self.dim, self.bins, self.largest_log_scale = dim, bins, largest_log_scale
        for name, constant in zip(_OF_SPLINES, bin_sums(bins), strict=True):
            self.register_buffer(name, constant, persistent=False)
        kind = NormalisedPermutation if normalised else Permutation
        self.permutations = nn.ModuleDict({str(i): kind(members, dim) for i in permuted})

    @property
    def in_one(self) -> list[Tensor] | None:
        """What `InverseCoupling` needs, where weights are trained; it has no second derivatives."""
        if not self.training or self.bins == 1 or self.largest_log_scale != LARGEST_LOG_SCALE:
            return None
        return [self.get_buffer(name) for name in _OF_SPLINES]

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Start each `NormalisedPermutation` at what reaches it of x, (K, N, dim), no context."""
        for layer, permutation in self.permutations.items():
            if isinstance(permutation, NormalisedPermutation):
                permutation.initialise(ConditionedFlow(self, x[..., :0], int(layer))(x))

    def forward(self, context: Tensor) -> ConditionedFlow:
        """The map at a context of shape (..., context)."""
        return ConditionedFlow(self, context, len(self.layers))


class ConditionedFlow(Transform):
    """The first layers of a `CouplingFlow` at one context, as a transform of `(..., K, N, dim)`."""

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    _log_det: Tensor

    def __init__(self, flow: CouplingFlow, context: Tensor, layers: int) -> None:
        super().__init__(cache_size=1)
        self._flow = flow
        self._context = context
        permutations = dict(flow.permutations.items())
        self._steps = [
            (layer, cast("Permutation | None", permutations.get(str(i))))
            for i, layer in enumerate(flow.layers[:layers])
        ]

    def _couple(
        self, layer: nn.Module, kept: Tensor, moved: Tensor, inverse: bool
    ) -> tuple[Tensor, Tensor]:
        """The transformed half, and the log determinant of the map itself, (..., K, N)."""
        if self._context.shape[-1]:
            batch = torch.broadcast_shapes(kept.shape[:-1], self._context.shape[:-1])
            kept = kept.expand(*batch, kept.shape[-1])
            context = self._context.expand(*batch, self._context.shape[-1])
            outputs = layer(torch.cat([kept, context], -1))
        else:
            outputs = layer(kept)
        outputs = outputs.unflatten(-1, (moved.shape[-1], -1))
        if inverse and self._flow.in_one:
            moved = moved.expand(outputs.shape[:-1])
            return InverseCoupling.of(moved, outputs, self._flow.in_one)
        log_scale = bounded(outputs[..., 0], self._flow.largest_log_scale)
        shift = outputs[..., 1]
        moved = moved.expand(shift.shape)
        if inverse:
            moved = (moved - shift) * (-log_scale).exp()
        log_slope = log_scale.new_zeros(())
        if self._flow.bins > 1:
            moved, log_slope = rational_spline(moved, outputs[..., 2:], inverse)
        if inverse:
            return moved, (log_scale - log_slope).sum(-1)
        return moved * log_scale.exp() + shift, (log_slope + log_scale).sum(-1)

    def _call(self, x: Tensor) -> Tensor:
        kept, moved = x.chunk(2, -1)
        volumes = []
        for layer, permutation in self._steps:
            if permutation is not None:
                kept, moved = self._permuted(permutation, kept, moved)
                volumes.append(permutation.log_det)
            moved, volume = self._couple(layer, kept, moved, inverse=False)
            kept, moved = moved, kept
            volumes.append(volume)
        self._log_det = sum(volumes[1:], volumes[0] if volumes else kept.new_zeros(()))
        return _joined(kept, moved)

    def _inverse(self, y: Tensor) -> Tensor:
        first = (self._flow.dim + 1 - len(self._steps) % 2) // 2
        kept, moved = y[..., :first], y[..., first:]
        volumes = []
        for layer, permutation in reversed(self._steps):
            before, volume = self._couple(layer, moved, kept, inverse=True)
            kept, moved = moved, before
            volumes.append(volume)
            if permutation is not None:
                kept, moved = self._permuted(permutation.inverse, kept, moved)
                volumes.append(permutation.log_det)
        self._log_det = sum(volumes[1:], volumes[0] if volumes else kept.new_zeros(()))
        return _joined(kept, moved)

    @staticmethod
    def _permuted(
        order: Callable[[Tensor], Tensor], kept: Tensor, moved: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both halves, as large as before, after their coordinates were put in another order."""
        size = kept.shape[-1]
        joined = order(_joined(kept, moved))
        return joined[..., :size], joined[..., size:]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log determinant of the Jacobian at x, (..., K, N)."""
        cached_x, cached_y = self._cached_x_y
        if x is not cached_x or y is not cached_y:
            self(x)
        return self._log_det


def _joined(first: Tensor, second: Tensor) -> Tensor:
    """Both halves of the coordinates, of which one may have more branches than the other."""
    batch = torch.broadcast_shapes(first.shape[:-1], second.shape[:-1])
    return torch.cat([half.expand(*batch, half.shape[-1]) for half in (first, second)], -1)
