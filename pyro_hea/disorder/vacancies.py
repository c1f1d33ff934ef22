"""Vacancies in an alloy: what making one costs in each surrounding, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.disorder.energies import Energies
from pyro_hea.disorder.engines import BOLTZMANN
from pyro_hea.disorder.features import PairFeatures
from pyro_hea.disorder.lattices import Lattice, check_constant, shell_sites
from pyro_hea.disorder.partition import (
    System,
    check_elements,
    check_temperatures,
    energy_file,
    reporter,
)
from pyro_hea.disorder.references import lattice_constant, usual_lattice
from pyro_hea.disorder.result import LEVEL, Disorder, span
from pyro_hea.disorder.sampling import SamplerSettings, check_budget, run, sampler_for
from pyro_hea.disorder.store import EnergyStore
from pyro_hea.disorder.vacancy_engine import VacancyEngine
from pyro_hea.errors import DataError, excerpt
from pyro_hea.materials.alloys.amounts import parse_composition

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from pyro_hea.disorder.engines import Engine
    from pyro_hea.disorder.ideal import IdealSolution
    from pyro_hea.disorder.sites import Sites

_SURROUNDINGS = 8
"""In which each element is put in the middle, for its chemical potential."""


@dataclass(frozen=True, eq=False, repr=False)
class Vacancies:
    """Formation energies of a vacancy over its environments.

    Attributes
    ----------
    table : DataFrame
        One row a temperature: `temperature_K`; `E_eff`, the effective formation energy in eV,
        and `concentration`, the share of sites that are vacant, with their 94 % intervals;
        `mean` and `spread` (eV), of the formation energy over the environments of the vacancies
        that there are; `effective_share`, `k_hat`, `trusted` and `energies` as of `Disorder`.
    factors : DataFrame
        Which neighbours set the formation energy; see `energy_factors`.
    disorder : Disorder
        All that was found, with formation energies in place of energies.
    attributes : mapping
        Lattice, lattice constant (Å), chemical potentials (eV) and what `disorder` has.
    """

    table: pd.DataFrame
    factors: pd.DataFrame
    disorder: Disorder
    attributes: Mapping[str, Any]

    def __repr__(self) -> str:
        low, high = self.table["E_eff"].min(), self.table["E_eff"].max()
        return (
            f"Vacancies(E_eff from {low:.3f} to {high:.3f} eV, {span(self.table)}, "
            f"{self.attributes['energies']} environments)"
        )

    def _repr_html_(self) -> str:
        table = self.table.to_html(index=False, float_format="{:.4g}".format)
        return f"<p>{escape(repr(self))}</p>{table}"

    def plot_formation_energy(self, ax: Axes | None = None) -> Axes:
        """Draw the effective formation energy against temperature."""
        from pyro_hea import plots

        return plots.formation_energy(self.table, ax)

    def plot_factors(self, ax: Axes | None = None) -> Axes:
        """Draw which neighbours set the formation energy, by share of its variance."""
        return self.disorder.plot_factors(ax)


def vacancy(
    alloy: str | Mapping[str, float],
    temperatures: ArrayLike,
    *,
    engine: Engine,
    shell: int = 1,
    centre: str | None = None,
    matrix: str | Mapping[str, float] | None = None,
    lattice: Lattice | None = None,
    constant: float | None = None,
    size: int = 3,
    chemical_potentials: Mapping[str, float] | None = None,
    vibrational_entropy: float = 0.0,
    budget: int = 200,
    seed: int = 0,
    executor: Executor | None = None,
    file: str | Path | None = "default",
    sampler: SamplerSettings | None = None,
    progress: bool = False,
) -> Vacancies:
    """Effective formation energy and concentration of vacancies in an alloy.

    `E_eff = -kT ln Σ_x P0(x) exp(-E_f(x) / kT)` over the occupations x of the vacancy's
    neighbours, and the concentration is `exp(S_vib / k) exp(-E_eff / kT)` (Karcz et al.,
    arXiv:2408.14928).

    Parameters
    ----------
    alloy : str or mapping
        Composition of the neighbours, as "CoCrFeNi".
    temperatures : array-like
        In K.
    engine : Engine
    shell : int
        Shells of neighbours whose occupation is averaged over.
    centre : str, optional
        The element that is removed; by default any of the alloy, in proportion to its amount.
    matrix : str or mapping, optional
        Composition of the rest of the cell, by default that of the alloy. Its atoms are drawn
        once.
    lattice : {"fcc", "bcc"}, optional
        By default fcc for eight valence electrons an atom or more, else bcc.
    constant : float, optional
        Lattice constant in Å; by default the one at which the engine's energy of a random cell is
        least.
    size : int
        Conventional cells along each edge.
    chemical_potentials : mapping, optional
        In eV. By default such that their mean over the alloy is the energy an atom, and their
        differences those of putting one element for another in the same environment; where one
        element is removed from itself, its energy an atom.
    vibrational_entropy : float
        Of formation, in k.
    budget : int
        Surroundings that are paid for at most, with two energies each.
    seed, executor, file, sampler, progress
        As of `partition_function`.

    Returns
    -------
    Vacancies

    Raises
    ------
    UnknownElementError, DataError, EngineError

    Examples
    --------
    .. code-block:: python

        found = vacancy("CuNi", [300, 600, 1000], engine=ASEEngine("emt"), budget=100)
        found.table
    """
    at = check_temperatures(temperatures)
    composition = dict(parse_composition(alloy))
    around = composition if matrix is None else dict(parse_composition(matrix))
    check_elements(engine, {*composition, *around, *([centre] if centre else [])})
    check_budget(budget, seed)
    check_constant(constant)
    chemical_potentials = _checked_potentials(chemical_potentials)
    if not isinstance(vibrational_entropy, Real):
        raise DataError(f"vibrational_entropy={vibrational_entropy!r} is not a number of k")
    store = EnergyStore(energy_file(file))
    lattice = lattice or usual_lattice(around)
    if constant is None:
        constant = lattice_constant(
            engine, around, lattice, store=store, executor=executor, seed=seed
        )
    whole, vacant = shell_sites(
        lattice, constant, size, shell, matrix=around, centre=centre, seed=seed
    )
    plain = System(whole, composition, engine, fixed=False)
    if chemical_potentials is None:
        chemical_potentials = _chemical_potentials(
            plain.ideal, whole, around, centre, engine, store, executor, seed
        )
    missing = ({centre} if centre else set(composition)) - set(chemical_potentials)
    if missing:
        raise DataError(f"there is no chemical potential of {', '.join(sorted(missing))}")
    formation = VacancyEngine(engine, vacant, centre, dict(chemical_potentials))
    energies = Energies(formation, whole, plain.ideal.species, budget, store, executor)
    with reporter(progress) as say:
        outcome = run(
            energies,
            plain.ideal,
            1 / (BOLTZMANN * at),
            PairFeatures(whole, plain.ideal.species),
            seed=seed,
            sampler=sampler_for(whole, sampler),
            say=say,
        )
    about = {
        "seed": seed,
        "budget": budget,
        "pyro_hea": version("pyro-hea"),
        "lattice": lattice,
        "lattice_constant": constant,
        "chemical_potentials": dict(chemical_potentials),
    }
    disorder = Disorder.of(whole, plain.ideal, at, outcome, energies, about, "vacancies")
    first = outcome.first
    kt = BOLTZMANN * at
    effective, again = -kt * first.log_z, -kt * first.replicates["log_z"]
    table = pd.DataFrame({"temperature_K": at, "E_eff": effective})
    table["E_eff_low"], table["E_eff_high"] = _interval(again)
    for name, value in {
        "concentration": effective,
        "concentration_low": table["E_eff_high"],
        "concentration_high": table["E_eff_low"],
    }.items():
        table[name] = np.exp(vibrational_entropy - np.asarray(value) / kt)
    table["mean"] = first.moments[:, 0]
    table["spread"] = np.sqrt(first.moments[:, 1])
    shared = ["effective_share", "k_hat", "trusted", "energies"]
    table[shared] = disorder.table[shared]
    units = dict.fromkeys(("E_eff", "mean", "spread"), "eV")
    table.attrs["units"] = {"temperature_K": "K", "concentration": "1", **units}
    return Vacancies(table, disorder.factors, disorder, disorder.attributes)


def _interval(replicates: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0))


def _checked_potentials(given: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """Chemical potentials that are numbers."""
    if given is None:
        return None
    numbers = isinstance(given, Mapping) and all(isinstance(v, Real) for v in given.values())
    if not numbers or not np.isfinite(list(given.values())).all():
        raise DataError(
            f"chemical_potentials are numbers of eV by element, as {{'Ni': -4.4}}, not "
            f"{excerpt(given)}"
        )
    return given


def _chemical_potentials(
    ideal: IdealSolution,
    whole: Sites,
    around: Mapping[str, float],
    centre: str | None,
    engine: Engine,
    store: EnergyStore,
    executor: Executor | None,
    seed: int,
) -> dict[str, float]:
    """See `vacancy`."""
    species = ideal.species if centre is None else (centre, *ideal.species)
    energies = Energies(engine, whole, species, 10_000, store, executor)
    atoms = len(whole) + len(whole.matrix)
    if centre is not None:
        if set(around) != {centre}:
            raise DataError(
                f"the chemical potential of {centre} is known in pure {centre} only: give "
                "chemical_potentials, or matrix='" + centre + "', or no centre"
            )
        pure = np.zeros((1, len(whole)), np.int8)
        return {centre: float(energies(pure)[0]) / atoms}
    x = ideal.sample(_SURROUNDINGS, np.random.default_rng(seed))
    every = np.repeat(x, len(species), 0)
    every[:, 0] = np.tile(np.arange(len(species)), len(x))
    found = energies(every).reshape(len(x), len(species))
    mean = np.nanmean(found, 0)
    cell = float(ideal.fractions @ mean)
    return {name: cell / atoms + float(m) - cell for name, m in zip(species, mean, strict=True)}
