"""Networks with a leading member axis: K small networks evaluated as one batched product.

Inputs are `(..., N, in)` (shared by the members) or `(..., K, N, in)`; outputs are
`(..., K, N, out)`. Each member has its own weights, and no value crosses from one to another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints

from pyro_hea.program.splines import (
    LARGEST_LOG_SCALE,
    InverseCoupling,
    bin_sums,
    bounded,
    rational_spline,
    spline_outputs,
)

MEMBER_DIM = -3
"""Axis of the members in activations `(..., K, N, features)` and in weights `(K, in, out)`."""


class MemberLinear(nn.Module):
    """K affine maps side by side.

    Parameters
    ----------
    members, inputs, outputs : int
        Weights have shape (K, inputs, outputs), biases (K, 1, outputs).
    gain : float
        Scale of the initial weights: 0 gives a map that starts at zero.
    """

    def __init__(self, members: int, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        bound = gain * (3.0 / inputs) ** 0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Map (..., N, inputs) or (..., K, N, inputs) to (..., K, N, outputs).

        The last of the inputs may come apart as `given`, in branches (...) that the others do not
        have; the others are then mapped once.
        """
        if given is None and x.dim() == -MEMBER_DIM - 1:
            x = x.expand(len(self.weight), -1, -1)
        if given is None and x.dim() == -MEMBER_DIM and self.weight.shape[0] == x.shape[0]:
            return torch.baddbmm(self.bias, x, self.weight)
        if given is None:
            return _product(x, self.weight) + self.bias
        common, branching = self.weight.split([x.shape[-1], given.shape[-1]], -2)
        return x @ common + self.bias + _product(given, branching)


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """The matrix products `x @ weight`.

    Branches of several targets are one product for each member; broadcasting copies the weight.
    """
    if x.dim() <= -MEMBER_DIM + 1:
        return x @ weight
    rows = x.movedim(MEMBER_DIM, 0)
    return (rows.flatten(1, -2) @ weight).unflatten(1, rows.shape[1:-1]).movedim(0, MEMBER_DIM)


class Dropout(nn.Dropout):
    """Dropout of the same units of an alloy in each branch of an enumeration."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop units of (..., K, N, features)."""
        if not self.training:
            return x
        kept = 1 - self.p
        shape = x.shape[MEMBER_DIM:]
        # Four units share one random number, since drawing them takes most of the time.
        drawn = x.new_empty(-(-shape.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        chances = drawn.view(torch.int16)[: shape.numel()].view(shape)
        return x * (chances < round(kept * 2**16) - 2**15).div(kept)


class MLP(nn.Sequential):
    """Member-batched layers with an activation and dropout between them.

    Parameters
    ----------
    members : int
    sizes : sequence of int
        Input, hidden and output widths.
    dropout : float
        Probability that a hidden unit is dropped while training.
    gain : float
        Scale of the last layer's initial weights.
    activation : {"silu", "softplus", "relu"}
    """

    def __init__(
        self,
        members: int,
        sizes: Sequence[int],
        dropout: float = 0.0,
        gain: float = 1.0,
        activation: str = "silu",
    ) -> None:
        kind = {"silu": nn.SiLU, "softplus": nn.Softplus, "relu": nn.ReLU}[activation]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes[:-1]):
            layers += [MemberLinear(members, inputs, outputs), kind()]
            if dropout:
                layers.append(Dropout(dropout))
        super().__init__(*layers, MemberLinear(members, sizes[-2], sizes[-1], gain))

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Map `x`, and `given` as in `MemberLinear`, to (..., K, N, outputs)."""
        first, *others = self
        x = first(x, given)
        for layer in others:
            x = layer(x)
        return x


class PiecewiseLinear(nn.Module):
    """Numeric embedding of features by how far each has passed through quantile bins.

    Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning (2022). A
    value beyond the training range saturates, so that the network does not extrapolate.

    Parameters
    ----------
    edges : Tensor, shape (F, B + 1)
        Bin edges of each feature, increasing; a bin of no width embeds as a step.
    """

    edges: Tensor

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("edges", edges)

    @property
    def outputs(self) -> int:
        """Width of the embedding, F times the number of bins."""
        return self.edges.shape[0] * (self.edges.shape[1] - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Embed features (..., F) as (..., F * B)."""
        low, high = self.edges[:, :-1], self.edges[:, 1:]
        width = (high - low).clamp_min(torch.finfo(x.dtype).tiny)
        return ((x[..., None] - low) / width).clamp(0.0, 1.0).flatten(-2)


class SmoothedPiecewiseLinear(PiecewiseLinear):
    """The same embedding with no bin narrower than a share of its feature's range.

    For gradients with respect to the features, which are steep in a narrow bin.

    Parameters
    ----------
    edges : Tensor, shape (F, B + 1)
    share : float
    """

    def __init__(self, edges: Tensor, share: float) -> None:
        super().__init__(edges)
        self._share = share

    def forward(self, x: Tensor) -> Tensor:
        """Embed features (..., F) as (..., F * B)."""
        low, high = self.edges[:, :-1], self.edges[:, 1:]
        least = self._share * (self.edges[:, -1:] - self.edges[:, :1])
        width = (high - low).maximum(least).clamp_min(torch.finfo(x.dtype).eps)
        return ((x[..., None] - (low + high) / 2) / width + 0.5).clamp(0.0, 1.0).flatten(-2)


class NoEmbedding(nn.Module):
    """The features themselves.

    Parameters
    ----------
    edges : Tensor, shape (F, B + 1)
        As of `PiecewiseLinear`; only its device and dtype are used.
    """

    edges: Tensor

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("edges", edges)

    @property
    def outputs(self) -> int:
        """The number of features F."""
        return self.edges.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        """The features (..., F) themselves."""
        return x


class MemberShift(nn.Module):
    """K linear maps without a constant, which start at zero.

    Parameters
    ----------
    members, inputs, outputs : int
    """

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., N, inputs) or (..., K, N, inputs) to (..., K, N, outputs)."""
        return x @ self.weight


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
