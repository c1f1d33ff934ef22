"""Vacancies: effective formation energies, against every surrounding."""

import json
from importlib.resources import files

import numpy as np
import pytest

from pyro_hea.disorder import ASEEngine, Configurations, shell_sites, vacancy
from pyro_hea.disorder.engines import BOLTZMANN
from pyro_hea.disorder.references import lattice_constant, usual_lattice
from pyro_hea.disorder.sampling import SamplerSettings
from pyro_hea.disorder.store import EnergyStore
from pyro_hea.disorder.symmetry import distinct_configurations
from pyro_hea.disorder.vacancy_engine import VacancyEngine
from pyro_hea.errors import DataError, EngineError, UnknownElementError
from pyro_hea.evaluate.enumerated import TabulatedEngine, reference_case

EMT = ASEEngine("emt", relax=False)
QUICK = SamplerSettings(steps=60, draws=128, pool=2000, chains=300, sweeps=40)
TEMPERATURES = np.array([400.0, 1000.0])


@pytest.fixture(scope="module")
def exact():
    """Formation energies of every surrounding in Cu of Cu and Pd, by EMT, and their shares."""
    whole, vacant = shell_sites("fcc", 3.6, 2, matrix={"Cu": 1}, centre="Cu")
    x, multiplicity = distinct_configurations(whole.permutations, 2)
    pure = Configurations(whole, ("Cu",), np.zeros((1, 12), np.int8))
    species = ("Cu", "Pd")
    formation = (
        EMT.energies(Configurations(vacant, species, x))
        + EMT.energies(pure)[0] / 32
        - EMT.energies(Configurations(whole, species, x))
    )
    palladium = x.sum(1)
    return formation, multiplicity * 0.75 ** (12 - palladium) * 0.25**palladium, palladium


@pytest.fixture(scope="module")
def found():
    return vacancy(
        {"Cu": 3, "Pd": 1},
        TEMPERATURES,
        engine=EMT,
        centre="Cu",
        matrix="Cu",
        constant=3.6,
        size=2,
        budget=60,
        vibrational_entropy=1.5,
        file=None,
        sampler=QUICK,
    )


class TestInAPureMetal:
    def test_effective_formation_energy(self, found, exact):
        energies, share, _ = exact
        kt = BOLTZMANN * TEMPERATURES
        expected = [-t * np.log(share @ np.exp(-energies / t)) for t in kt]
        assert found.table["E_eff"].tolist() == pytest.approx(expected, abs=0.003)
        assert (found.table["E_eff_low"] <= found.table["E_eff"]).all()
        assert found.table["energies"].max() <= 60

    def test_concentration(self, found):
        kt = BOLTZMANN * TEMPERATURES
        expected = np.exp(1.5 - found.table["E_eff"] / kt)
        assert found.table["concentration"].to_numpy() == pytest.approx(expected.to_numpy())
        assert (found.table["concentration_low"] <= found.table["concentration_high"]).all()

    def test_spread_is_that_of_the_surroundings_of_vacancies(self, found, exact):
        energies, share, _ = exact
        weight = share * np.exp(-energies / (BOLTZMANN * 1000))
        weight /= weight.sum()
        spread = np.sqrt(weight @ energies**2 - (weight @ energies) ** 2)
        row = found.table.set_index("temperature_K").loc[1000]
        assert row["mean"] == pytest.approx(weight @ energies, abs=0.003)
        assert row["spread"] == pytest.approx(spread, rel=0.1)

    def test_the_count_of_palladium_sets_it(self, found, exact):
        energies, share, palladium = exact
        line = np.polyfit(palladium, energies, 1, w=np.sqrt(share))
        first = found.factors.iloc[0]
        assert first["factor"] == "count of Pd"
        assert first["effect"] == pytest.approx(line[0], abs=0.01)

    def test_shows_itself(self, found):
        assert repr(found).startswith("Vacancies(E_eff from ")
        assert "<table" in found._repr_html_()


def test_in_an_alloy_any_atom_may_leave():
    small = SamplerSettings(steps=10, draws=32, pool=200, chains=30, sweeps=5)
    found = vacancy("CuNi", [1000], engine=EMT, size=2, budget=24, file=None, sampler=small)
    assert found.disorder.order["sites"].unique().tolist() == ["0-1", "1-1"]
    assert set(found.attributes["chemical_potentials"]) == {"Cu", "Ni"}
    assert 3.5 < found.attributes["lattice_constant"] < 3.62
    assert 0.5 < found.table["E_eff"].iloc[0] < 1.6


