"""`partition_function` from end to end, against exact sums, and what it refuses."""

import arviz as az
import numpy as np
import pytest

from pyro_hea.disorder import (
    ASEEngine,
    IsingEngine,
    PairEngine,
    System,
    alloy_sites,
    partition_function,
    square_lattice,
)
from pyro_hea.disorder.engines import BOLTZMANN, log_partition_of_square_ising
from pyro_hea.disorder.sampling import SamplerSettings
from pyro_hea.errors import (
    DataError,
    EngineError,
    EngineWarning,
    EstimateWarning,
    PyroHEAError,
    UnknownElementError,
)

COUPLINGS = np.array([0.6, 0.4407, 0.2])


@pytest.fixture(scope="module")
def spins(ising, sampler):
    return partition_function(ising, 1 / COUPLINGS, budget=500, sampler=sampler)


@pytest.fixture(scope="module")
def ternary(three, sampler):
    return partition_function(three.system, [500, 1500], budget=300, sampler=sampler)


class TestIsing:
    def test_ln_z_is_kaufmans(self, spins):
        exact = [log_partition_of_square_ising(4, c) for c in COUPLINGS]
        assert spins.table["ln_Z"].tolist() == pytest.approx(exact, abs=0.05)
        assert spins.table["trusted"].all()

    def test_energies_stay_within_the_budget(self, spins):
        assert spins.table["energies"].max() <= 500
        assert spins.attributes["paid"] == spins.attributes["energies"]

    def test_the_internal_energy_is_the_known_one(self, spins):
        energy = spins.table["internal_energy"] / BOLTZMANN
        assert energy.tolist() == pytest.approx([-1.9081, -1.5657, -0.4561], abs=0.05)


class TestThreeSpecies:
    """Free fractions and fixed counts, with every quantity known."""

    @pytest.mark.parametrize("row", [0, 1])
    def test_thermodynamics(self, ternary, three, row):
        t = ternary.table.iloc[row]
        kt, n = BOLTZMANN * t["temperature_K"], len(three.system.sites)
        log_z = three.log_z(t["temperature_K"]) + three.system.ideal.entropy
        mean = three.mean(three.energies, t["temperature_K"])
        variance = three.mean(three.energies**2, t["temperature_K"]) - mean**2
        assert t["ln_Z"] == pytest.approx(log_z, abs=0.06)
        assert t["free_energy"] == pytest.approx(-kt * log_z / n, abs=0.06 * kt / n)
        assert t["internal_energy"] == pytest.approx(mean / n, abs=0.001)
        assert t["heat_capacity"] == pytest.approx(variance / kt**2 / n, rel=0.2)
        assert t["entropy"] == pytest.approx((mean / kt + log_z) / n, abs=0.03)

    def test_warren_cowley_parameters(self, ternary, three):
        """1 - P(B beside A) / c_B, by a loop over the pairs of every configuration."""
        pairs = three.system.sites.shells[0].pairs
        first, second = three.x[:, pairs[:, 0]], three.x[:, pairs[:, 1]]
        a, b, c = three.system.ideal.fractions
        both = ((first == 0) & (second == 1)).mean(1) + ((first == 1) & (second == 0)).mean(1)
        expected = 1 - three.mean(both, 500) / (2 * a * b)
        rows = ternary.order.set_index(["temperature_K", "pair"])
        assert rows.loc[(500, "A-B"), "alpha"] == pytest.approx(expected, abs=0.05)
        same = 1 - three.mean(((first == 2) & (second == 2)).mean(1), 500) / c**2
        assert rows.loc[(500, "C-C"), "alpha"] == pytest.approx(same, abs=0.3)
        assert (ternary.order["alpha_low"] <= ternary.order["alpha"]).all()

    def test_factors_explain_an_energy_of_pairs(self, ternary):
        assert ternary.factors["share"].sum() > 0.95

    def test_draws_are_replicates_of_the_table(self, ternary, tmp_path):
        posterior = ternary.idata["posterior"]
        low, high = np.quantile(posterior["ln_Z"].values[0], [0.03, 0.97], axis=0)
        assert low == pytest.approx(ternary.table["ln_Z_low"].to_numpy())
        assert high == pytest.approx(ternary.table["ln_Z_high"].to_numpy())
        ternary.idata.to_netcdf(tmp_path / "d.nc")
        again = az.from_netcdf(tmp_path / "d.nc")
        assert again["posterior"]["warren_cowley"].equals(posterior["warren_cowley"])

    def test_weights_are_of_the_configurations(self, ternary, three):
        weights = ternary.weights
        assert len(weights) == len(ternary.configurations)
        assert weights["weight_500_K"].sum() == pytest.approx(1)
        energies = three.system.engine.energies(ternary.configurations)
        assert weights["energy"].to_numpy() == pytest.approx(energies)

    def test_shows_itself(self, ternary):
        assert repr(ternary).startswith("Disorder(2 temperatures from 500 to 1500 K, ")
        assert repr(ternary).endswith("2 rows trusted)")
        assert "<table" in ternary._repr_html_()


