"""Crystals: structures as text and as pymatgen structures, their targets, splits and tensors."""

from pyro_hea.crystals.dataset import TARGET_UNITS, CrystalDataset, Structures
from pyro_hea.crystals.reading import load_crystals
from pyro_hea.crystals.symmetry import CRYSTAL_SYSTEMS, SpaceGroup, WyckoffPosition, space_group
from pyro_hea.crystals.wyckoff import Orbit, WyckoffStructure

__all__ = [
    "CRYSTAL_SYSTEMS",
    "TARGET_UNITS",
    "CrystalDataset",
    "Orbit",
    "SpaceGroup",
    "Structures",
    "WyckoffPosition",
    "WyckoffStructure",
    "load_crystals",
    "space_group",
]
