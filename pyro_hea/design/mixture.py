"""A mixture of normals in each member: where chains jump to, and the guide of SVI."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

DEFENSIVE = 0.1
"""Share of the mixture that is the prior, so that it is nowhere much thinner than a density."""

_ONE = torch.Size()


class Mixture(TorchDistribution):
    """Normals of one width and a standard normal, over u (..., K, d).

    Parameters
    ----------
    centres : Tensor, shape (K, M, d)
    width : Tensor, shape (K, 1, d)
    share : float
        Of the standard normal.
    """

    arg_constraints: ClassVar = {}
    support = constraints.real_vector

    def __init__(self, centres: Tensor, width: Tensor, share: float = DEFENSIVE) -> None:
        self._centres, self._width, self._share = centres, width, share
        super().__init__(centres.shape[:1], centres.shape[2:], validate_args=False)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        """Points of each member, (..., K, d)."""
        members, parts, dim = self._centres.shape
        count = torch.Size(sample_shape).numel()
        rows = torch.randint(parts, (members, count, 1)).expand(-1, -1, dim)
        noise = torch.randn(members, count, dim).to(self._centres)
        wide = torch.rand(members, count, 1) < self._share
        u = noise.where(wide, self._centres.gather(1, rows) + self._width * noise)
        return u.transpose(0, 1).reshape(*sample_shape, members, dim)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density at u (n, K, d), (n, K)."""
        u = value.transpose(0, 1)
        away = torch.cdist(u / self._width, self._centres / self._width).square() / 2
        each = (-away).logsumexp(-1) - self._width.log().sum(-1) - math.log(away.shape[-1])
        if self._share:
            prior = -u.square().sum(-1) / 2 + math.log(self._share)
            each = torch.logaddexp(each + math.log1p(-self._share), prior)
        return each.T - u.shape[-1] / 2 * math.log(2 * math.pi)
