"""The symmetry of a pymatgen structure, found by spglib."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import spglib

from pyro_hea.errors import StructureError
from pyro_hea.materials.crystals.cells import cell_parameters
from pyro_hea.materials.crystals.symmetry import quiet_spglib, space_group

if TYPE_CHECKING:
    from pymatgen.core import Structure

LARGEST = 2000
"""Atoms in a cell beyond which a structure is refused."""

_OVERLAP = 0.3  # distance in Å below which two atoms are a mistake

Point = tuple[float, float, float]


def recognise(
    structure: Structure, symprec: float
) -> tuple[int, tuple[float, ...], list[tuple[str, str, Point]]]:
    """Space group, free lattice parameters and orbits (element, letter, point) of a structure.

    Raises
    ------
    StructureError
        See `WyckoffStructure.from_structure`.
    """
    _check(structure)
    numbers = [site.specie.Z for site in structure]
    cell = (structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers)
    data = _symmetry(cell, symprec)
    group = space_group(data.number)
    if data.hall_number != group.hall_number:
        data = _symmetry(cell, symprec, group.hall_number)
    letter_of = dict(zip(data.mapping_to_primitive, data.wyckoffs, strict=True))
    orbit_of = dict(zip(data.mapping_to_primitive, data.crystallographic_orbits, strict=True))
    orbits: dict[int, tuple[str, str, Point]] = {}
    for atom, number, point in zip(
        data.std_mapping_to_primitive, data.std_types, data.std_positions, strict=True
    ):
        if orbit_of[atom] not in orbits:
            x, y, z = (float(value) for value in point)
            orbits[orbit_of[atom]] = (_symbol(number), letter_of[atom], (x, y, z))
    atoms = sum(group.position(letter).multiplicity for _, letter, _ in orbits.values())
    if atoms != len(data.std_types):
        raise StructureError(
            f"spglib finds {len(data.std_types)} atoms in the standard cell and orbits of {atoms}; "
            f"try another symprec than {symprec} Å"
        )
    parameters = cell_parameters(data.std_lattice)
    return group.number, tuple(parameters[i] for i in group.free_lattice), list(orbits.values())


def _check(structure: Structure) -> None:
    from pymatgen.core import Element

    if not len(structure):
        raise StructureError("the structure has no atoms")
    if len(structure) > LARGEST:
        raise StructureError(
            f"{len(structure)} atoms in the cell; at most {LARGEST} are read: is it a supercell?"
        )
    if not structure.is_ordered:
        site = next(site for site in structure if not site.is_ordered)
        raise StructureError(
            f"a place is partly occupied ({site.species_string}); write an ordered model of it"
        )
    for site in structure:
        symbol = getattr(site.specie, "symbol", str(site.specie))
        if not Element.is_valid_symbol(symbol) or symbol in {"D", "T"}:
            raise StructureError(f"'{symbol}' is no element of the periodic table")
    distances = structure.distance_matrix + 10 * np.eye(len(structure))
    if len(structure) > 1 and distances.min() < _OVERLAP:
        i, j = np.unravel_index(int(distances.argmin()), distances.shape)
        raise StructureError(
            f"atoms {i + 1} ({structure[int(i)].specie}) and {j + 1} ({structure[int(j)].specie}) "
            f"overlap: they are {distances.min():.2f} Å apart"
        )


def _symmetry(
    cell: tuple[list[list[float]], list[list[float]], list[int]],
    symprec: float,
    hall_number: int = 0,
) -> spglib.SpglibDataset:
    with quiet_spglib():
        data = spglib.get_symmetry_dataset(cell, symprec, hall_number=hall_number)
    if data is None:
        raise StructureError(f"spglib finds no symmetry at symprec {symprec} Å; try another")
    return data


@cache
def _symbol(number: int) -> str:
    from pymatgen.core import Element

    return str(Element.from_Z(int(number)).symbol)
