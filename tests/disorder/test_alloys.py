"""An alloy, a table of alloys, a design and the command line, by EMT."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from pyro_hea import alloy_disorder
from pyro_hea.cli import disorder as command
from pyro_hea.cli import main
from pyro_hea.design.result import DesignResult
from pyro_hea.disorder import ASEEngine, SamplerSettings, disorder_table
from pyro_hea.errors import (
    DataError,
    EngineError,
    EngineWarning,
    EstimateWarning,
    UnknownElementError,
)

EMT = ASEEngine("emt", relax=False)
pytestmark = pytest.mark.filterwarnings("ignore::pyro_hea.errors.EstimateWarning")


@pytest.fixture(scope="module", autouse=True)
def _few_replicates():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyro_hea.disorder.estimates._REPLICATES", 20)
        yield


@pytest.fixture(scope="module")
def how(tmp_path_factory):
    """Few energies, which are kept for the tests that follow."""
    return {
        "budget": 20,
        "environments": 20,
        "sampler": SamplerSettings(steps=3, draws=8, pool=40, chains=20, sweeps=4, neighbours=4),
        "file": tmp_path_factory.mktemp("energies") / "e.sqlite",
    }


@pytest.fixture(scope="module")
def found(how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EstimateWarning)
        return alloy_disorder("CuNi", [600, 1200], engine=EMT, **how)


def test_the_table_has_the_cell_and_the_vacancies(found):
    table = found.table
    assert table["temperature_K"].tolist() == [600, 1200]
    assert table["E_eff"].equals(found.vacancies.table["E_eff"])
    assert (table["energies"] <= 20 + 2 * 20).all()
    assert table.attrs["units"]["E_eff"] == "eV"
    assert set(table.attrs["units"]) >= {"heat_capacity", "concentration"}


def test_the_cell_has_the_composition(found):
    counts = np.bincount(found.bulk.configurations.occupations[0])
    assert counts[0] == counts[1]
    assert found.cell == f"Cu{counts[0]}Ni{counts[1]}"
    assert repr(found).startswith(f"AlloyDisorder(CuNi as {found.cell}; Disorder(2 temp")
    assert "<table" in found._repr_html_()


def test_a_design_pays_for_no_energy_again(found, how):
    fractions = pd.DataFrame({"Cu": [0.5, 0.5], "Ni": [0.5, 0.0], "Cr": [0.0, 0.5]})
    fractions.index = ["CuNi", "CrCu"]
    designs = SimpleNamespace(fractions=fractions)
    with pytest.warns(EngineWarning, match="1 of 2 alloys have elements that the engine does not"):
        table = DesignResult.disorder(designs, engine=EMT, temperatures=[600, 1200], **how)
    assert table["formula"].tolist() == ["CuNi"] * 2
    again = table.drop(columns=["formula", "cell"])
    pd.testing.assert_frame_equal(again, found.table)


class TestRefused:
    def test_designs_of_other_elements(self):
        fractions = pd.DataFrame({"Cr": [1.0]}, index=["Cr"])
        with pytest.raises(UnknownElementError, match="none of the 1 alloys has only elements"):
            disorder_table(fractions, [300], engine=EMT)

    def test_an_unknown_element(self):
        with pytest.raises(UnknownElementError, match="does not know Cr; it knows Ag, Al"):
            alloy_disorder("CrNi", [300], engine=EMT)

    def test_a_composition_that_fits_no_cell(self):
        with pytest.raises(
            DataError, match=r"fits no fcc cell .* the nearest that does is Cu\d+Ni.* nearest=True"
        ):
            alloy_disorder({"Cu": 1, "Ni": 0.317}, [300], engine=EMT)

    def test_all_before_the_first_energy_is_paid_for(self):
        class Costly:
            key, elements = "costly", None

            def energies(self, configurations):
                raise KeyboardInterrupt("an energy was asked for")

        for how, why in (
            ({"environments": 5}, r"5 energies is too small \(environments\)"),
            ({"budget": 5}, r"5 energies is too small \(budget\)"),
            ({"lattice": "hcp"}, "allowed: fcc, bcc"),
            ({"constant": 360}, "constant=360 is not allowed"),
        ):
            with pytest.raises((DataError, EngineError), match=why):
                alloy_disorder("CuNi", [300], engine=Costly(), file=None, **how)


class TestCommandLine:
    def test_prints_and_writes_the_table(self, how, tmp_path, monkeypatch):
        monkeypatch.setattr(command, "_engine", lambda name: EMT)
        monkeypatch.setattr(SamplerSettings, "of", lambda sites: how["sampler"])
        out, file = str(tmp_path / "t.csv"), str(how["file"])
        arguments = ["disorder", "CuNi", "--temperature", "600,1200", "--budget", "20"]
        arguments += ["--environments", "20", "--file", file, "--out", out, "--quiet"]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        assert "Warren–Cowley parameters of the first shell" in result.output
        assert "What sets the formation energy of a vacancy" in result.output
        written = pd.read_csv(out)
        assert written["temperature_K"].tolist() == [600, 1200]
        assert {"ln_Z", "E_eff", "concentration"} <= set(written)

    def test_five_temperatures_from_the_lowest_to_the_highest(self):
        assert command._temperatures(None, None, "300:1500") == [300, 600, 900, 1200, 1500]

    def test_temperatures_that_are_none(self):
        result = CliRunner().invoke(main, ["disorder", "CuNi", "--temperature", "hot"])
        assert result.exit_code == 2
        assert "'hot' is not allowed; write 300:1500 or 300,900" in result.output

    def test_a_folder_that_is_not_there_is_named_before_anything_is_computed(self, tmp_path):
        out = str(tmp_path / "none" / "t.csv")
        result = CliRunner().invoke(main, ["disorder", "CuNi", "--engine", "emt", "--out", out])
        assert result.exit_code == 1
        assert f"cannot write into '{tmp_path / 'none'}': it is no folder" in result.output

    def test_an_error_of_the_package_is_a_message(self):
        result = CliRunner().invoke(main, ["disorder", "CrNi", "--engine", "emt"])
        assert result.exit_code == 1
        assert "the engine does not know Cr; it knows Ag, Al, Au" in result.output
