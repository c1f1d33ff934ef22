"""Vacancies whose formation energy is known in every surrounding; see `data/README.md`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.disorder.configurations import Configurations
from pyro_hea.disorder.engines import BOLTZMANN
from pyro_hea.disorder.lattices import shell_sites
from pyro_hea.disorder.symmetry import canonical, distinct_configurations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.sites import Sites


@dataclass(frozen=True, eq=False)
class ReferenceCase:
    """A vacancy whose formation energy is known in every surrounding.

    Attributes
    ----------
    sites : Sites
    species : tuple of str
        As likely as each other.
    environments : ndarray of int, shape (D, N)
        The distinct ones.
    multiplicity : ndarray of int, shape (D,)
    energies : ndarray, shape (D,)
        In eV.
    """

    sites: Sites
    species: tuple[str, ...]
    environments: NDArray[np.int8]
    multiplicity: NDArray[np.int64]
    energies: NDArray[np.float64]

    def effective(self, temperatures: NDArray[np.float64]) -> NDArray[np.float64]:
        """Effective formation energies in eV, by adding up every surrounding, (K,)."""
        kt = BOLTZMANN * np.asarray(temperatures)[:, None]
        share = self.multiplicity / self.multiplicity.sum()
        return -kt[:, 0] * np.log(np.exp(-self.energies / kt) @ share)


@cache
def disorder_tables() -> dict[str, Any]:
    """What `disorder.json` has."""
    text = (files("pyro_hea.data") / "disorder.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@cache
def reference_case(name: str) -> ReferenceCase:
    """A case of `disorder.json`: NiCr, CuNiPd or FeAlCoCr."""
    case = disorder_tables()["vacancies"][name]
    species, centre = tuple(case["species"]), case["centre"]
    sites, _ = shell_sites(
        case["lattice"], case["constant"], case["size"], 1, matrix={centre: 1}, centre=centre
    )
    environments, multiplicity = distinct_configurations(sites.permutations, len(species))
    energies = np.array(case["energies_eV"])
    return ReferenceCase(sites, species, environments, multiplicity, energies)


@dataclass(frozen=True, eq=False)
class TabulatedEngine:
    """The formation energies of a reference case."""

    case: ReferenceCase
    key: str = "tabulated"
    elements: None = None
    _known: dict[bytes, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        rows = map(bytes, np.ascontiguousarray(self.case.environments))
        self._known.update(zip(rows, self.case.energies.tolist(), strict=True))

    def energies(self, configurations: Configurations) -> NDArray[np.float64]:
        """Formation energies in eV, (S,)."""
        rows = canonical(configurations.occupations, self.case.sites.permutations)
        return np.array([self._known[bytes(row)] for row in np.ascontiguousarray(rows)])
