"""Measures of disorder: baselines are right, and errors are counted from what is exact."""

import sys

import numpy as np
import pandas as pd
import pytest

from pyro_hea.disorder import Configurations, SamplerSettings
from pyro_hea.disorder.engines import BOLTZMANN
from pyro_hea.evaluate import Runner, benchmark
from pyro_hea.evaluate import disorder as measured
from pyro_hea.evaluate.enumerated import reference_case

LITTLE = SamplerSettings(bits=3, steps=10, draws=32, pool=500, chains=60, sweeps=10, neighbours=4)


@pytest.fixture(autouse=True)
def little(monkeypatch):
    monkeypatch.setattr(SamplerSettings, "of", lambda sites: LITTLE)


def test_the_exact_energy_is_the_known_one():
    system = measured.ising_system(4)
    exact = [measured._exact_energy(system, c / BOLTZMANN) for c in measured.COUPLINGS]
    assert exact == pytest.approx([-0.4561, -1.5657, -1.9081], abs=1e-4)


def test_metropolis_samples_the_ensemble():
    system, beta = measured.ising_system(4), 0.2 / BOLTZMANN
    chain = measured._metropolis(system, beta, 40_000, 0)
    assert chain[4000:].mean() / 16 / BOLTZMANN == pytest.approx(-0.4561, abs=0.02)


def test_random_draws_estimate_ln_z():
    system = measured.ising_system(4)
    found = measured._random_log_z(system, 50_000, 0.2 / BOLTZMANN, 0) + system.ideal.entropy
    assert found == pytest.approx(11.7715, abs=0.03)


def test_spins_by_fours_have_a_known_ln_z():
    """Ln Z of weak interactions is half of the variance of the energy, (K / kT)² a square."""
    system = measured.ising_system(4)
    fours = measured.PlaquetteEngine()
    x = system.ideal.sample(5, np.random.default_rng(0))
    spins = 1 - 2 * x.reshape(5, 4, 4).astype(int)
    expected = np.zeros(5)
    for i in range(4):
        for j in range(4):
            k, m = (i + 1) % 4, (j + 1) % 4
            expected -= spins[:, i, j] * spins[:, i, m] * spins[:, k, j] * spins[:, k, m]
    found = fours.energies(Configurations(system.sites, system.ideal.species, x)) / BOLTZMANN
    assert found.tolist() == pytest.approx(expected.tolist())
    rows = measured.many_body_error(0.1, (40,), 1)
    assert [row["method"] for row in rows] == ["inverse VAE", "random"]
    assert rows[1]["error"] == pytest.approx(0.4 / 40**0.5, rel=0.2)


def test_spins_are_measured_beside_random_draws():
    rows = measured.ising(4, 150, 0)
    assert [row["coupling"] for row in rows] == [0.6, 0.4407, 0.2]
    assert all(row["energies"] <= 150 for row in rows)
    hot = rows[-1]
    assert abs(hot["error"]) < 0.1
    assert abs(hot["random_error"]) < 0.3


def test_a_reference_case_is_measured_against_every_surrounding():
    found = measured.reference("NiCr", 60, 0)
    case = reference_case("NiCr")
    x = np.random.default_rng(0).integers(0, 2, (20_000, 12)).astype(np.int8)
    engine = measured.TabulatedEngine(case)
    energies = engine.energies(Configurations(case.sites, case.species, x))
    kt = BOLTZMANN * 1400
    assert found["exact"][-1] == pytest.approx(
        -kt * np.log(np.exp(-energies / kt).mean()), abs=2e-3
    )
    assert np.abs(found["error"]).max() < 0.02
    assert found["first_factor"] == "count of Cr"


@pytest.mark.slow
def test_the_protocol_shows_every_part(tmp_path, monkeypatch):
    module = sys.modules[benchmark.disorder.__module__]
    monkeypatch.setattr(module, "BUDGETS", dict.fromkeys(module.BUDGETS, (30,)))
    monkeypatch.setattr(module, "LENGTH", 6)
    monkeypatch.setattr(measured, "_CHAINS", 2)
    result = benchmark.disorder(Runner(folder=tmp_path, progress=False), 1)
    tables = result.tables
    spins = tables["4 × 4 Ising, ln Z"]
    assert spins["J / kT"].tolist() == [0.2, 0.4407, 0.6]
    errors = pd.DataFrame(result.content["ising"]["4-seed0"]).set_index("coupling")["error"]
    assert spins["mean error"].tolist() == pytest.approx(errors.sort_index().tolist())
    runs = tables["Replayed draws"].set_index("runs")["number"]
    assert runs["inverse VAE"] == 3
    assert runs.sum() == 4
    assert len(tables["Beside mchammer"]) == 5
    assert len(result.figure.axes) == 3
