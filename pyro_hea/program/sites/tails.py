"""A normal whose tails are stretched and whose middle is left as it is."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import Transform


class Tails(Transform):
    """u to sinh(w arcsinh u) / w: u itself in the middle, and of order u^w far out.

    The symmetric sinh-arcsinh transformation (Jones and Pewsey, Sinh-arcsinh distributions,
    Biometrika 96, 2009), scaled to a slope of 1 at 0. Of a normal, w > 1 makes heavier tails and
    w < 1 lighter ones.

    Parameters
    ----------
    weight : Tensor
        w, above 0.

    Examples
    --------
    >>> import torch
    >>> Tails(torch.tensor(1.5))(torch.tensor([-3.0, 0.0, 0.1, 3.0]))
    tensor([-5.0773,  0.0000,  0.1002,  5.0773])
    """

    domain = codomain = constraints.real
    bijective = True
    sign = 1

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def _call(self, x: Tensor) -> Tensor:
        return (self.weight * x.asinh()).sinh() / self.weight

    def _inverse(self, y: Tensor) -> Tensor:
        return ((self.weight * y).asinh() / self.weight).sinh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log of the slope, of the shape of x."""
        slope = (self.weight * y).square().log1p() - x.square().log1p()  # cosh² = 1 + sinh²
        return slope / 2
