"""Networks with a leading member axis: K small networks evaluated as one batched product.

Inputs are `(..., N, in)` (shared by the members) or `(..., K, N, in)`; outputs are
`(..., K, N, out)`. Each member has its own weights, and no value crosses from one to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

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
