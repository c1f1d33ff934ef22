"""`partition_function`: thermodynamics of a disordered system at temperatures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from pyro_hea.cache import cache_folder
from pyro_hea.disorder.energies import Energies
from pyro_hea.disorder.engines import BOLTZMANN, PairEngine
from pyro_hea.disorder.features import PairFeatures
from pyro_hea.disorder.ideal import IdealSolution
from pyro_hea.disorder.result import Disorder
from pyro_hea.disorder.sampling import SamplerSettings, check_budget, run, sampler_for
from pyro_hea.disorder.sites import Sites
from pyro_hea.disorder.store import EnergyStore
from pyro_hea.errors import DataError, EngineError, UnknownElementError, excerpt

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import ArrayLike, NDArray

    from pyro_hea.disorder.engines import Engine


@dataclass(frozen=True, eq=False)
class System:
    """Sites, what may stand on them, and an engine of energies.

    Attributes
    ----------
    sites : Sites
    composition : mapping of str to float
        Amount of each species; the first is the reference of counts.
    engine : Engine
    fixed : bool
        Whether each configuration of the cell has exactly this composition. Otherwise sites are
        occupied independently with these chances, as in a small part of a large crystal.

    Raises
    ------
    UnknownElementError
        For an element that the engine does not know; it names those that it does.
    DataError
        For a fixed composition that does not fit the sites; it names the nearest that does.

    Examples
    --------
    >>> from pyro_hea.disorder import IsingEngine, square_lattice
    >>> System(square_lattice(4), {"up": 1, "down": 1}, IsingEngine(), fixed=False).ideal.sites
    16
    """

    sites: Sites
    composition: Mapping[str, float]
    engine: Engine
    fixed: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.composition, Mapping):
            raise DataError(
                f"a composition is a mapping, as {{'Cu': 1, 'Ni': 1}}, not "
                f"{excerpt(self.composition)}; alloy_disorder and vacancy take formulas"
            )
        if not isinstance(self.sites, Sites):
            raise DataError(
                f"sites are those of square_lattice(4) or alloy_sites('fcc', 3.6, (3, 3, 3)), not "
                f"{excerpt(self.sites)}; alloy_disorder and vacancy take the name of a lattice"
            )
        check_elements(self.engine, {*self.composition, *self.sites.matrix})
        if len([amount for amount in self.composition.values() if amount > 0]) < 2:
            raise DataError(
                f"{dict(self.composition)} has no disorder: it needs two elements at least"
            )
        _ = self.ideal

    @cached_property
    def ideal(self) -> IdealSolution:
        """The ideal solution of the composition on the sites."""
        return IdealSolution.of(self.composition, len(self.sites), fixed=self.fixed)


def check_elements(engine: Engine, elements: Iterable[str]) -> None:
    """Refuse what is no engine, and elements that the engine does not know.

    Raises
    ------
    EngineError, UnknownElementError
    """
    if isinstance(engine, type) or not all(
        hasattr(engine, name) for name in ("key", "elements", "energies")
    ):
        raise EngineError(
            f"{excerpt(engine)} is no engine: give ASEEngine('emt'), MEAMEngine(), or an object "
            "with key, elements and energies"
        )
    unknown = [] if engine.elements is None else sorted({*elements} - {*engine.elements})
    if unknown:
        raise UnknownElementError(
            f"the engine does not know {', '.join(unknown)}; it knows "
            f"{', '.join(engine.elements or ())}"
        )


def check_temperatures(temperatures: ArrayLike) -> NDArray[np.float64]:
    """Distinct temperatures above 0, in K, in increasing order.

    Raises
    ------
    DataError

    Examples
    --------
    >>> check_temperatures([1000, 300.0])
    array([ 300., 1000.])
    """
    try:
        found = np.unique(np.asarray(temperatures, float))
    except (TypeError, ValueError):
        found = np.array([])
    if not len(found) or not np.isfinite(found).all() or found.min() <= 0:
        raise DataError(
            f"temperatures are numbers of K above 0, as [300, 1000], not {temperatures!r}"
        )
    return found


def partition_function(
    system: System,
    temperatures: ArrayLike,
    budget: int = 1000,
    seed: int = 0,
    *,
    executor: Executor | None = None,
    file: str | Path | None = "default",
    sampler: SamplerSettings | None = None,
    progress: bool = False,
) -> Disorder:
    """Free energy, order and heat capacity of a disordered system, from few energies.

    An inverse variational autoencoder learns to make the configurations of each temperature from
    a surrogate of the engine, which learns from energies that are paid for; averages are of fresh
    draws with true energies, and are compared with a second estimate from draws that never met
    the autoencoder. See the concept page on disorder.

    Parameters
    ----------
    system : System
    temperatures : array-like
        In K.
    budget : int
        Energies that the engine is asked for at most. Configurations that symmetry makes equal
        count once.
    seed : int
    executor : concurrent.futures.Executor, optional
        What computes energies, as Dask's ``client.get_executor()`` or
        ``pyro_hea.executors.Processes(4)``; by default this process.
    file : path or None
        SQLite file in which energies are kept, so that a run that was ended goes on where it was
        and none is paid for twice. By default `energies.sqlite` in the user's cache folder; None
        keeps none. Energies of pair interactions are never kept.
    sampler : SamplerSettings, optional
        How long is trained and how much is drawn.
    progress : bool
        Show what is being done.

    Returns
    -------
    Disorder

    Raises
    ------
    DataError, UnknownElementError
        For temperatures or a composition that cannot be.
    EngineError
        Where the engine fails on half of the configurations, or the budget is below 20.

    Warns
    -----
    EngineWarning
        Where the engine gives no energy of some configurations.
    EstimateWarning
        Where the two estimates disagree, or k-hat is above 0.7.

    Examples
    --------
    The Ising model on 4 × 4 sites, at temperatures in units of J/k:

    >>> from pyro_hea.disorder import SamplerSettings, IsingEngine, System, square_lattice
    >>> ising = System(square_lattice(4), {"up": 1, "down": 1}, IsingEngine(), fixed=False)
    >>> quick = SamplerSettings(steps=60, pool=2000)
    >>> found = partition_function(ising, [5.0], budget=200, sampler=quick)
    >>> exact = 11.7715
    >>> bool(abs(found.table["ln_Z"].iloc[0] - exact) < 0.1)
    True
    """
    at = check_temperatures(temperatures)
    if not isinstance(system, System):
        raise DataError(
            f"{excerpt(system)} is no System of sites, a composition and an engine; "
            "alloy_disorder takes a formula"
        )
    check_budget(budget, seed)
    energies = system_energies(system, budget, executor, file)
    features = PairFeatures(system.sites, system.ideal.species)
    with reporter(progress) as say:
        outcome = run(
            energies,
            system.ideal,
            1 / (BOLTZMANN * at),
            features,
            seed=seed,
            sampler=sampler_for(system.sites, sampler),
            say=say,
        )
    about = {"seed": seed, "budget": budget, "pyro_hea": version("pyro-hea")}
    return Disorder.of(system.sites, system.ideal, at, outcome, energies, about)


def system_energies(
    system: System, budget: int, executor: Executor | None, file: str | Path | None
) -> Energies:
    """The energies of a system, kept in a file unless they are cheaper to compute than to read."""
    store = EnergyStore(None if isinstance(system.engine, PairEngine) else energy_file(file))
    return Energies(system.engine, system.sites, system.ideal.species, budget, store, executor)


def energy_file(file: str | Path | None) -> str | Path | None:
    """Where energies are kept: a file, or `energies.sqlite` in the user's cache folder."""
    return cache_folder() / "energies.sqlite" if file == "default" else file


@contextmanager
def reporter(progress: bool) -> Iterator[Callable[[str], None]]:
    """Gives a function that shows what is being done."""
    with tqdm(bar_format="{desc} [{elapsed}]", disable=not progress) as bar:
        yield bar.set_description_str
