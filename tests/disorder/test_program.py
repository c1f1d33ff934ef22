"""Generators, model and guide, against sums over every configuration."""

from itertools import product

import numpy as np
import pytest
import torch

from pyro_hea.disorder import Configurations, IsingEngine, square_lattice
from pyro_hea.disorder.engines import BOLTZMANN
from pyro_hea.disorder.features import PairFeatures
from pyro_hea.disorder.generators import LocalGenerator, MixtureGenerator
from pyro_hea.disorder.ideal import IdealSolution
from pyro_hea.disorder.program import InverseVAE, log_weights, negative_elbo
from pyro_hea.disorder.surrogate import fit_surrogate
from pyro_hea.errors import DataError

MEMBERS = 2


def moved(generator):
    """A generator whose weights are far from where they start."""
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    return generator


def make(kind, ideal, bits=3):
    torch.manual_seed(0)
    if kind == "mixture":
        return moved(MixtureGenerator(MEMBERS, ideal, bits, hidden=4))
    around = torch.tensor(square_lattice(3).neighbours(4)[: ideal.sites])
    around[around >= ideal.sites] = -1
    return moved(LocalGenerator(MEMBERS, ideal, around, hidden=4))


def ideal_of(fixed):
    return IdealSolution.of({"A": 3, "B": 2, "C": 1}, 6, fixed=fixed)


def every(ideal):
    x = np.array(list(product(range(len(ideal.species)), repeat=ideal.sites)))
    if ideal.fixed:
        counts = [(x == c).sum(1) for c in range(len(ideal.species))]
        x = x[(np.stack(counts, 1) == ideal.counts).all(1)]
    return torch.tensor(x)


class TestIdealSolution:
    @pytest.mark.parametrize("fixed", [False, True])
    def test_probabilities_sum_to_one(self, fixed):
        ideal = ideal_of(fixed)
        assert np.exp(ideal.log_prob(every(ideal).numpy())).sum() == pytest.approx(1)

    def test_entropies(self):
        assert ideal_of(True).entropy == pytest.approx(np.log(60))
        fractions = np.array([3, 2, 1]) / 6
        assert ideal_of(False).entropy == pytest.approx(-6 * fractions @ np.log(fractions))

    def test_draws_of_a_fixed_composition_have_it(self, rng):
        drawn = ideal_of(True).sample(50, rng)
        assert (np.sort(drawn, 1) == [0, 0, 0, 1, 1, 2]).all()

    def test_no_composition(self):
        with pytest.raises(DataError, match="is no composition: it needs an amount above 0"):
            IdealSolution.of({"A": 0.0}, 4)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("kind", ["mixture", "local"])
class TestGenerators:
    def test_probabilities_sum_to_one(self, kind, fixed):
        ideal = ideal_of(fixed)
        x = every(ideal).expand(MEMBERS, -1, -1)
        total = make(kind, ideal).double().log_prob(x).logsumexp(1)
        assert total.tolist() == pytest.approx([0, 0], abs=1e-6)

    def test_draws_are_as_probable_as_is_said(self, kind, fixed):
        ideal = ideal_of(fixed)
        generator, x = make(kind, ideal), every(ideal)
        n = 20_000
        drawn = generator.draw(n)
        probability = generator.log_prob(x.expand(MEMBERS, -1, -1)).exp().detach()
        base = torch.tensor([len(ideal.species) ** i for i in range(ideal.sites)])
        place = {int(word): i for i, word in enumerate(x @ base)}
        for member in range(MEMBERS):
            found = torch.tensor([place[int(word)] for word in drawn[member] @ base])
            counts = torch.bincount(found, minlength=len(x))
            expected = n * probability[member]
            often = expected > 5
            chi2 = ((counts - expected) ** 2 / expected)[often].sum()
            assert chi2 < often.sum() + 5 * (2 * often.sum()) ** 0.5


def test_probability_given_y_averages_to_that_with_y_summed():
    ideal = ideal_of(True)
    generator, x = make("mixture", ideal).double(), every(ideal)
    y = generator.every_y()
    given = torch.stack(
        [
            generator.log_prob_given(
                x.expand(MEMBERS, -1, -1), row.expand(MEMBERS, len(x), generator.bits)
            )
            for row in y
        ]
    )
    averaged = given.logsumexp(0) - np.log(len(y))
    assert torch.allclose(averaged, generator.log_prob(x.expand(MEMBERS, -1, -1)))


@pytest.fixture
def spins():
    """Nine spins with a surrogate that is their energy, and their exact ln Z."""
    sites = square_lattice(3)
    ideal = IdealSolution.of({"up": 1, "down": 1}, 9)
    features = PairFeatures(sites, ideal.species)
    x = every(ideal).numpy().astype(np.int8)
    energies = IsingEngine().energies(Configurations(sites, ideal.species, x))
    surrogate = fit_surrogate(features, x[::3], energies[::3])
    beta = np.array([0.2, 0.35]) / BOLTZMANN
    log_z = np.log(np.exp(ideal.log_prob(x) - beta[:, None] * energies).sum(1))
    return ideal, surrogate, torch.tensor(beta), x, energies, log_z


@pytest.mark.parametrize("bits", [3, 11])
def test_weights_average_to_z_whatever_the_networks(spins, bits):
    ideal, surrogate, beta, *_, log_z = spins
    torch.manual_seed(0)
    vae = InverseVAE(MixtureGenerator(MEMBERS, ideal, bits), surrogate, beta)
    assert (vae.reader is not None) == (bits > 10)
    with torch.no_grad():
        _, made, read = log_weights(vae, 100_000)
    found = (read - made).double().logsumexp(1) - np.log(100_000) - beta * vae.shift
    assert found.tolist() == pytest.approx(log_z.tolist(), abs=0.03)


def test_the_elbo_is_a_bound_and_its_gradient_that_of_the_sum(spins):
    ideal, surrogate, beta, x, energies, log_z = spins
    torch.manual_seed(0)
    generator = moved(MixtureGenerator(MEMBERS, ideal, 2, hidden=3))
    vae = InverseVAE(generator, surrogate, beta)
    rows = torch.tensor(x).long().expand(MEMBERS, -1, -1)
    log_read = torch.tensor(ideal.log_prob(x) - beta.numpy()[:, None] * energies)
    log_made = generator.log_prob(rows)
    exact = (log_made.exp() * (log_read - log_made)).sum(1)
    assert (exact.detach().numpy() < log_z).all()
    exact.sum().backward()
    expected = torch.cat([p.grad.ravel() for p in generator.parameters()])
    vae.zero_grad()
    loss, bound = negative_elbo(vae, 50_000)
    loss.backward()
    found = -torch.cat([p.grad.ravel() for p in generator.parameters()])
    shifted = bound.double() - beta * vae.shift
    assert shifted.tolist() == pytest.approx(exact.tolist(), abs=0.05)
    assert torch.nn.functional.cosine_similarity(found, expected, 0) > 0.999


def test_energies_of_the_program_are_the_surrogates(spins):
    ideal, surrogate, beta, x, energies, _ = spins
    vae = InverseVAE(MixtureGenerator(MEMBERS, ideal, 2), surrogate, beta)
    found = vae.energies(torch.tensor(x).long()[None]) + vae.shift
    assert found[0].double().numpy() == pytest.approx(energies, abs=1e-6 * np.ptp(energies))
