"""What the atoms of an alloy do: order, free energy and vacancies, from one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pyro_hea.disorder.lattices import (
    alloy_sites,
    check_constant,
    fitting_size,
    formula_of,
    nearest_cell,
)
from pyro_hea.disorder.partition import (
    System,
    check_elements,
    check_temperatures,
    energy_file,
    partition_function,
)
from pyro_hea.disorder.references import lattice_constant, usual_lattice
from pyro_hea.disorder.sampling import check_budget
from pyro_hea.disorder.store import EnergyStore
from pyro_hea.disorder.vacancies import vacancy
from pyro_hea.errors import EngineWarning, UnknownElementError, warn
from pyro_hea.materials.alloys.amounts import parse_composition

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import ArrayLike

    from pyro_hea.disorder.engines import Engine
    from pyro_hea.disorder.lattices import Lattice
    from pyro_hea.disorder.result import Disorder
    from pyro_hea.disorder.sampling import SamplerSettings
    from pyro_hea.disorder.vacancies import Vacancies

_VACANCY_COLUMNS = ("E_eff", "concentration")

SHOWN = (
    "temperature_K",
    "free_energy",
    "internal_energy",
    "heat_capacity",
    "entropy",
    "E_eff",
    "concentration",
    "trusted",
    "vacancies_trusted",
)
"""Columns that are shown where all would be too many; intervals are left out."""


@dataclass(frozen=True, eq=False, repr=False)
class AlloyDisorder:
    """Order, free energy and vacancies of one alloy.

    Attributes
    ----------
    formula : str
        As it was asked for.
    cell : str
        The atoms of the cell.
    bulk : Disorder
        Of the cell without a vacancy.
    vacancies : Vacancies
    """

    formula: str
    cell: str
    bulk: Disorder
    vacancies: Vacancies

    @property
    def table(self) -> pd.DataFrame:
        """One row a temperature: the table of `bulk`, and `E_eff` and `concentration`.

        `trusted` is of the cell and `vacancies_trusted` of the vacancies; `energies` are those
        that were paid for in all, two for each surrounding of a vacancy.
        """
        of = self.vacancies.table
        table = self.bulk.table.copy()
        for name in _VACANCY_COLUMNS:
            for column in (name, f"{name}_low", f"{name}_high"):
                table[column] = of[column]
        table["vacancies_trusted"] = of["trusted"]
        table["energies"] = self.bulk.table["energies"] + 2 * of["energies"]
        table.attrs["units"] = {**of.attrs["units"], **self.bulk.table.attrs["units"]}
        return table

    def __repr__(self) -> str:
        return f"AlloyDisorder({self.formula} as {self.cell}; {self.bulk!r}; {self.vacancies!r})"

    def _repr_html_(self) -> str:
        shown = self.table[list(SHOWN)]
        table = shown.to_html(index=False, float_format="{:.5g}".format)
        note = "eV and k a site; <code>.table</code> has the intervals"
        return f"<p>{escape(repr(self))}</p>{table}<p>{note}</p>"


def alloy_disorder(
    alloy: str | Mapping[str, float],
    temperatures: ArrayLike,
    *,
    engine: Engine,
    lattice: Lattice | None = None,
    constant: float | None = None,
    nearest: bool = False,
    budget: int = 5000,
    environments: int = 500,
    seed: int = 0,
    executor: Executor | None = None,
    file: str | Path | None = "default",
    sampler: SamplerSettings | None = None,
    progress: bool = False,
) -> AlloyDisorder:
    """Short-range order, free energy, heat capacity and vacancies of an alloy.

    Parameters
    ----------
    alloy : str or mapping
    temperatures : array-like
        In K.
    engine : Engine
    lattice, constant
        As of `vacancy`.
    nearest : bool
        Take the nearest composition that fits a cell instead of refusing one that fits none.
    budget : int
        Energies of the cell. The default is for potentials of 0.1 s an energy, and for room
        temperature; where it is hot, or the potential slow, 500 may do.
    environments : int
        Of vacancies, with two energies each.
    seed, executor, file, sampler, progress
        As of `partition_function`.

    Returns
    -------
    AlloyDisorder

    Raises
    ------
    UnknownElementError, DataError, EngineError
        As of `partition_function` and `vacancy`.

    Examples
    --------
    ``alloy_disorder("CoCrFeNi", [300, 900, 1500], engine=MEAMEngine()).table``
    """
    at = check_temperatures(temperatures)
    composition = dict(parse_composition(alloy))
    check_elements(engine, composition)
    check_budget(budget, seed, "budget")
    check_budget(environments, seed, "environments")
    check_constant(constant)
    lattice = lattice or usual_lattice(composition)
    size, counts = nearest_cell(composition, lattice)
    if not nearest:
        size = fitting_size(composition, lattice)
    if constant is None:
        store = EnergyStore(energy_file(file))
        constant = lattice_constant(
            engine, composition, lattice, store=store, executor=executor, seed=seed
        )
    system = System(alloy_sites(lattice, constant, size), counts, engine)
    bulk = partition_function(
        system, at, budget, seed, executor=executor, file=file, sampler=sampler, progress=progress
    )
    vacancies = vacancy(
        counts,
        at,
        engine=engine,
        lattice=lattice,
        constant=constant,
        budget=environments,
        seed=seed,
        executor=executor,
        file=file,
        sampler=sampler,
        progress=progress,
    )
    formula = alloy if isinstance(alloy, str) else "".join(f"{e}{x:g}" for e, x in alloy.items())
    return AlloyDisorder(formula, formula_of(counts), bulk, vacancies)


def disorder_table(
    fractions: pd.DataFrame, temperatures: ArrayLike, *, engine: Engine, **how: Any
) -> pd.DataFrame:
    """What the atoms of several alloys do, each in the cell whose composition is nearest.

    Alloys with an element that the engine does not know are passed over, which a warning says.

    Parameters
    ----------
    fractions : DataFrame
        One row an alloy, by formula; one column an element.
    temperatures : array-like
        In K.
    engine : Engine
    **how
        Further arguments of `alloy_disorder`, such as `budget` and `executor`. Energies are kept on
        the disk: `alloy_disorder` of one of the alloys then pays for none again.

    Returns
    -------
    DataFrame
        One row for each alloy and temperature: `formula`, `cell`, and the columns of the table of
        an `AlloyDisorder`.

    Raises
    ------
    UnknownElementError
        Where the engine knows all elements of none of them.
    """
    alloys = {
        str(name): {str(e): float(x) for e, x in row.items() if x > 0}
        for name, row in fractions.iterrows()
    }
    check_elements(engine, ())
    known = set(engine.elements or fractions.columns)
    rows = [name for name, alloy in alloys.items() if {*alloy} <= known]
    if not rows:
        raise UnknownElementError(
            f"none of the {len(alloys)} alloys has only elements that the engine knows "
            f"({', '.join(sorted(known))}): design with AllowedElements of these"
        )
    if len(rows) < len(alloys):
        warn(
            f"{len(alloys) - len(rows)} of {len(alloys)} alloys have elements that the engine "
            "does not know, and are passed over",
            EngineWarning,
        )
    tables = []
    for name in rows:
        found = alloy_disorder(alloys[name], temperatures, engine=engine, nearest=True, **how)
        table = found.table
        table.insert(0, "formula", name)
        table.insert(1, "cell", found.cell)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