def test_a_seed_gives_one_result(ising, numpy_state):
    small = SamplerSettings(steps=20, draws=64, pool=500, chains=50, sweeps=20)
    before = numpy_state()
    one, two, other = (
        partition_function(ising, [5.0], budget=60, seed=seed, sampler=small) for seed in (1, 1, 2)
    )
    assert one.table.equals(two.table)
    assert not one.table.equals(other.table)
    assert numpy_state() == before


@pytest.mark.filterwarnings("ignore::pyro_hea.errors.EstimateWarning")
def test_a_run_is_resumed_to_the_same_result(tmp_path, sampler):
    """Whatever is known already is not paid for, and changes nothing."""

    class Stopped(ASEEngine):
        left = 12

        def energies(self, configurations):
            if self.left == 0:
                raise KeyboardInterrupt
            object.__setattr__(self, "left", self.left - 1)
            return super().energies(configurations)

    sites = alloy_sites("fcc", 3.7, (1, 2, 2), 2)
    small = SamplerSettings(steps=10, draws=32, pool=200, chains=20, sweeps=5)
    how = {"budget": 24, "sampler": small, "file": tmp_path / "e"}
    alloy, emt = {"Cu": 1, "Au": 1}, {"relax": False, "key": "emt"}
    with pytest.raises(KeyboardInterrupt):
        partition_function(System(sites, alloy, Stopped(**emt)), [2000], **how)
    again = partition_function(System(sites, alloy, ASEEngine(**emt)), [2000], **how)
    assert again.attributes["known"] == 12
    how["file"] = None
    fresh = partition_function(System(sites, alloy, ASEEngine(**emt)), [2000], **how)
    assert fresh.attributes["paid"] == again.attributes["paid"] + 12
    assert fresh.table.equals(again.table)


