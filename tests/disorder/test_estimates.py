"""Weighted draws and what is made of them, against enumeration; the replay trap."""

import numpy as np
import pytest
import torch

from pyro_hea.disorder import Configurations, square_lattice
from pyro_hea.disorder.annealing import Annealing
from pyro_hea.disorder.engines import BOLTZMANN
from pyro_hea.disorder.estimates import draw_from_pool, estimate
from pyro_hea.disorder.features import PairFeatures
from pyro_hea.disorder.pools import (
    Pool,
    generated_pool,
    tail_shape,
)
from pyro_hea.disorder.program import InverseVAE
from pyro_hea.disorder.result import is_trusted
from pyro_hea.disorder.sampling import SamplerSettings, ladder, make_generator
from pyro_hea.disorder.surrogate import fit_surrogate
from pyro_hea.disorder.variants import variants
from pyro_hea.evaluate.replay import replayed

TEMPERATURES = np.array([600.0, 1500.0])
BETA = 1 / (BOLTZMANN * TEMPERATURES)


@pytest.fixture(scope="module")
def surrogate(three):
    features = PairFeatures(three.system.sites, three.system.ideal.species)
    rows = np.random.default_rng(0).permutation(len(three.x))[:100]
    return fit_surrogate(features, three.x[rows], three.energies[rows])


@pytest.fixture(scope="module", params=["generated", "annealed"])
def pool(request, three, surrogate):
    ideal = three.system.ideal
    if request.param == "annealed":
        rng = np.random.default_rng(0)
        return Annealing(surrogate, ideal, BETA, chains=2000, sweeps=60, rng=rng).from_ideal()
    torch.manual_seed(0)
    generator = make_generator(three.system.sites, ideal, 2, SamplerSettings(bits=3))
    return generated_pool(InverseVAE(generator, surrogate, torch.tensor(BETA)), surrogate, 20_000)


class TestPools:
    def test_weights_average_to_z(self, pool, three):
        exact = [three.log_z(t) for t in TEMPERATURES]
        assert pool.log_z == pytest.approx(exact, abs=0.1)

    def test_averages_are_those_of_the_ensemble(self, pool, three):
        drawn = pool.resample(4000, np.random.default_rng(0))
        for at, temperature in enumerate(TEMPERATURES):
            exact = three.mean((three.x == 1).sum(1), temperature)
            assert (drawn[at] == 1).sum(1).mean() == pytest.approx(exact, abs=0.15)

    def test_configurations_are_allowed(self, pool, three):
        if three.system.ideal.fixed:
            counts = [(pool.occupations == c).sum(-1) for c in range(3)]
            assert (np.stack(counts, -1) == three.system.ideal.counts).all()


def test_what_is_made_badly_is_made_from_what_is_hotter(pool, three, surrogate, rng):
    """The lower temperature, as if its own draws were of no use."""
    lost = Pool(pool.occupations, pool.energies, pool.log_weight + np.array([[50.0], [0.0]]))
    annealing = Annealing(surrogate, three.system.ideal, BETA, chains=1500, sweeps=60, rng=rng)
    made = annealing.from_hotter(lost, np.array([False, True]))
    assert made.log_z[0] == pytest.approx(three.log_z(TEMPERATURES[0]), abs=0.15)
    assert (made.log_weight[1] == pool.log_weight[1]).all()
    assert made.effective[0] == pytest.approx(1500 * made.share[0])
    drawn = made.resample(4000, rng)[0]
    exact = three.mean((three.x == 1).sum(1), TEMPERATURES[0])
    assert (drawn == 1).sum(1).mean() == pytest.approx(exact, abs=0.2)
    energies = surrogate.energies(drawn).mean()
    assert energies == pytest.approx(three.mean(three.energies, TEMPERATURES[0]), abs=0.01)


def test_no_energy_is_where_annealing_starts(three, surrogate, rng):
    beta = np.array([0.0, 5.0])
    pool = Annealing(surrogate, three.system.ideal, beta, chains=50, sweeps=4, rng=rng).from_ideal()
    assert pool.log_z[0] == 0


