"""Relaxed crystals and their phonons, by ASE's effective medium theory."""

import importlib
import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.phonons import Phonons
from pymatgen.core import Structure

from pyro_hea.evaluate import Runner
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


def test_the_protocol_scales_temperatures_by_known_crystals_and_counts(monkeypatch, tmp_path):
    protocol = importlib.import_module("pyro_hea.evaluate.benchmark.vibrations")

    def of_group(seed, group, folder):
        """Temperatures that are 0.8 of what is expected; of designs every other has soft modes."""
        expected = {"A": 50.0, "B": 400.0}.get(group[-1], 100.0) * np.linspace(0.8, 1.1, 4)
        lowest = [0.0, -1.0, 0.0, float("nan")] if len(group) == 1 else [0.0] * 4
        return [
            {"seed": seed, "group": group, "formula": "X", "expected": e, "lowest": low}
            | {"same_space_group": low == low, "acoustic_debye_temperature": 0.8 * e}
            for e, low in zip(expected.tolist(), lowest, strict=True)
        ]

    monkeypatch.setattr(protocol, "_group", of_group)
    result = protocol.vibrations(Runner(folder=None, progress=False), 1)
    known, a, *_ = result.tables["Relaxed by CHGNet"].to_dict("records")
    assert known["median by CHGNet (K)"] == pytest.approx(known["median expected (K)"])
    assert (a["no mode below -0.3 THz (%)"], a["relaxed in their space group (%)"]) == (50, 75)
    assert a["as wished (%)"] == 100
    assert result.tables["Known crystals without soft modes"]["factor"].item() == pytest.approx(
        1.25
    )
    result.write(tmp_path)
    read = json.loads((tmp_path / "vibrations.json").read_text(), parse_constant=pytest.fail)
    assert [row["lowest"] for row in read["crystals"][4:8]] == [0, -1, 0, None]
    labels = [text.get_text() for text in result.figure.axes[0].get_legend().get_texts()]
    assert labels[:3] == ["agreement", "real, none soft", "A, none soft"]
