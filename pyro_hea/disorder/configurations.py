"""Configurations of a cell, which an engine gives the energies of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.errors import missing_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.sites import Sites


@dataclass(frozen=True, eq=False, repr=False)
class Configurations:
    """Which species is on which site, for several configurations of one cell.

    Attributes
    ----------
    sites : Sites
    species : tuple of str
    occupations : ndarray of int, shape (S, N)
        Index into `species`.
    """

    sites: Sites
    species: tuple[str, ...]
    occupations: NDArray[np.int8]

    def __repr__(self) -> str:
        return (
            f"Configurations({len(self)} of {', '.join(self.species)} on {len(self.sites)} sites)"
        )

    def __len__(self) -> int:
        return len(self.occupations)

    def __iter__(self) -> Iterator[Any]:
        return (self.atoms(row) for row in range(len(self)))

    def take(self, rows: Any) -> Configurations:
        """Some of the configurations."""
        return Configurations(self.sites, self.species, self.occupations[rows])

    def symbols(self, row: int) -> list[str]:
        """Elements of all atoms of one configuration, those of the sites first."""
        names = [self.species[c] for c in self.occupations[row]]
        return [*names, *self.sites.matrix]

    def atoms(self, row: int) -> Any:
        """One configuration as ASE Atoms, the sites first.

        Raises
        ------
        MissingExtraError
            Without ASE.
        """
        try:
            from ase import Atoms
        except ImportError as error:
            raise missing_extra("ase", "disorder") from error
        positions = np.vstack([self.sites.positions, self.sites.matrix_positions])
        return Atoms(self.symbols(row), positions=positions, cell=self.sites.cell, pbc=True)
