"""Equivalents of configurations by a symmetry of the energy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.disorder.ideal import IdealSolution
    from pyro_hea.disorder.sites import Sites
    from pyro_hea.disorder.surrogate import Surrogate

_SAME = 0.02
"""In Å."""

_MOST_VARIANTS = 4


@dataclass(frozen=True, eq=False)
class Variant:
    """An equivalent configuration: other sites, and other species.

    Attributes
    ----------
    sites : Tensor of int, shape (N,)
    species : Tensor of int, shape (C,)
    """

    sites: Tensor
    species: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The equivalents of configurations (..., N)."""
        return self.species[x[..., self.sites]]

    def undo(self, x: Tensor) -> Tensor:
        """What the configurations are equivalents of."""
        return self.species.argsort()[x][..., self.sites.argsort()]


def unchanged(ideal: IdealSolution) -> Variant:
    """The variant that changes nothing."""
    return Variant(torch.arange(ideal.sites), torch.arange(len(ideal.species)))


def variants(
    sites: Sites, ideal: IdealSolution, surrogate: Surrogate, rng: np.random.Generator
) -> list[Variant]:
    """Some symmetry of the energy: to neighbouring sites, and of species for one another.

    An order on sublattices, such as B2 or L1₂, is carried to its equivalents by translations to
    nearest neighbours; that of the Ising model by turning every spin.
    """
    places = [np.arange(len(sites))]
    inverse = np.linalg.inv(sites.cell)
    start = sites.positions[0]
    known: list[NDArray[np.float64]] = []
    for permutation in sites.permutations:
        moved = (sites.positions[permutation] - sites.positions) @ inverse
        moved = (moved - moved[0]) - np.round(moved - moved[0])
        first = sites.positions[permutation[0]] - start
        first = (first @ inverse - np.round(first @ inverse)) @ sites.cell
        length = np.linalg.norm(first)
        near = abs(length - sites.shells[0].distance) < _SAME if sites.shells else False
        if not near or np.abs(moved).max() > 1e-3:
            continue
        if all(abs(first @ other) < (1 - 1e-3) * length**2 for other in known):
            known.append(first)
            places.append(permutation)
    x = ideal.sample(50, rng)
    energies = surrogate.energies(x)
    species = []
    for order in permutations(range(len(ideal.species))):
        same = np.allclose(ideal.fractions[list(order)], ideal.fractions)
        change = surrogate.energies(np.array(order, np.int8)[x]) - energies
        if same and np.abs(change).max() < 1e-3 * max(float(energies.std()), 1e-12):
            species.append(order)
    return [
        Variant(torch.tensor(place), torch.tensor(order))
        for place in places[:_MOST_VARIANTS]
        for order in species[:_MOST_VARIANTS]
    ]
