"""Bridges from a surrogate to an engine that it does not know, against exact sums."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pyro_hea.disorder import (
    PairEngine,
    SamplerSettings,
    System,
    partition_function,
    square_lattice,
)
from pyro_hea.disorder.annealing import Sweep
from pyro_hea.disorder.bridge import bridge
from pyro_hea.disorder.engines import BOLTZMANN
from pyro_hea.disorder.estimates import estimate, with_bridge
from pyro_hea.disorder.features import PairFeatures
from pyro_hea.disorder.pools import Pool
from pyro_hea.disorder.surrogate import fit_surrogate
from pyro_hea.errors import EstimateWarning

from .conftest import THREE, Exact

TEMPERATURES = np.array([500.0, 1500.0])
BETA = 1 / (BOLTZMANN * TEMPERATURES)


class Rough(PairEngine):
    """Pairs, and of each configuration something of its own that no count explains."""

    spread = 0.08
    """In eV: 1.9 kT at 500 K."""

    def energies(self, configurations):
        x = configurations.occupations.astype(np.uint64)
        word = (x * 3 ** np.arange(x.shape[1], dtype=np.uint64)).sum(1)
        uniform = ((word * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)) / 2.0**53
        own = np.sqrt(12) * (uniform - 0.5)
        return super().energies(configurations) + self.spread * own


@pytest.fixture(scope="module")
def rough(three):
    engine = Rough(THREE.interactions, THREE.fields)
    system = System(three.system.sites, three.system.composition, engine, fixed=three.system.fixed)
    return Exact(system)


@pytest.fixture(scope="module")
def start(three):
    """A surrogate that knows the pairs alone, and exact draws of its ensembles."""
    rng = np.random.default_rng(0)
    ideal = three.system.ideal
    features = PairFeatures(three.system.sites, ideal.species)
    surrogate = fit_surrogate(features, three.x[::3], three.energies[::3])
    rows = np.stack([rng.choice(len(three.x), 3000, p=three.probability(t)) for t in TEMPERATURES])
    log_z = np.array([three.log_z(t) for t in TEMPERATURES])
    pool = Pool(three.x[rows], three.energies[rows], np.repeat(log_z[:, None], 3000, 1))
    return SimpleNamespace(surrogate=surrogate, pool=pool)


@pytest.fixture(scope="module", params=[1, 6])
def crossed(request, rough, three, start):
    """Bridges of one step, which is direct weighting, and of six."""
    rng = np.random.default_rng(1)
    known = {x.tobytes(): e for x, e in zip(rough.x, rough.energies, strict=True)}
    return bridge(
        start.pool.occupations.reshape(-1, len(three.system.sites)),
        np.repeat([0, 1], 3000),
        BETA,
        np.array([request.param, request.param]),
        engine=lambda x: np.array([known[row.tobytes()] for row in x]),
        surrogate=start.surrogate.energies,
        sweep=Sweep(start.surrogate, three.system.ideal, rng),
        rng=rng,
    )


class TestBridge:
    @pytest.mark.parametrize("row", [0, 1])
    def test_weights_average_to_the_ratio_of_z(self, crossed, rough, three, row):
        exact = rough.log_z(TEMPERATURES[row]) - three.log_z(TEMPERATURES[row])
        weight = np.exp(crossed.log_weight[crossed.rows == row])
        error = weight.std() / weight.mean() / len(weight) ** 0.5
        assert np.log(weight.mean()) == pytest.approx(exact, abs=4 * error)

    def test_averages_are_the_engines(self, crossed, rough, start, three):
        """As they are put into an estimate, at one temperature by the bridge."""
        rng = np.random.default_rng(2)
        x = three.system.ideal.sample(200, rng)
        cheap = start.surrogate.energies(x)
        direct = estimate(start.pool, BETA, cheap, cheap, x == 1, rng)
        made = crossed.occupations == 1
        found = with_bridge(direct, start.pool, crossed, made, rng)
        for row, temperature in enumerate(TEMPERATURES):
            assert found.log_z[row] == pytest.approx(
                rough.log_z(temperature), abs=4 * found.log_z_sd[row]
            )
            mean = rough.mean(rough.energies, temperature)
            spread = found.replicates["moments"][:, row, 0].std()
            assert found.moments[row, 0] == pytest.approx(mean, abs=4 * spread)
            exact = rough.mean(rough.x == 1, temperature)
            assert found.averages[row] == pytest.approx(exact, abs=0.08)
            assert found.weight[row].sum() == pytest.approx(1)
            assert not found.weight[row, : len(x)].any()

    def test_energies_are_of_the_configurations(self, crossed, rough):
        known = {x.tobytes(): e for x, e in zip(rough.x, rough.energies, strict=True)}
        assert crossed.energies.tolist() == [known[x.tobytes()] for x in crossed.occupations]


def test_steps_make_weights_more_even(rough, three, start):
    spread = {}
    known = {x.tobytes(): e for x, e in zip(rough.x, rough.energies, strict=True)}
    for steps in (1, 12):
        rng = np.random.default_rng(0)
        found = bridge(
            start.pool.occupations[0, :500],
            np.zeros(500, int),
            BETA,
            np.array([steps, 0]),
            engine=lambda x: np.array([known[row.tobytes()] for row in x]),
            surrogate=start.surrogate.energies,
            sweep=Sweep(start.surrogate, three.system.ideal, rng),
            rng=rng,
        )
        spread[steps] = found.log_weight.std()
    assert spread[12] < 0.6 * spread[1]


def test_what_has_no_energy_is_left_out(three, start):
    """Neither started from nor moved to."""
    rng = np.random.default_rng(0)

    def engine(x):
        return np.where(x[:, 0] == 0, np.nan, start.surrogate.energies(x))

    found = bridge(
        start.pool.occupations[0, :300],
        np.zeros(300, int),
        BETA,
        np.array([4, 0]),
        engine=engine,
        surrogate=start.surrogate.energies,
        sweep=Sweep(start.surrogate, three.system.ideal, rng),
        rng=rng,
    )
    assert 0 < len(found.energies) < 300
    assert np.isfinite(found.energies).all()
    assert (found.occupations[:, 0] != 0).all()
    assert found.log_weight == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def rougher():
    """An engine of which pairs explain little: 3.5 kT are left at the lower temperature."""
    engine = Rough(THREE.interactions, THREE.fields)
    object.__setattr__(engine, "spread", 0.15)
    one = np.arange(9)[None]  # what each configuration has of its own, no symmetry leaves as it is
    sites = replace(square_lattice(3), permutations=one)
    return Exact(System(sites, {"A": 4, "B": 3, "C": 2}, engine, fixed=False))


@pytest.fixture(scope="module")
def found(rougher):
    sampler = SamplerSettings(steps=60, draws=64, pool=2000, chains=300, sweeps=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EstimateWarning)
        return partition_function(rougher.system, TEMPERATURES, 1200, sampler=sampler)


class TestFromEndToEnd:
    def test_few_draws_would_have_the_weight(self, found):
        """So it is seen that direct draws do not suffice, and a bridge is made."""
        unlike = found.weights[found.weights["weight_1500_K"] == 0]
        assert unlike["weight_500_K"].sum() == pytest.approx(1)
        assert len(unlike) >= 40

    def test_ln_z_and_energies_are_the_exact_ones(self, found, rougher):
        for row, temperature in enumerate(TEMPERATURES):
            t = found.table.iloc[row]
            exact = rougher.log_z(temperature) + rougher.system.ideal.entropy
            assert t["ln_Z"] == pytest.approx(exact, abs=1.5 * (t["ln_Z_high"] - t["ln_Z_low"]))
            mean = rougher.mean(rougher.energies, temperature) / len(rougher.system.sites)
            width = t["internal_energy_high"] - t["internal_energy_low"]
            assert t["internal_energy"] == pytest.approx(mean, abs=1.5 * width)

    def test_all_of_the_budget_is_kept(self, found):
        assert found.table["energies"].max() <= 1200