def test_symmetry_is_undone_and_leaves_energies(ising, rng):
    ideal = ising.ideal
    features = PairFeatures(ising.sites, ideal.species)
    x = ideal.sample(60, rng)
    energies = ising.engine.energies(Configurations(ising.sites, ideal.species, x))
    surrogate = fit_surrogate(features, x, energies)
    found = variants(ising.sites, ideal, surrogate, rng)
    assert len(found) > 2
    rows = torch.tensor(x).long()
    for variant in found:
        assert (variant.undo(variant(rows)) == rows).all()
        assert surrogate.energies(variant(rows).numpy()) == pytest.approx(surrogate.energies(x))
    assert any((variant(rows) == 1 - rows).all() for variant in found)


def test_a_ladder_has_four_rungs_at_least():
    assert len(ladder(np.array([1.0, 2.0]))) == 4
    assert ladder(np.arange(1.0, 7)).tolist() == [1, 2, 3, 4, 5, 6]


def test_heavy_tails_have_a_large_k_hat(rng):
    assert tail_shape(rng.normal(size=2000)) < 0.5
    assert tail_shape(np.log(rng.pareto(0.8, 4000))) > 0.7


def test_a_surrogate_that_is_off_costs_no_bias(three, surrogate, rng):
    ideal, shift = three.system.ideal, 0.02
    pool = Annealing(surrogate, ideal, BETA, chains=3000, sweeps=60, rng=rng).from_ideal()
    drawn = draw_from_pool(pool, ideal.sample(3000, rng), 3000, rng)
    of = {x.tobytes(): e for x, e in zip(three.x, three.energies, strict=True)}
    true = np.array([of[row.tobytes()] for row in drawn])
    wrong = true + shift * (drawn[:, 0] == 1)  # what is paid for differs from the surrogate
    exact = three.energies + shift * (three.x[:, 0] == 1)
    found = estimate(pool, BETA, wrong, surrogate.energies(drawn), drawn == 1, rng)
    for at, beta in enumerate(BETA):
        weight = np.exp(three.log_ideal - beta * exact)
        error = 4 * found.log_z_sd[at] + 0.01
        assert found.log_z[at] == pytest.approx(np.log(weight.sum()), abs=error)
        weight /= weight.sum()
        assert found.moments[at, 0] == pytest.approx(weight @ exact, abs=0.01)
        assert found.averages[at] == pytest.approx(weight @ (three.x == 1), abs=0.06)
        assert found.weight[at].sum() == pytest.approx(1)


class TestReplay:
    """Trained on its own weighted draws again and again, a generator settles on one order."""

    def test_its_share_looks_healthy_its_ln_z_is_wrong_and_it_is_flagged(self):
        found = replayed(seed=3)
        assert found["effective_share"] > 0.5
        assert found["k_hat"] < 0.7
        assert found["error"] < -0.5
        assert not found["trusted"]


def test_two_estimates_that_are_the_same_agree(three, surrogate, rng):
    ideal = three.system.ideal
    made = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        pool = Annealing(surrogate, ideal, BETA, chains=500, sweeps=40, rng=rng).from_ideal()
        drawn = draw_from_pool(pool, ideal.sample(400, rng), 400, rng)
        energies = surrogate.energies(drawn)
        made.append(estimate(pool, BETA, energies, energies, drawn == 0, rng))
    assert is_trusted(*made, np.zeros(2)).all()
    assert is_trusted(*made, np.array([0.0, 0.1])).tolist() == [True, False]


def test_square_lattice_is_large_enough_for_a_local_generator():
    from pyro_hea.disorder.generators import LocalGenerator
    from pyro_hea.disorder.ideal import IdealSolution

    ideal = IdealSolution.of({"A": 1, "B": 1}, 25)
    assert isinstance(
        make_generator(square_lattice(5), ideal, 2, SamplerSettings()), LocalGenerator
    )
