"""Crystals relaxed by an interatomic potential, and whether they vibrate about a minimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.errors import missing_extra

if TYPE_CHECKING:
    from pymatgen.core import Structure

KELVIN_PER_THZ = 47.992430733
"""h/k: the temperature of a frequency (CODATA 2018)."""

SOFT = -0.3
"""THz. A crystal with a lower frequency (an imaginary one, written below zero) is no minimum."""

FORCE, STEPS = 0.02, 500
"""eV/Å that a relaxation leaves at most, and its steps."""

SYMPREC = 0.05
"""Å by which atoms may be off for a space group after the relaxation."""

_LENGTH = 8.0
"""Å of the supercell along each axis, at least."""

_DISPLACEMENT, _MESH = 0.03, 100.0
"""Of the atoms, in Å; and the mesh of wave vectors, as a length in Å."""


@dataclass(frozen=True)
class Vibrations:
    """What a potential says of a crystal.

    Attributes
    ----------
    converged : bool
        Whether the relaxation ended; if not, the others are False or not a number.
    same_space_group : bool
        Whether it has the space group it began with.
    lowest : float
        Lowest frequency over the Brillouin zone in THz; below zero where it is imaginary.
    acoustic_debye_temperature : float
        Highest frequency of the three lowest branches times h/k, in K; 0 where all are imaginary.
    """

    converged: bool
    same_space_group: bool = False
    lowest: float = float("nan")
    acoustic_debye_temperature: float = float("nan")


def vibrations(structure: Structure, calculator: Any) -> Vibrations:
    """Relax cell and atoms, then find the phonons by finite displacements.

    Parameters
    ----------
    structure : pymatgen Structure
        A primitive cell.
    calculator : ase.calculators.calculator.Calculator

    Raises
    ------
    MissingExtraError
        Without ASE and phonopy (the extra `vibrations`).
    """
    try:
        from ase.filters import FrechetCellFilter
        from ase.optimize import FIRE
        from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
    except ImportError:
        raise missing_extra("ase", "vibrations") from None
    atoms: Any = structure.to_ase_atoms(msonable=False)
    atoms.calc = calculator
    cell_and_atoms: Any = FrechetCellFilter
    with FIRE(cell_and_atoms(atoms), logfile=None) as relaxation:
        if not relaxation.run(fmax=FORCE, steps=STEPS):
            return Vibrations(converged=False)
    relaxed = type(structure).from_ase_atoms(atoms)
    groups = [SpacegroupAnalyzer(s, SYMPREC).get_space_group_number() for s in (structure, relaxed)]
    lowest, acoustic = _frequencies(atoms, calculator)
    return Vibrations(True, groups[0] == groups[1], lowest, acoustic * KELVIN_PER_THZ)


def _frequencies(atoms: Any, calculator: Any) -> tuple[float, float]:
    """The lowest of all, and the highest of the three lowest branches, in THz."""
    try:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms
    except ImportError:
        raise missing_extra("phonopy", "vibrations") from None
    times = np.ceil(_LENGTH / atoms.cell.lengths()).astype(int)
    cell = PhonopyAtoms(
        atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
    )
    phonon: Any = Phonopy(cell, np.diag(times), primitive_matrix="P", symprec=SYMPREC / 10)
    phonon.generate_displacements(distance=_DISPLACEMENT)
    forces = []
    for moved in phonon.supercells_with_displacements:
        supercell = type(atoms)(
            moved.symbols, cell=moved.cell, scaled_positions=moved.scaled_positions, pbc=True
        )
        forces.append(calculator.get_forces(supercell))
    phonon.forces = forces
    phonon.produce_force_constants(show_drift=False)
    phonon.run_mesh(_MESH)
    branches = phonon.mesh.frequencies
    return float(branches.min()), max(float(branches[:, :3].max()), 0.0)
