"""Counts of species and of pairs of neighbours, which energies are explained by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.sites import Shell, Sites


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """How many sites have each species, and how many pairs of each shell each two species.

    All are linear or quadratic in the one-hot configuration, so that an energy that is linear in
    them is one quadratic form.

    Attributes
    ----------
    sites : Sites
    species : tuple of str
    apart : bool
        Whether sites are counted by themselves too where no symmetry makes them equal, as in
        environments that are not alike on all sides.
    """

    sites: Sites
    species: tuple[str, ...]
    apart: bool = False

    @cached_property
    def _groups(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """Sites that are counted together, with their name."""
        types = self.sites.types
        groups = [(self.sites.labels[kind], types == kind) for kind in np.unique(types)]
        if self.apart:
            orbits = self.sites.permutations.min(0)
            every = [(f"like site {o}", orbits == o) for o in np.unique(orbits)]
            groups += [g for g in every if not any((g[1] == of).all() for _, of in groups)]
        return groups

    @cached_property
    def names(self) -> list[tuple[str, str]]:
        """Group and name of each feature: a kind of site, or a shell, and what is counted."""
        names = []
        for label, _ in self._groups:
            names += [(label, f"count of {name}") for name in self.species]
        for place, shell in enumerate(self.sites.shells):
            group = f"shell {place + 1}, {shell.distance:.2f} Å"
            names += [(group, f"{self.species[a]}-{self.species[b]}") for a, b in self._of(shell)]
        return names

    def _of(self, shell: Shell) -> list[tuple[int, int]]:
        """Ordered pairs of species where the two sites differ in kind, else unordered ones."""
        ordered = shell.types[0] != shell.types[1]
        every = product(range(len(self.species)), repeat=2)
        return [(a, b) for a, b in every if ordered or a <= b]

    def __call__(self, occupations: NDArray[np.int8]) -> NDArray[np.float64]:
        """Features of configurations (S, N), as (S, F)."""
        species = len(self.species)
        columns = []
        for _, of in self._groups:
            here = occupations[:, of]
            columns += [(here == c).sum(1) for c in range(species)]
        for shell in self.sites.shells:
            first, second = shell.pairs.T
            pair = occupations[:, first].astype(np.int64) * species + occupations[:, second]
            counts = {c: (pair == c).sum(1) for c in range(species**2)}
            for a, b in self._of(shell):
                both = counts[a * species + b]
                unordered = shell.types[0] == shell.types[1] and a != b
                columns.append(both + counts[b * species + a] if unordered else both)
        return np.stack(columns, 1).astype(float)

    def quadratic(
        self, coefficients: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fields h (N, C) and symmetric couplings W (N, C, N, C) of a linear energy.

        The energy is `(h + ½ W x) · x` for the one-hot configuration x.
        """
        sites, species = len(self.sites), len(self.species)
        field, coupling = np.zeros((sites, species)), np.zeros((sites, species, sites, species))
        left = iter(coefficients)
        for _, of in self._groups:
            for c in range(species):
                field[of, c] += next(left)
        for shell in self.sites.shells:
            table = np.zeros((species, species))
            for a, b in self._of(shell):
                table[a, b] = next(left)
                if shell.types[0] == shell.types[1]:
                    table[b, a] = table[a, b]
            for i, j in shell.pairs:
                if i == j:
                    field[i] += np.diag(table)
                else:
                    coupling[i, :, j] += table
                    coupling[j, :, i] += table.T
        return field, coupling
