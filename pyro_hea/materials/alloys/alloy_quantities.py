"""What formulas of features read: largest fractions, properties of elements, enthalpies of pairs.

An alloy holds a few of the seventy elements, so only those are gathered.
"""

from __future__ import annotations

import torch
from torch import Tensor

GAS_CONSTANT = 8.314
"""J/(mol K), with the digits of the published features."""

_LEAST_FRACTION = 1e-12
"""Added inside logarithms of fractions that may be 0 and have a gradient."""


class AlloyQuantities:
    """Quantities that the formulas read, for alloys of at most `k` elements each."""

    def __init__(self, fractions: Tensor, properties: dict[str, Tensor], enthalpy: Tensor, k: int):
        self.c, index = fractions.topk(k, dim=-1)
        self.present = self.c > 0
        self._index = index
        self._properties = properties
        self._at = {name: values[index] for name, values in properties.items()}
        self._enthalpy = enthalpy

    def property(self, name: str) -> Tensor:
        """Property `name` of each alloy's elements, (..., k)."""
        return self._at[name]

    def fraction(self, rank: int) -> Tensor:
        """The fraction of that rank, from 0 for the largest; 0 where there are fewer elements."""
        return self.c[..., rank] if rank < self.c.shape[-1] else torch.zeros_like(self.c[..., 0])

    def mean(self, name: str) -> Tensor:
        """Mean of a property, weighted by the fractions."""
        return (self.c * self.property(name)).sum(-1)

    def spread(self, name: str, relative: bool = False) -> Tensor:
        """Standard deviation of a property, in units of its mean if relative."""
        values, mean = self.property(name), self.mean(name)[..., None]
        deviation = 1 - values / mean if relative else values - mean
        return _sqrt((self.c * deviation.square()).sum(-1))

    def extreme(self, name: str, sign: float) -> Tensor:
        """The largest value of a property for sign 1, the smallest for sign -1."""
        return sign * self._largest(sign * self.property(name), self.present)

    def range(self, name: str) -> Tensor:
        """Difference of the extremes of a property."""
        return self.extreme(name, 1.0) - self.extreme(name, -1.0)

    def entropy(self, offset: float = 0.0) -> Tensor:
        """Of mixing, in J/(mol K); the offset is added inside the logarithm."""
        logs = torch.where(self.present, self.c, 1.0).add(offset).log()
        return -GAS_CONSTANT * (self.c * logs).sum(-1)

    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Enthalpy, weight c_i c_j (summing to 1) and presence of the pairs, (..., k (k-1) / 2)."""
        i, j = torch.triu_indices(self.c.shape[-1], self.c.shape[-1], 1, device=self.c.device)
        enthalpy = self._enthalpy[self._index[..., i], self._index[..., j]]
        weight = self.c[..., i] * self.c[..., j]
        total = weight.sum(-1, keepdim=True)
        return enthalpy, weight / total.where(total > 0, 1.0), weight > 0

    def mixing_enthalpy(self) -> Tensor:
        """In kJ/mol."""
        paired = self._enthalpy[self._index[..., :, None], self._index[..., None, :]]
        return 2 * torch.einsum("...i,...ij,...j->...", self.c, paired, self.c)

    def pair_extreme(self, sign: float) -> Tensor:
        """Largest enthalpy of a pair for sign 1, the smallest for sign -1; 0 without a pair."""
        enthalpy, _, present = self.pairs()
        return sign * self._largest(sign * enthalpy, present)

    def pair_spread(self) -> Tensor:
        """Standard deviation of the enthalpies of the pairs."""
        enthalpy, weight, _ = self.pairs()
        mean = (weight * enthalpy).sum(-1, keepdim=True)
        return _sqrt((weight * (enthalpy - mean).square()).sum(-1))

    @staticmethod
    def _largest(values: Tensor, present: Tensor) -> Tensor:
        """Largest of the values that are present; 0 where none is (a pure element has no pair)."""
        if values.shape[-1] == 0:
            return values.sum(-1)
        largest = values.where(present, -torch.inf).amax(-1)
        return largest.where(present.any(-1), 0.0)


class RelaxedAlloys(AlloyQuantities):
    """Alloys whose elements are present to a degree, so that every feature is continuous.

    In an extreme over the elements, each counts by its presence, measured from the other end of
    the element table.
    """

    def __init__(
        self,
        fractions: Tensor,
        presence: Tensor,
        properties: dict[str, Tensor],
        enthalpy: Tensor,
        k: int,
    ):
        super().__init__(fractions, properties, enthalpy, k)
        self.present = presence.gather(-1, self._index)

    def extreme(self, name: str, sign: float) -> Tensor:
        """The largest value of a property for sign 1, the smallest for sign -1."""
        least = (sign * self._properties[name]).amin()
        return sign * _relaxed_largest(sign * self.property(name), self.present, least)

    def entropy(self, offset: float = 0.0) -> Tensor:
        """Of mixing, in J/(mol K); the offset is added inside the logarithm."""
        return -GAS_CONSTANT * (self.c * (self.c + max(offset, _LEAST_FRACTION)).log()).sum(-1)

    def pair_extreme(self, sign: float) -> Tensor:
        """Largest enthalpy of a pair for sign 1, the smallest for sign -1; 0 without a pair."""
        i, j = torch.triu_indices(self.c.shape[-1], self.c.shape[-1], 1, device=self.c.device)
        if not len(i):
            return self.c.new_zeros(self.c.shape[:-1])
        enthalpy = sign * self._enthalpy[self._index[..., i], self._index[..., j]]
        presence = self.present[..., i] * self.present[..., j]
        return sign * _relaxed_largest(enthalpy, presence, (sign * self._enthalpy).amin())


def _relaxed_largest(values: Tensor, presence: Tensor, least: Tensor) -> Tensor:
    return (least + presence * (values - least)).amax(-1)


def _sqrt(variance: Tensor) -> Tensor:
    """Square root with a gradient of 0 at 0, where a pure element sits."""
    positive = variance > 0
    return torch.where(positive, variance.where(positive, 1.0).sqrt(), 0.0)
