"""What is needed before the first configuration: the lattice and its constant."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.disorder.energies import Energies
from pyro_hea.disorder.ideal import IdealSolution
from pyro_hea.disorder.lattices import lattice_points
from pyro_hea.disorder.sites import Sites
from pyro_hea.errors import EngineError, EngineWarning
from pyro_hea.materials.alloys.element_tables import load_tables

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pyro_hea.disorder.engines import Engine
    from pyro_hea.disorder.lattices import Lattice
    from pyro_hea.disorder.store import EnergyStore

_FCC_ABOVE = 8.0
"""Valence electrons an atom; Guo, Ng, Lu and Liu, Journal of Applied Physics 109 (2011) 103505."""

_AVOGADRO = 0.602214076
"""Atoms a mole, times cm³ an Å³."""

_STRAINS = np.array([-0.04, -0.02, 0.0, 0.02, 0.04])
_MOST_STEPS = 4
_FEWEST = 4
"""Energies that a curve needs."""


def usual_lattice(composition: Mapping[str, float]) -> Lattice:
    """Fcc for eight valence electrons an atom or more, else bcc.

    Examples
    --------
    >>> usual_lattice({"Co": 1, "Cr": 1, "Fe": 1, "Ni": 1}), usual_lattice({"Nb": 1, "Ta": 1})
    ('fcc', 'bcc')
    """
    mean = _mean(composition, "valence_electron_concentration")
    return "fcc" if mean >= _FCC_ABOVE else "bcc"


def lattice_constant(
    engine: Engine,
    composition: Mapping[str, float],
    lattice: Lattice,
    *,
    store: EnergyStore,
    executor: Executor | None = None,
    seed: int = 0,
) -> float:
    """Lattice constant in Å at which the energy of a random cell is least.

    From the molar volumes of the elements, by a parabola through five cells, moved until its
    lowest point lies between them.

    Raises
    ------
    EngineError
        Where the engine gives no energies, as where atoms do not stay on this lattice, or none of
        the cells is the lowest.
    """
    size = (3, 3, 3)
    volume = _mean(composition, "molar_volume") / _AVOGADRO
    constant = float((volume * (4 if lattice == "fcc" else 2)) ** (1 / 3))
    for _ in range(_MOST_STEPS):
        tried = constant * (1 + _STRAINS)
        found: list[float] = []
        failures: dict[str, str] = {}
        for value in tried:
            cell, positions = lattice_points(lattice, float(value), size)
            types = np.zeros(len(positions), int)
            sites = Sites(cell, positions, (), np.arange(len(types))[None], types)
            ideal = IdealSolution.of(composition, len(positions))
            x = np.repeat(np.arange(len(ideal.species)), ideal.counts).astype(np.int8)
            x = np.random.default_rng(seed).permutation(x)[None]
            energies = Energies(engine, sites, ideal.species, 10, store, executor)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", EngineWarning)  # the error below says it
                found.append(float(energies(x)[0]))
            failures |= energies.failures
        known = np.isfinite(found)
        if known.sum() < _FEWEST:
            raise EngineError(
                f"{len(tried) - known.sum()} of {len(tried)} random {lattice} cells have no energy "
                f"({next(iter(failures.values()))}): take the other lattice, an engine with "
                "relax=False, or give the lattice constant"
            )
        curve = np.polynomial.Polynomial.fit(tried[known], np.array(found)[known], 3).convert()
        fine = np.linspace(tried[0], tried[-1], 1001)
        best = float(fine[curve(fine).argmin()])
        if tried[0] < best < tried[-1]:
            return round(best, 4)
        constant = best
    raise EngineError(f"no lattice constant near {constant:.2f} Å has the least energy: give one")


def _mean(composition: Mapping[str, float], column: str) -> float:
    values = load_tables("field").properties[column]
    total = sum(composition.values())
    return float(sum(x * values[element] for element, x in composition.items()) / total)
