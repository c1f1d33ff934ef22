"""Monotone rational quadratic splines, and the inverse of a coupling with its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BOUND = 4.0
"""A spline is the identity outside of [-4, 4]."""

SMALLEST_BIN = 0.02
"""Least width and height of a bin, as a share of the whole."""


LARGEST_LOG_SCALE = 2.0
"""Bound on the logarithms of scales and slopes, unless another is given."""


def bounded(logarithm: Tensor, largest: float = LARGEST_LOG_SCALE) -> Tensor:
    """Bound a log scale to (-largest, largest)."""
    return largest * torch.tanh(logarithm / largest)


def spline_outputs(bins: int) -> int:
    """Number of parameters of a `rational_spline`."""
    return 3 * bins - 1


def rational_spline(x: Tensor, parameters: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """Monotone rational quadratic splines, each the identity beyond `BOUND`, or their inverses.

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
    first = parameters[..., : 2 * bins].movedim(-1, 0)  # where a softmax is fast on a CPU
    shares = first.unflatten(0, (2, bins)).softmax(1).movedim((0, 1), (-2, -1))
    sizes = 2 * BOUND * (1 - SMALLEST_BIN * bins) * shares + 2 * BOUND * SMALLEST_BIN
    ends = sizes.cumsum(-1) - BOUND
    inner = bounded(parameters[..., 2 * bins :]).exp()
    one = inner.new_ones(()).expand(*inner.shape[:-1], 1)
    slopes = torch.cat([one, inner, one], -1)
    within = x.clamp(-BOUND, BOUND)
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


_SMALLEST = 2 * BOUND * SMALLEST_BIN
"""Least width and height of a bin."""


