"""The smooth relaxation, jumps between its modes, and NUTS against other ways to the same."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from pyro_hea.design import (
    AllowedElements,
    ElementBounds,
    FeatureBounds,
    LargestFraction,
    MaxElements,
    MinElements,
    NearAlloy,
    Novel,
    RequiredElements,
    SumBounds,
    guide,
    samplers,
)
from pyro_hea.design.guide import NormalMixture
from pyro_hea.design.problem import Problem
from pyro_hea.design.program import log_factor, run_program
from pyro_hea.design.smooth import relaxed, smooth_program
from pyro_hea.errors import DataError, DesignWarning

WISH = {"single_phase": 1}
FIVE = (AllowedElements("Al", "Co", "Cr", "Fe", "Ni"), MinElements(3), Novel(0.02))
CASES = {
    "free": (),
    "bounds": (LargestFraction(0.4), ElementBounds("Co", 0.1, 0.3), RequiredElements("Ni")),
    "few": (MaxElements(3),),
    "sums": (SumBounds(["Al", "Ni"], 0.5, 0.7), NearAlloy("AlCrFeNi", 0.3)),
    "feature": (FeatureBounds("mixing_enthalpy", -10, 0),),
}


@pytest.fixture
def problem(vae):
    return Problem.of(vae.ensemble, WISH, FIVE)


def smooth_at(problem, u):
    return log_factor(relaxed(problem), u, smooth_program)


@pytest.mark.parametrize("case", CASES)
def test_relaxed_alloys_are_compositions_within_the_bounds_of_their_elements(vae, case):
    problem = Problem.of(vae.ensemble, WISH, CASES[case])
    u = torch.randn(2, 200, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = run_program(relaxed(problem), u, smooth_program)["composition"]["value"]
    assert (x.sum(-1) - 1).abs().max() < 1e-5
    assert (x >= -1e-7).all()
    assert (x.double() <= torch.tensor(problem.region.upper) + 1e-6).all()
    must = torch.tensor(problem.region.must)
    assert (x.double()[..., must] >= torch.tensor(problem.region.lower[must]) - 1e-6).all()
    assert (smooth_at(problem, u).isfinite()).all()


@pytest.mark.parametrize("case", ["free", "bounds", "few", "sums"])
def test_the_relaxation_has_the_gradient_of_its_density(vae, case):
    problem = replace(Problem.of(vae.ensemble, WISH, CASES[case]), constraints=())
    smooth = relaxed(problem)
    smooth = replace(
        smooth, ensemble=replace(smooth.ensemble, model=smooth.ensemble.model.double())
    )
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(2, 100, 2, generator=generator, dtype=torch.double).requires_grad_()
    along = torch.randn(2, 100, 2, generator=generator, dtype=torch.double)
    (slope,) = torch.autograd.grad(log_factor(smooth, u, smooth_program).sum(), u)
    step = 1e-6
    with torch.no_grad():
        ahead, behind = (log_factor(smooth, u + s * along, smooth_program) for s in (step, -step))
    difference = ((ahead - behind) / (2 * step)).numpy()
    expected = (slope * along).sum(-1).numpy()
    close = np.isclose(difference, expected, rtol=1e-3, atol=1e-3)
    assert close.mean() > 0.95  # a few steps cross a kink


def test_the_relaxation_is_near_the_posterior_where_nothing_is_at_an_edge(vae):
    problem = Problem.of(vae.ensemble, WISH, FIVE)
    u = torch.randn(2, 500, 2, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        difference = (log_factor(problem, u) - smooth_at(problem, u)).double().numpy()
    there = difference > -100  # where no rounded composition exists
    assert there.mean() > 0.8
    assert np.median(np.abs(difference[there])) < 1.0


def test_no_bin_of_the_embedding_is_a_cliff(vae):
    embedding = relaxed(Problem.of(vae.ensemble, WISH)).ensemble.model.embedding
    edges = embedding.edges
    span = edges[:, -1] - edges[:, 0]
    x = edges.repeat_interleave(2, 1).T[:, : len(span)]
    steps = embedding(x + 1e-3 * span) - embedding(x)
    assert steps.abs().max() < 1e-3 / 0.1 + 1e-4
    assert vae.ensemble.model.embedding is not embedding


@pytest.mark.parametrize("dim", [1, 2])
def test_a_mixture_is_the_density_of_its_draws(dim):
    torch.manual_seed(0)
    particles = torch.randn(2, 5, dim, dtype=torch.double) + torch.tensor([[[0.0]], [[3.0]]])
    width = 0.6 * particles.std(1, keepdim=True)
    mixture = NormalMixture(particles, width)
    u = mixture.sample(torch.Size([30_000]))
    assert u.shape == (30_000, 2, dim)
    parts = Normal(particles, width.expand_as(particles)).log_prob(u[:50, :, None]).sum(-1).exp()
    prior = Normal(0.0, 1.0).log_prob(u[:50]).sum(-1).exp()
    torch.testing.assert_close(mixture.log_prob(u[:50]).exp(), 0.9 * parts.mean(-1) + 0.1 * prior)
    assert (u.mean(0) - 0.9 * particles.mean(1)).abs().max() < 0.06
    # importance sampling from the mixture finds the volume of another density
    other = Normal(1.0, 1.5).log_prob(u).sum(-1)
    torch.testing.assert_close(
        (other - mixture.log_prob(u)).exp().mean(0), torch.ones(2).double(), rtol=0.15, atol=0
    )


@pytest.fixture(scope="module")
def chained(vae):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)  # so few draws are not enough
        return vae.design(WISH, FIVE, n=20, method="nuts", draws=10, warmup=5, seed=3)


def test_designs_of_chains_hold_what_is_asked(chained):
    assert len(chained) == 20
    x = chained.table
    assert (x[["Cu", "Mn", "Ti"]] == 0).all(axis=None)
    assert ((x[["Al", "Co", "Cr", "Fe", "Ni"]] > 0).sum(axis=1) >= 3).all()
    assert (x["novelty"] >= 0.02 - 1e-9).all()
    assert not x.index.duplicated().any()


def test_draws_of_chains_are_told_as_such(chained, vae):
    posterior, stats = chained.idata["posterior"], chained.idata["sample_stats"]
    assert dict(posterior["z"].sizes) == {"chain": 4, "draw": 10, "member": 2, "latent": 2}
    assert posterior.attrs["chain_is"] == "Markov chain"
    assert posterior.attrs["inference"] == "nuts"
    assert stats["diverging"].dims == ("chain", "draw", "member")
    assert stats["diverging"].sum() == chained.attributes["diverging"]
    drawn = chained.plot_chains(member=1, latent="z1", kind="trace").lines[2].get_ydata()
    np.testing.assert_array_equal(drawn, posterior["z"].to_numpy()[2, :, 1, 1])
    assert 0 <= chained.attributes["discarded"] < 1
    lost = np.isneginf(stats["log_weight"].to_numpy())
    assert lost.mean() == pytest.approx(chained.attributes["discarded"])
    # the alloy of each draw is what its member decodes there
    z = posterior["z"].sel(member=1).to_numpy().reshape(-1, 2)
    allowed = vae.decode(z, WISH, member=1)[["Al", "Co", "Cr", "Fe", "Ni"]]
    x = posterior["composition"].sel(member=1, element=list(allowed)).to_numpy().reshape(-1, 5)
    decoded = allowed.to_numpy() / allowed.to_numpy().sum(1, keepdims=True)
    assert np.median(np.abs(x - decoded).max(1)) < 0.02


def test_a_batch_is_chosen_from_the_designs_of_chains(chained):
    batch = chained.batch(5)
    assert {*batch.formulas} < {*chained.formulas}
    assert {*batch.batch(2).formulas} < {*batch.formulas}
    assert batch.idata["posterior"]["z"].sizes["draw"] == 10


def test_the_same_seed_gives_the_same_designs_by_chains(vae, chained):
    settings = {"n": 20, "method": "nuts", "draws": 10, "warmup": 5}
    with pytest.warns(DesignWarning):
        again = vae.design(WISH, FIVE, seed=3, **settings)
    assert again.table.equals(chained.table)


def test_chains_that_have_not_mixed_are_warned_of_with_a_remedy(vae):
    with pytest.warns(DesignWarning) as warned:  # of the weights too, on occasion
        vae.design(WISH, FIVE, n=5, method="nuts", draws=8, warmup=2)
    said = " ".join(str(warning.message) for warning in warned)
    assert re.search(r"have not mixed: R-hat is .* Raise draws above 8", said)


@pytest.mark.parametrize("settings", [{"chains": 1}, {"draws": 2}, {"warmup": 0}])
def test_chains_too_few_or_too_short_are_refused(vae, settings):
    with pytest.raises(DataError, match="NUTS needs at least 2 chains"):
        vae.design(WISH, method="nuts", **settings)


def of_the_prior(problem):
    """Alloys of plain draws from the prior, and their weights."""
    u = torch.randn(2, 40_000, 2, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        x = run_program(problem, u)["composition"]["value"].flatten(0, 1).numpy()
        weight = log_factor(problem, u).double().flatten().softmax(0).numpy()
    return x, weight * np.all(list(problem.holds(x).values()), axis=0)


def assert_same_means(ours, theirs, inflation=1.0):
    """Mean fraction of each element, within 3.5 standard errors of both.

    `inflation` is by how much the error of ours is greater than that of independent draws.
    """
    (x, w), (y, v) = ((values, weight / weight.sum()) for values, weight in (ours, theirs))
    means = w @ x, v @ y
    variance = inflation * (w**2 @ (x - means[0]) ** 2) + v**2 @ (y - means[1]) ** 2
    present = means[1] > 0.01
    assert present.sum() == 5
    assert (np.abs(means[0] - means[1])[present] < 3.5 * np.sqrt(variance[present])).all()


@pytest.mark.slow
def test_nuts_mixes_and_agrees_with_importance_sampling_from_the_prior(vae, problem):
    found = vae.design(WISH, FIVE, n=50, method="nuts", draws=250, seed=1)
    assert found.attributes["r_hat"] <= 1.01
    assert found.attributes["bulk_ess"] >= 400
    assert found.attributes["k_hat"] < 0.7
    weight = np.exp(found.idata["sample_stats"]["log_weight"].to_numpy().ravel())
    x = found.idata["posterior"]["composition"].to_numpy().reshape(len(weight), -1)
    # draws of each member count for less than independent ones
    inflation = len(weight) / 2 / found.attributes["bulk_ess"]
    assert_same_means((x, weight), of_the_prior(problem), inflation)


@pytest.mark.slow
def test_draws_of_the_guide_agree_with_importance_sampling_from_the_prior(problem):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        drawn = samplers.by_svi(problem, 50)
    assert drawn.attributes["k_hat"] < 0.7
    assert drawn.attributes["effective_sample_size"] > 1000
    x, log_weight = drawn.candidates.fractions, drawn.candidates.log_weight
    assert_same_means((x, np.exp(log_weight)), of_the_prior(problem))


def test_designs_of_a_guide_hold_what_is_asked_and_come_again(vae, monkeypatch):
    monkeypatch.setattr(guide, "_STEPS", 30)
    monkeypatch.setattr(samplers, "_GUIDED", 1000)
    designs, again = (vae.design(WISH, FIVE, n=15, method="svi", seed=2) for _ in range(2))
    assert designs.table.equals(again.table)
    assert designs.attributes["inference"] == "svi"
    assert (designs.table[["Cu", "Mn", "Ti"]] == 0).all(axis=None)
    assert (designs.table["novelty"] >= 0.02 - 1e-9).all()
    assert designs.idata["posterior"]["z"].sizes == {"chain": 1, "draw": 15, "latent": 2}


def test_weights_that_are_not_to_be_trusted_are_warned_of(vae, problem, monkeypatch):
    narrow = NormalMixture(
        torch.zeros(2, 1, 2).double(), torch.full((2, 1, 2), 0.02).double(), share=0.0
    )
    monkeypatch.setattr(samplers, "fitted_guide", lambda problem: narrow)
    with pytest.warns(DesignWarning, match=r"Pareto k is .* above 0\.7"):
        vae.design(WISH, FIVE, n=1, method="svi")