class TestRefused:
    def test_an_unknown_element(self):
        with pytest.raises(UnknownElementError, match="does not know Cr; it knows Ag, Al"):
            vacancy("CuNi", [300], engine=EMT, matrix="NiCr")

    def test_the_chemical_potential_of_an_element_in_an_alloy(self):
        with pytest.raises(DataError, match="known in pure Cu only: give chemical_potentials, or"):
            vacancy("CuNi", [300], engine=EMT, centre="Cu", constant=3.6, file=None)

    @pytest.mark.parametrize(
        ("how", "why"),
        [
            ({"shell": 0}, r"shell=0 is not allowed; it is 1"),
            ({"size": 2.5}, r"size=\(2\.5, 2\.5, 2\.5\) is not allowed"),
            ({"size": 1}, r"do not fit a cell of 1 conventional cells: raise size"),
            ({"lattice": "hcp"}, "lattice 'hcp' is not allowed"),
            ({"constant": 0.36}, r"constant=0\.36 is not allowed; .* 2 to 10 Å"),
            ({"chemical_potentials": {"Cu": "low"}}, "chemical_potentials are numbers of eV"),
            ({"vibrational_entropy": "high"}, "vibrational_entropy='high' is not a number of k"),
        ],
    )
    def test_what_is_no_lattice_shell_or_energy(self, how, why):
        asked = {"engine": EMT, "constant": 3.6, "file": None} | how
        with pytest.raises(DataError, match=why):
            vacancy("CuNi", [300], **asked)

    def test_a_chemical_potential_that_is_missing(self):
        with pytest.raises(DataError, match="there is no chemical potential of Ni"):
            vacancy(
                "CuNi", [300], engine=EMT, constant=3.6, chemical_potentials={"Cu": 0}, file=None
            )


class TestLattice:
    def test_by_valence_electrons(self):
        assert usual_lattice({"Fe": 1}) == "fcc"
        assert usual_lattice({"Cr": 1, "Fe": 1}) == "bcc"

    def test_constant_of_copper_is_that_of_emt(self):
        found = lattice_constant(EMT, {"Cu": 1}, "fcc", store=EnergyStore(None))
        assert found == pytest.approx(3.59, abs=0.01)

    def test_atoms_that_do_not_stay_on_the_lattice(self):
        why = r"of 5 random bcc cells have no energy \(RuntimeError: the atoms left .*relax=False"
        with pytest.raises(EngineError, match=why):
            lattice_constant(ASEEngine("emt"), {"Al": 1, "Au": 1}, "bcc", store=EnergyStore(None))

    def test_no_least_energy(self):
        class Falling:
            key, elements = "falling", None

            def energies(self, configurations):
                return np.array([-np.linalg.det(c) for c in [configurations.sites.cell]])

        with pytest.raises(EngineError, match=r"no lattice constant near .* give one"):
            lattice_constant(Falling(), {"Cu": 1}, "fcc", store=EnergyStore(None))


class TestReferenceCases:
    """Every surrounding by MEAM, kept with the package."""

    @pytest.mark.parametrize(
        ("name", "distinct"), [("NiCr", 144), ("CuNiPd", 12111), ("FeAlCoCr", 1996)]
    )
    def test_effective_energies_are_those_of_the_energies(self, name, distinct):
        case = json.loads((files("pyro_hea.data") / "disorder.json").read_text())["vacancies"][name]
        assert len(case["energies_eV"]) == distinct
        reference = reference_case(name)
        kt = BOLTZMANN * np.array(case["temperatures"])
        share = reference.multiplicity / reference.multiplicity.sum()
        expected = [-t * np.log(share @ np.exp(-reference.energies / t)) for t in kt]
        assert case["E_eff_eV"] == pytest.approx(expected, abs=1e-4)

    def test_equal_surroundings_have_one_energy(self, rng):
        case = reference_case("NiCr")
        x = rng.integers(0, 2, (1, 12)).astype(np.int8)
        every = x[0][case.sites.permutations]
        found = TabulatedEngine(case).energies(Configurations(case.sites, ("Ni", "Cr"), every))
        assert np.ptp(found) == 0

    def test_some_are_computed_again(self, rng):
        case = reference_case("CuNiPd")
        whole, vacant = shell_sites("fcc", 3.6, 2, matrix={"Cu": 1}, centre="Cu")
        pure = Configurations(whole, ("Cu",), np.zeros((1, 12), np.int8))
        potential = {"Cu": EMT.energies(pure)[0] / 32}
        some = rng.integers(0, 3, (10, 12)).astype(np.int8)
        asked = Configurations(whole, case.species, some)
        again = VacancyEngine(EMT, vacant, "Cu", potential).energies(asked)
        assert TabulatedEngine(case).energies(asked) == pytest.approx(again, abs=1e-4)
