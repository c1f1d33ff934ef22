"""Formation energies of a vacancy, by an engine of energies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.disorder.configurations import Configurations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.engines import Engine
    from pyro_hea.disorder.sites import Sites


@dataclass(frozen=True, eq=False)
class VacancyEngine:
    """Formation energies, `E_vacancy + μ - E_whole`, by an engine of energies.

    Parameters
    ----------
    engine : Engine
    vacant : Sites
        The cell without the atom.
    centre : str or None
        The element that is removed; None where it is the first site.
    potentials : mapping of str to float
        Chemical potentials in eV.
    """

    engine: Engine
    vacant: Sites
    centre: str | None
    potentials: Mapping[str, float]

    @property
    def elements(self) -> Sequence[str] | None:
        """Those of the engine."""
        return self.engine.elements

    @property
    def key(self) -> str:
        """The engine's, with the chemical potentials."""
        known = sorted(self.potentials.items())
        return f"vacancy of {self.centre} {known} {self.engine.key}"

    def energies(self, configurations: Configurations) -> NDArray[np.float64]:
        """Formation energies in eV, (S,)."""
        x, species = configurations.occupations, configurations.species
        if self.centre is None:
            removed = np.array([self.potentials[species[c]] for c in x[:, 0]])
            left = x[:, 1:]
        else:
            removed, left = np.full(len(x), self.potentials[self.centre]), x
        without = self.engine.energies(Configurations(self.vacant, species, left))
        return np.asarray(without + removed - self.engine.energies(configurations))