def bin_sums(bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """What adds up the bins before each end (B, B+1), the ends of smallest bins (B+1,), 0 and 1.

    The ends are in units of such a bin. All are exact in any precision.

    Examples
    --------
    >>> bin_sums(2)
    (tensor([[0., 1., 1.],
            [0., 0., 1.]]), tensor([-25., -24., -23.]), tensor([0, 1]))
    """
    ends = torch.arange(bins + 1.0) - BOUND / _SMALLEST
    return torch.ones(bins, bins + 1).triu(1), ends, torch.arange(2)


class InverseCoupling(torch.autograd.Function):
    """A coupling's inverse, a scale and shift and then an inverse `rational_spline`.

    It is what the formulas of `rational_spline` and torch's own gradients give, in a third of the
    operations. With ξ and u the shares of a bin's width and height, and a and b the slopes at its
    ends in these units, e = a + b - 2, q = ξ (1 - ξ), the spline is the root of
    ξ² + (a - u e) q = u, and dξ/du = (1 + e q) / r, where r is the derivative of the left side
    by ξ. The derivatives of ξ and of log(dξ/du) follow from these.

    Called with y (..., d); with parameters (..., d, 3 B + 1), which are the log scale before it is
    bounded to (-2, 2), the shift, and those of the spline; and with `bin_sums`. Gives x (..., d)
    and the log determinant of the coupling itself, (...).
    """

    @classmethod
    def of(
        cls, y: Tensor, parameters: Tensor, constants: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The inverse, with the constants of `bin_sums`."""
        apply: Any = cls.apply
        return cast("tuple[Tensor, Tensor]", apply(y, parameters, *constants))

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, parameters: Tensor, sums: Tensor, smallest: Tensor, pair: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Map y to x."""
        bins, shape = len(sums), y.shape
        p = parameters.movedim(-1, 0)  # over the first dimension a softmax is fast on a CPU
        shares = p[2 : 2 + 2 * bins].unflatten(0, (2, bins)).softmax(1)
        flat = sums[0, 0].expand(1, *shape)  # 0
        # 2 tanh(x / 2) = 4 sigmoid(x) - 2
        sigmoid = torch.cat([p[:1], flat, p[2 + 2 * bins :], flat]).sigmoid()
        logs = torch.rsub(sigmoid, -2.0, alpha=-4.0)
        slopes = logs.exp()  # of scale and shift, and then at the ends of the bins
        left_over = 2 * BOUND - bins * _SMALLEST  # which the shares are of
        add_up = sums.mT.expand(2, -1, -1)
        ends = torch.baddbmm(
            smallest.unsqueeze(-1), add_up, shares.flatten(2), beta=_SMALLEST, alpha=left_over
        ).unflatten(-1, shape)
        scaled = (y - p[1]) / slopes[0]
        within = scaled.clamp(-BOUND, BOUND)
        at = (within >= ends[1, 1:-1]).sum(0) + pair.view(2, *[1] * len(shape))
        of_bin = ends.gather(1, at.expand(2, *at.shape))
        sizes = of_bin[:, 1] - of_bin[:, 0]
        (left, bottom), (width, height) = of_bin[:, 0], sizes
        mean = width / height
        ab = slopes[1:].gather(0, at) * mean
        e = ab.sum(0) - 2
        u = (within - bottom) / height
        b = torch.addcmul(ab[0], u, e, value=-1)
        root = torch.add(
            torch.sub(b, u, alpha=2).square(), torch.addcmul(u, u, u, value=-1), alpha=4
        ).sqrt()
        share = u / torch.lerp(b, root, 0.5)
        both = torch.addcmul(share, share, share, value=-1)
        under = 1 + e * both
        inside = within == scaled
        x = torch.where(inside, torch.addcmul(left, width, share), scaled)
        log_slope = (under * mean / root).log()
        ctx.save_for_backward(
            *(scaled, inside, sigmoid, slopes, shares, at, sizes, ab, e, u, b, root, share),
            *(both, under, sums),
        )
        return x, (logs[0] - log_slope).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_x: Tensor, of_log_det: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of y and of the parameters."""
        scaled, inside, sigmoid, slopes, shares, at, sizes, ab, e, u, b, root, share, *rest = (
            ctx.saved_tensors
        )
        both, under, sums = rest
        width, height = sizes
        of_minus = of_log_det.unsqueeze(-1)  # the log slope
        tilt = torch.rsub(share, 1.0, alpha=2.0)
        by_share = torch.sub(e * tilt / under, (1 - b) / root, alpha=2)  # of the log slope
        of_share = torch.addcmul(of_x * width, of_minus, by_share, value=-1)
        k = torch.addcmul(of_share * both, of_minus, tilt, value=-1) / root
        of_b = torch.addcmul(u * k, of_minus / under, both, value=-1)
        of_u = torch.addcmul(of_share / root, e, k)
        of_logs = torch.stack([of_b - k, of_b]) * ab
        rest = of_logs.sum(0) - of_minus
        of_width = torch.addcmul(rest / width, of_x, share)
        of_within = of_u / height
        lower = torch.addcmul(rest, of_u, u) / height
        of_bin = torch.stack([of_x - of_width, of_width, lower - of_within, -lower, *of_logs])
        of_ends = slopes.new_zeros(3, len(slopes) - 1, *at.shape[1:])
        of_ends.scatter_(1, at.expand(3, *at.shape), of_bin.unflatten(0, (3, 2)))
        of_shares = (2 * BOUND - len(sums) * _SMALLEST) * (sums @ of_ends[:2].flatten(2))
        of_shares = torch.ops.aten._softmax_backward_data(
            of_shares.view_as(shares), shares, 1, shares.dtype
        )
        of_scaled = torch.where(inside, of_within, of_x)
        of_y = of_scaled / slopes[0]
        of_scale = torch.addcmul(of_minus, of_scaled, scaled, value=-1)
        of_raw = torch.cat([of_scale.unsqueeze(0), of_ends[2]])
        of_raw = 4 * torch.ops.aten.sigmoid_backward(of_raw, sigmoid)
        parts = [of_raw[:1], -of_y.unsqueeze(0), of_shares.flatten(0, 1), of_raw[2:-1]]
        return of_y, torch.cat(parts).movedim(0, -1), None, None, None