class TestRefused:
    @pytest.mark.parametrize("temperatures", [[], [0], [-300], [np.nan], [np.inf], "hot", {"a": 1}])
    def test_temperatures(self, ising, temperatures):
        with pytest.raises(DataError, match=r"temperatures are numbers of K above 0, as"):
            partition_function(ising, temperatures)

    def test_a_budget_that_is_too_small(self, ising):
        with pytest.raises(EngineError, match="budget of 10 energies is too small: give at least"):
            partition_function(ising, [5], budget=10)
        with pytest.raises(EngineError, match=r"budget=30\.5 is not allowed; it is a whole number"):
            partition_function(ising, [5], budget=30.5)
        with pytest.raises(DataError, match="seed=-1 is not allowed"):
            partition_function(ising, [5], seed=-1)

    def test_what_is_no_system_engine_or_effort(self):
        with pytest.raises(DataError, match=r"'CuNi' is no System .* takes a formula"):
            partition_function("CuNi", [300])
        with pytest.raises(EngineError, match=r"'emt' is no engine: give ASEEngine\('emt'\)"):
            System(square_lattice(4), {"A": 1, "B": 1}, "emt")
        with pytest.raises(DataError, match=r"a composition is a mapping, .* not 'CuNi'"):
            System(square_lattice(4), "CuNi", ASEEngine("emt"))
        with pytest.raises(DataError, match="steps=0 is not allowed; it is a whole number above 0"):
            SamplerSettings(steps=0)
        with pytest.raises(EngineError, match=r"force=-1, steps=500 are not allowed"):
            ASEEngine("emt", force=-1)

    def test_an_element_that_the_engine_does_not_know(self):
        with pytest.raises(UnknownElementError, match="does not know Cr; it knows Ag, Al, Au"):
            System(square_lattice(4), {"Ni": 1, "Cr": 1}, ASEEngine("emt"))

    def test_a_composition_that_does_not_fit(self):
        with pytest.raises(DataError, match=r"does not fit 9 sites: the nearest .* is A5B4"):
            System(square_lattice(3), {"A": 1, "B": 1}, IsingEngine())

    def test_one_element(self):
        with pytest.raises(DataError, match="has no disorder: it needs two elements at least"):
            System(square_lattice(3), {"A": 1, "B": 0}, IsingEngine())

    def test_a_calculator_that_is_none(self):
        with pytest.raises(EngineError, match="'mace' is no calculator: give 'emt', or a function"):
            ASEEngine("mace")

    def test_a_calculator_without_a_name(self):
        with pytest.raises(EngineError, match="this one has none: give ASEEngine"):
            ASEEngine(lambda: None)


def test_an_engine_that_fails_here_and_there_is_lived_with(sampler):
    class Failing(PairEngine):
        def energies(self, configurations):
            if configurations.occupations.sum() == 7:
                raise RuntimeError("no convergence")
            return super().energies(configurations)

    system = System(
        square_lattice(4), {"A": 1, "B": 1}, Failing([[[0, 0.01], [0.01, 0]]]), fixed=False
    )
    with pytest.warns(EngineWarning, match="no convergence"):
        found = partition_function(system, [900], budget=80, sampler=sampler)
    aside = len(found.attributes["kept_aside"])
    assert aside > 0
    assert f"{aside} kept aside" in repr(found)


def test_what_is_too_hard_is_said():
    """Frozen spins from a generator that is hardly trained, with few energies."""
    hard = System(square_lattice(6), {"up": 1, "down": 1}, IsingEngine(), fixed=False)
    poor = SamplerSettings(steps=2, draws=8, pool=60, chains=3, sweeps=2, neighbours=2)
    why = r"1\.2 K: (two estimates|k-hat|missed) [^:]*\): raise the budget, or ask"
    with pytest.warns(EstimateWarning, match=rf"of the cell .* are not to be trusted \({why}"):
        found = partition_function(hard, [1.2], budget=40, sampler=poor)
    assert not found.table["trusted"].any()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"sampler": {"steps": 10}}, r"write SamplerSettings\(steps=300\)"),
        ({"executor": 2}, r"executor=2 is not allowed; give Processes\(2\)"),
        ({"budget": "100"}, "budget='100' is not allowed; it is a whole number of energies"),
    ],
)
def test_settings_of_another_type_are_named(ising, how, message):
    with pytest.raises(PyroHEAError, match=message):
        partition_function(ising, [4.0], **how)


def test_a_system_has_sites_and_an_engine_that_was_made():
    spins = {"up": 1, "down": 1}
    with pytest.raises(DataError, match=r"sites are those of square_lattice\(4\)"):
        System("fcc", spins, IsingEngine())
    with pytest.raises(EngineError, match="is no engine"):
        System(square_lattice(3), spins, IsingEngine)
    with pytest.raises(DataError, match="at least 3 sites along an edge, not '4'"):
        square_lattice("4")
