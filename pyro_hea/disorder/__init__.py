"""Disorder: what the atoms of an alloy of one composition do at a temperature.

A name brings in its module when it is first asked for: processes that compute energies need
neither torch nor pyro.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_hea.disorder.alloys import AlloyDisorder as AlloyDisorder
    from pyro_hea.disorder.alloys import alloy_disorder as alloy_disorder
    from pyro_hea.disorder.alloys import disorder_table as disorder_table
    from pyro_hea.disorder.ase_engine import ASEEngine as ASEEngine
    from pyro_hea.disorder.configurations import Configurations as Configurations
    from pyro_hea.disorder.engines import Engine as Engine
    from pyro_hea.disorder.engines import IsingEngine as IsingEngine
    from pyro_hea.disorder.engines import PairEngine as PairEngine
    from pyro_hea.disorder.lattices import alloy_sites as alloy_sites
    from pyro_hea.disorder.lattices import fitting_size as fitting_size
    from pyro_hea.disorder.lattices import shell_sites as shell_sites
    from pyro_hea.disorder.meam import MEAMEngine as MEAMEngine
    from pyro_hea.disorder.partition import System as System
    from pyro_hea.disorder.partition import partition_function as partition_function
    from pyro_hea.disorder.result import Disorder as Disorder
    from pyro_hea.disorder.sampling import SamplerSettings as SamplerSettings
    from pyro_hea.disorder.sites import Sites as Sites
    from pyro_hea.disorder.sites import square_lattice as square_lattice
    from pyro_hea.disorder.symmetry import distinct_configurations as distinct_configurations
    from pyro_hea.disorder.vacancies import Vacancies as Vacancies
    from pyro_hea.disorder.vacancies import vacancy as vacancy

_HOMES = {
    "ASEEngine": "ase_engine",
    "AlloyDisorder": "alloys",
    "Configurations": "configurations",
    "Disorder": "result",
    "SamplerSettings": "sampling",
    "Engine": "engines",
    "IsingEngine": "engines",
    "MEAMEngine": "meam",
    "PairEngine": "engines",
    "Sites": "sites",
    "System": "partition",
    "Vacancies": "vacancies",
    "alloy_disorder": "alloys",
    "alloy_sites": "lattices",
    "disorder_table": "alloys",
    "distinct_configurations": "symmetry",
    "fitting_size": "lattices",
    "partition_function": "partition",
    "shell_sites": "lattices",
    "square_lattice": "sites",
    "vacancy": "vacancies",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
