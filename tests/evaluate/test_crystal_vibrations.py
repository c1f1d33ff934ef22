"""Relaxed crystals and their phonons, by ASE's effective medium theory."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.phonons import Phonons
from pymatgen.core import Structure

from pyro_hea.evaluate.crystal_vibrations import KELVIN_PER_THZ, SOFT, vibrations

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING")  # phonopy asks spglib so

COPPER = 3.59
"""Å: the lattice constant of EMT's copper."""


def of(lattice: str, a: float) -> Structure:
    return Structure.from_ase_atoms(bulk("Cu", lattice, a=a))


def test_copper_has_the_frequencies_that_ase_finds(tmp_path):
    found = vibrations(of("fcc", 3.7), EMT())
    assert found.converged
    assert found.same_space_group
    assert found.lowest == pytest.approx(0, abs=1e-3)
    phonons = Phonons(bulk("Cu", "fcc", a=COPPER), EMT(), supercell=(4, 4, 4), name=tmp_path / "cu")
    phonons.run()
    phonons.read(acoustic=True)
    at_x = phonons.band_structure([[0.5, 0.5, 0.0]], verbose=False)[0]  # eV
    highest = at_x.max() / 8.617333262e-5
    assert found.acoustic_debye_temperature == pytest.approx(highest, rel=0.02)


def test_a_lattice_that_is_no_minimum_has_soft_modes():
    found = vibrations(of("bcc", 2.9), EMT())
    assert found.converged
    assert found.lowest < SOFT


def test_a_relaxation_that_does_not_end_says_so(monkeypatch):
    monkeypatch.setattr("pyro_hea.evaluate.crystal_vibrations.STEPS", 1)
    found = vibrations(of("fcc", 3.9), EMT())
    assert not found.converged
    assert not found.same_space_group
    assert np.isnan(found.lowest)


def test_h_over_k():
    assert pytest.approx(6.62607015e-34 * 1e12 / 1.380649e-23) == KELVIN_PER_THZ
