"""A normal whose tails are stretched and whose middle is left as it is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import Transform


class Tails(Transform):
    """u to sinh(w arcsinh u) / w: u itself in the middle, and of order u^w far out.

    The symmetric sinh-arcsinh transformation (Jones and Pewsey, Sinh-arcsinh distributions,
    Biometrika 96, 2009), scaled to a slope of 1 at 0, with a w of its own below and above 0. Of a
    normal, w > 1 makes a heavier tail and w < 1 a lighter one.

    Parameters
    ----------
    below, above : Tensor
        w of negative and of positive u, above 0.

    Examples
    --------
    >>> Tails(torch.tensor(1.5), torch.tensor(1.0))(torch.tensor([-3.0, 0.0, 0.1, 3.0]))
    tensor([-5.0773,  0.0000,  0.1000,  3.0000])
    """

    domain = codomain = constraints.real
    bijective = True
    sign = 1

    def __init__(self, below: Tensor, above: Tensor) -> None:
        super().__init__()
        self.below, self.above = below, above

    def _weight(self, x: Tensor) -> Tensor:
        return torch.where(x < 0, self.below, self.above)

    def _call(self, x: Tensor) -> Tensor:
        weight = self._weight(x)
        return (weight * x.asinh()).sinh() / weight

    def _inverse(self, y: Tensor) -> Tensor:
        weight = self._weight(y)
        return ((weight * y).asinh() / weight).sinh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log of the slope, of the shape of x."""
        slope = (self._weight(x) * y).square().log1p() - x.square().log1p()  # cosh² = 1 + sinh²
        return slope / 2
