"""Inverse design of alloys with a disentangled variational autoencoder written in Pyro.

Importing the package loads nothing but this file: a public name brings in the module that
defines it when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_hea.campaign import Campaign as Campaign
    from pyro_hea.charts import AlloyAtlas as AlloyAtlas
    from pyro_hea.charts import Atlas as Atlas
    from pyro_hea.crystal_vae import CrystalVAE as CrystalVAE
    from pyro_hea.design import AllowedElements as AllowedElements
    from pyro_hea.design import ElementBounds as ElementBounds
    from pyro_hea.design import FeatureBounds as FeatureBounds
    from pyro_hea.design import ForbiddenElements as ForbiddenElements
    from pyro_hea.design import LargestFraction as LargestFraction
    from pyro_hea.design import MaxElements as MaxElements
    from pyro_hea.design import MinElements as MinElements
    from pyro_hea.design import RequiredElements as RequiredElements
    from pyro_hea.design.crystal_constraints import CrystalSystems as CrystalSystems
    from pyro_hea.design.crystal_constraints import MaxAtoms as MaxAtoms
    from pyro_hea.design.crystal_constraints import Neutral as Neutral
    from pyro_hea.design.crystal_constraints import Prototypes as Prototypes
    from pyro_hea.design.crystal_constraints import ShortestDistance as ShortestDistance
    from pyro_hea.design.crystal_constraints import SpaceGroups as SpaceGroups
    from pyro_hea.disorder import ASEEngine as ASEEngine
    from pyro_hea.disorder import Disorder as Disorder
    from pyro_hea.disorder import MEAMEngine as MEAMEngine
    from pyro_hea.disorder import Vacancies as Vacancies
    from pyro_hea.disorder import alloy_disorder as alloy_disorder
    from pyro_hea.disorder import partition_function as partition_function
    from pyro_hea.disorder import vacancy as vacancy
    from pyro_hea.evaluate import cross_validate as cross_validate
    from pyro_hea.materials.alloys.amounts import parse_composition as parse_composition
    from pyro_hea.materials.alloys.composition import format_formula as format_formula
    from pyro_hea.materials.alloys.dataset import AlloyDataset as AlloyDataset
    from pyro_hea.materials.alloys.dataset import load_alloys as load_alloys
    from pyro_hea.materials.alloys.dataset import read_alloys as read_alloys
    from pyro_hea.materials.alloys.indicators import (
        load_element_indicators as load_element_indicators,
    )
    from pyro_hea.materials.crystals import CrystalDataset as CrystalDataset
    from pyro_hea.materials.crystals import load_crystals as load_crystals
    from pyro_hea.materials.crystals import read_crystals as read_crystals
    from pyro_hea.spec import AtlasSpec as AtlasSpec
    from pyro_hea.spec import CrystalSpec as CrystalSpec
    from pyro_hea.spec import ModelSpec as ModelSpec
    from pyro_hea.vae import DisentangledVAE as DisentangledVAE

    __version__: str

_HOMES = {
    "ASEEngine": "disorder",
    "AllowedElements": "design",
    "AlloyDataset": "materials.alloys.dataset",
    "AlloyAtlas": "charts",
    "Atlas": "charts",
    "AtlasSpec": "spec",
    "Campaign": "campaign",
    "CrystalDataset": "materials.crystals",
    "CrystalSpec": "spec",
    "CrystalSystems": "design.crystal_constraints",
    "CrystalVAE": "crystal_vae",
    "DisentangledVAE": "vae",
    "Disorder": "disorder",
    "ElementBounds": "design",
    "FeatureBounds": "design",
    "ForbiddenElements": "design",
    "LargestFraction": "design",
    "MEAMEngine": "disorder",
    "MaxAtoms": "design.crystal_constraints",
    "MaxElements": "design",
    "MinElements": "design",
    "ModelSpec": "spec",
    "Neutral": "design.crystal_constraints",
    "Prototypes": "design.crystal_constraints",
    "RequiredElements": "design",
    "ShortestDistance": "design.crystal_constraints",
    "SpaceGroups": "design.crystal_constraints",
    "Vacancies": "disorder",
    "alloy_disorder": "disorder",
    "cross_validate": "evaluate",
    "format_formula": "materials.alloys.composition",
    "load_alloys": "materials.alloys.dataset",
    "load_crystals": "materials.crystals",
    "load_element_indicators": "materials.alloys.indicators",
    "parse_composition": "materials.alloys.amounts",
    "partition_function": "disorder",
    "read_alloys": "materials.alloys.dataset",
    "read_crystals": "materials.crystals",
    "vacancy": "disorder",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    value: object
    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("pyro-hea")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
