"""Invertible maps of a latent space, one for each member and each value of a context."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints

from pyro_hea.program.networks import MLP

_BOUND = 4.0
"""A spline is the identity outside of [-4, 4]."""

_SMALLEST_BIN = 0.02
"""Least width and height of a bin, as a share of the whole."""


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
        largest_log_scale: float = 2.0,
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
        kind = NormalisedPermutation if normalised else Permutation
        self.permutations = nn.ModuleDict({str(i): kind(members, dim) for i in permuted})

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

    def __init__(self, flow: CouplingFlow, context: Tensor, layers: int) -> None:
        super().__init__(cache_size=1)
        self._flow = flow
        self._context = context
        permutations = dict(flow.permutations.items())
        self._steps = [
            (layer, cast("Permutation | None", permutations.get(str(i))))
            for i, layer in enumerate(flow.layers[:layers])
        ]
        self._log_det = context.new_zeros(())

    def _couple(
        self, layer: nn.Module, kept: Tensor, moved: Tensor, inverse: bool
    ) -> tuple[Tensor, Tensor]:
        """The transformed half, and the log determinant, (..., K, N)."""
        if self._context.shape[-1]:
            batch = torch.broadcast_shapes(kept.shape[:-1], self._context.shape[:-1])
            kept = kept.expand(*batch, kept.shape[-1])
            context = self._context.expand(*batch, self._context.shape[-1])
            outputs = layer(torch.cat([kept, context], -1))
        else:
            outputs = layer(kept)
        outputs = outputs.unflatten(-1, (moved.shape[-1], -1))
        log_scale = _bounded(outputs[..., 0], self._flow.largest_log_scale)
        shift = outputs[..., 1]
        moved = moved.expand(shift.shape)
        if inverse:
            moved = (moved - shift) * (-log_scale).exp()
        log_slope = log_scale.new_zeros(())
        if self._flow.bins > 1:
            moved, log_slope = rational_spline(moved, outputs[..., 2:], inverse)
        if inverse:
            return moved, (log_slope - log_scale).sum(-1)
        return moved * log_scale.exp() + shift, (log_slope + log_scale).sum(-1)

    def _call(self, x: Tensor) -> Tensor:
        kept, moved = x.chunk(2, -1)
        log_det = x.new_zeros(())
        for layer, permutation in self._steps:
            if permutation is not None:
                kept, moved = self._permuted(permutation, kept, moved)
                log_det = log_det + permutation.log_det
            moved, volume = self._couple(layer, kept, moved, inverse=False)
            kept, moved = moved, kept
            log_det = log_det + volume
        self._log_det = log_det
        return _joined(kept, moved)

    def _inverse(self, y: Tensor) -> Tensor:
        first = (self._flow.dim + 1 - len(self._steps) % 2) // 2
        kept, moved = y[..., :first], y[..., first:]
        log_det = y.new_zeros(())
        for layer, permutation in reversed(self._steps):
            before, volume = self._couple(layer, moved, kept, inverse=True)
            kept, moved = moved, before
            log_det = log_det - volume
            if permutation is not None:
                kept, moved = self._permuted(permutation.inverse, kept, moved)
                log_det = log_det + permutation.log_det
        self._log_det = log_det
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


def _bounded(logarithm: Tensor, largest: float = 2.0) -> Tensor:
    """Bound a log scale to (-largest, largest)."""
    return largest * torch.tanh(logarithm / largest)


def _joined(first: Tensor, second: Tensor) -> Tensor:
    """Both halves of the coordinates, of which one may have more branches than the other."""
    batch = torch.broadcast_shapes(first.shape[:-1], second.shape[:-1])
    return torch.cat([half.expand(*batch, half.shape[-1]) for half in (first, second)], -1)


def spline_outputs(bins: int) -> int:
    """Number of parameters of a `rational_spline`."""
    return 3 * bins - 1


def rational_spline(x: Tensor, parameters: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """Monotone rational quadratic splines, each the identity beyond `_BOUND`, or their inverses.

    Durkan et al., Neural Spline Flows (2019), equations 4 to 8.

    Parameters
    ----------
    x : Tensor, shape (...)
    parameters : Tensor, shape (..., 3 B - 1)
        Any real numbers: widths and heights of B bins, and the slopes between them. With zeros
        the spline is the identity.
    inverse : bool

    Returns
    -------
    y, log_slope : Tensor, shape (...)
        Values, and the logarithm of the slope at x, of the spline or of its inverse.

    Examples
    --------
    >>> y, _ = rational_spline(torch.tensor([1.0, 5.0]), torch.ones(2, 5), inverse=False)
    >>> x, _ = rational_spline(y, torch.ones(2, 5), inverse=True)
    >>> x.round(decimals=3)
    tensor([1., 5.])
    """
    bins = (parameters.shape[-1] + 1) // 3
    shares = parameters[..., : 2 * bins].unflatten(-1, (2, bins)).softmax(-1)
    sizes = 2 * _BOUND * (1 - _SMALLEST_BIN * bins) * shares + 2 * _BOUND * _SMALLEST_BIN
    ends = sizes.cumsum(-1) - _BOUND
    inner = _bounded(parameters[..., 2 * bins :]).exp()
    one = inner.new_ones(()).expand(*inner.shape[:-1], 1)
    slopes = torch.cat([one, inner, one], -1)
    within = x.clamp(-_BOUND, _BOUND)
    passed = within.unsqueeze(-1) >= ends[..., 1 if inverse else 0, :-1]
    place = passed.sum(-1, keepdim=True)
    at = place.unsqueeze(-2).expand(*place.shape[:-1], 2, 1)
    width, height = sizes.gather(-1, at).squeeze(-1).unbind(-1)
    right, top = ends.gather(-1, at).squeeze(-1).unbind(-1)
    left, bottom = right - width, top - height
    first, last = slopes.gather(-1, torch.cat([place, place + 1], -1)).unbind(-1)
    mean = height / width
    bend = first + last - 2 * mean
    if inverse:
        rise = within - bottom
        a = height * (mean - first) + rise * bend
        b = height * first - rise * bend
        root = (b.square() + 4 * a * mean * rise).clamp_min(0).sqrt()
        share = 2 * mean * rise / (b + root)
        found = left + share * width
    else:
        share = (within - left) / width
    both = share * (1 - share)
    under = mean + bend * both
    if not inverse:
        found = bottom + height * (mean * share.square() + first * both) / under
    over = last * share.square() + 2 * mean * both + first * (1 - share).square()
    log_slope = (over * (mean / under).square()).log()
    outside = within != x
    log_slope = log_slope.masked_fill(outside, 0.0)
    return torch.where(outside, x, found), -log_slope if inverse else log_slope
