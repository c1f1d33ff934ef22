"""Distributions of a composition, over fractions on the simplex."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from pyro.ops.provenance import detach_provenance
from torch import Tensor

_ONE = torch.Size()
"""The shape of a single draw."""


class CompositionMultinomial(TorchDistribution):
    """Fractions of `total_count` atoms that are drawn by element.

    The log probability is the multinomial's at `total_count * fractions`, with the factorials
    continued to fractional counts, as arXiv:2409.06740 uses it.

    Parameters
    ----------
    total_count : int
        Atoms counted; more of them make the likelihood sharper.
    logits : Tensor, shape (..., E)

    Examples
    --------
    >>> d = CompositionMultinomial(2, torch.zeros(2))
    >>> d.log_prob(torch.tensor([0.5, 0.5])).exp()
    tensor(0.5000)
    """

    arg_constraints: ClassVar = {"logits": constraints.real_vector}
    support = constraints.simplex

    def __init__(self, total_count: int, logits: Tensor, validate_args: bool | None = None) -> None:
        self.total_count = total_count
        self.logits = logits.log_softmax(-1)
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Expected fractions, (..., E)."""
        return self.logits.exp()

    def expand(self, batch_shape: Any, _instance: Any = None) -> CompositionMultinomial:
        """The same distribution for a larger batch."""
        shape = torch.Size(batch_shape) + self.event_shape
        return CompositionMultinomial(self.total_count, self.logits.expand(shape), False)

    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        """Draw fractions that are multiples of 1 / total_count."""
        logits = detach_provenance(self.logits)  # which render_model adds, and torch refuses
        share = logits.double().exp().expand(self._extended_shape(sample_shape))
        # One element after the other, each a binomial of the atoms that are left: some steps for
        # all rows at once, where drawing atom by atom takes as many as there are atoms.
        rest = share.flip(-1).cumsum(-1).flip(-1)
        odds = (share / rest.clamp_min(torch.finfo(share.dtype).tiny)).clamp(0.0, 1.0)
        left = torch.full_like(share[..., 0], self.total_count)
        counts = []
        for column in odds[..., :-1].unbind(-1):
            counts.append(torch.binomial(left, column.contiguous()))
            left = left - counts[-1]
        return torch.stack([*counts, left], -1).to(logits) / self.total_count

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of fractions, (...,)."""
        counts = self.total_count * value
        coefficient = torch.lgamma(counts.sum(-1) + 1) - torch.lgamma(counts + 1).sum(-1)
        return coefficient + (counts * self.logits).sum(-1)
