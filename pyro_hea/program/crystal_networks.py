"""Networks of crystals: features as the heads read them, and elements on the roles of a formula."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_hea.program.networks import MemberLinear

FARTHEST = 5.0
"""Standard deviations beyond which a feature counts as that far."""

_WIDTH = 16
"""Numbers that stand for an element."""


class CrystalFeatures(nn.Module):
    """What the heads read: standardised features, fractions, and whether the structure is known.

    Parameters
    ----------
    elements : int
    of_composition, of_structure, of_both : int
        How many there are.
    """

    def __init__(self, elements: int, of_composition: int, of_structure: int, of_both: int) -> None:
        super().__init__()
        self.of_composition = of_composition
        self.outputs = elements + of_composition + of_structure + of_both + 1

    def forward(self, features: Tensor, known: Tensor, fractions: Tensor) -> Tensor:
        """Features (N, F), those of the structure as 0 where it is not `known` (N,), and roots.

        Square roots of the fractions (N, E) tell the elements apart, which the features do not.
        """
        x = features.clamp(-FARTHEST, FARTHEST)
        seen = known.to(x).unsqueeze(-1)
        composition, structure = x.tensor_split([self.of_composition], -1)
        return torch.cat([composition, structure * seen, seen, fractions.sqrt()], -1)


class CompositionStatistics(nn.Module):
    """What networks read of a composition that is drawn as well as of one that is known.

    Parameters
    ----------
    properties : Tensor, shape (E, Q)
        Of the elements, standardised.
    """

    properties: Tensor

    def __init__(self, properties: Tensor) -> None:
        super().__init__()
        self.register_buffer("properties", properties, persistent=False)
        self.outputs = len(properties) + 4 * properties.shape[1]

    def forward(self, fractions: Tensor) -> Tensor:
        """Roots of fractions (..., E); mean, mean deviation, least and largest of each property.

        Examples
        --------
        >>> of = CompositionStatistics(torch.tensor([[1.0], [3.0], [9.0]]))
        >>> of(torch.tensor([0.25, 0.75, 0.0]))[3:]
        tensor([2.5000, 0.7500, 1.0000, 3.0000])
        """
        present = (fractions > 0).unsqueeze(-1)
        mean = fractions @ self.properties
        away = (self.properties - mean.unsqueeze(-2)).abs()
        spread = (fractions.unsqueeze(-1) * away).sum(-2)
        low = self.properties.masked_fill(~present, torch.inf).amin(-2)
        high = self.properties.masked_fill(~present, -torch.inf).amax(-2)
        return torch.cat([fractions.sqrt(), mean, spread, low, high], -1)


class ElementVectors(nn.Module):
    """A vector for each element, and linear maps between a code and the vectors on the roles.

    What is linear holds for sets of elements that no training crystal has.

    Parameters
    ----------
    members, elements, roles : int
    dim : int
        Width d of the code.
    """

    def __init__(self, members: int, elements: int, roles: int, dim: int) -> None:
        super().__init__()
        self.roles = roles
        self.vectors = nn.Parameter(torch.randn(members, elements, _WIDTH))
        self.to_code = MemberLinear(members, roles * _WIDTH, dim)
        self.to_roles = MemberLinear(members, dim, roles * _WIDTH)
        self.log_sharpness = nn.Parameter(torch.zeros(members, 1, 1, 1))

    def encode(self, elements: Tensor, present: Tensor) -> Tensor:
        """Elements (N, R) on the roles that are `present` (N, R), as a code (K, N, d)."""
        flat = self.vectors.index_select(-2, elements.flatten())
        chosen = flat.unflatten(-2, elements.shape) * present.unsqueeze(-1)
        code: Tensor = self.to_code(chosen.flatten(-2))
        return code

    def logits(self, code: Tensor) -> Tensor:
        """Log odds of each element on each role, (..., K, N, R, E), by the distance of vectors."""
        wanted = self.to_roles(code).unflatten(-1, (self.roles, -1))
        near = wanted.flatten(-3, -2) @ self.vectors.mT
        near = near - self.vectors.square().sum(-1).unsqueeze(-2) / 2
        return near.unflatten(-2, wanted.shape[-3:-1]) * self.log_sharpness.exp()
