"""Crystals: structures as text and as pymatgen structures, their targets, splits and tensors.

Examples
--------
>>> crystals = load_crystals()
>>> silicon = crystals.take([crystals.ids.index("mp-149")])
>>> silicon.text.item()
'227 | 5.4346 | Si:a:0,0,0'
>>> silicon.structures[0].composition
Composition('Si2')
>>> silicon.info[["formula", "prototype", "atoms"]].iloc[0].to_dict()
{'formula': 'Si', 'prototype': '227:a', 'atoms': 2}
"""

from pyro_hea.materials.crystals.alignment import Aligned, align, prototype_like
from pyro_hea.materials.crystals.batch import CrystalBatch, composition_batch, crystal_batch
from pyro_hea.materials.crystals.checks import (
    check_crystals,
    compare_to_known,
    is_neutral,
    shortest_distance,
    write_cif,
)
from pyro_hea.materials.crystals.dataset import TARGET_UNITS, CrystalDataset, Structures
from pyro_hea.materials.crystals.drawing import atoms_to_draw, cell_to_draw
from pyro_hea.materials.crystals.elements import (
    PROPERTY_UNITS,
    electronegativity_order,
    element_table,
)
from pyro_hea.materials.crystals.features import composition_features, crystal_features, roles_of
from pyro_hea.materials.crystals.prototypes import SHAPE, Prototype, assignments, formula_type
from pyro_hea.materials.crystals.reading import load_crystals, read_crystals
from pyro_hea.materials.crystals.symmetry import (
    CRYSTAL_SYSTEMS,
    SpaceGroup,
    WyckoffPosition,
    space_group,
)
from pyro_hea.materials.crystals.vocabulary import CrystalVocabulary, Scale
from pyro_hea.materials.crystals.wyckoff import Orbit, WyckoffStructure

__all__ = [
    "CRYSTAL_SYSTEMS",
    "PROPERTY_UNITS",
    "SHAPE",
    "TARGET_UNITS",
    "Aligned",
    "CrystalBatch",
    "CrystalDataset",
    "CrystalVocabulary",
    "Orbit",
    "Prototype",
    "Scale",
    "SpaceGroup",
    "Structures",
    "WyckoffPosition",
    "WyckoffStructure",
    "align",
    "assignments",
    "atoms_to_draw",
    "cell_to_draw",
    "check_crystals",
    "compare_to_known",
    "composition_batch",
    "composition_features",
    "crystal_batch",
    "crystal_features",
    "electronegativity_order",
    "element_table",
    "formula_type",
    "is_neutral",
    "load_crystals",
    "prototype_like",
    "read_crystals",
    "roles_of",
    "shortest_distance",
    "space_group",
    "write_cif",
]
