import warnings

import arviz as az
import numpy as np
import pytest
import torch

from pyro_hea.errors import DataError, GuideWarning
from pyro_hea.posterior import check_guide, nuts_posterior
from pyro_hea.posterior.idata import groups_of
from pyro_hea.posterior.local_posterior import LocalPosterior
from pyro_hea.posterior.nuts import fixed_targets

N, DRAWS, CHAINS = 3, 150, 2
SETTINGS = {"member": 0, "draws": DRAWS, "chains": CHAINS, "warmup": 60, "seed": 0}

SHORT = SETTINGS | {"draws": 60, "warmup": 40}


@pytest.fixture(scope="session")
def few(alloys):
    return alloys.take(slice(12, 12 + N))  # two labelled, one not


@pytest.fixture(scope="session")
def exact(conjugate, few):
    batch = fixed_targets(conjugate, conjugate.batch(few), 0)
    return conjugate.model.exact(batch.composition, batch.targets["single_phase"])


@pytest.fixture(scope="session")
def of_conjugate(conjugate, few):
    return nuts_posterior(conjugate, few, **SETTINGS)


def test_nuts_agrees_with_the_closed_form_to_monte_carlo_error(of_conjugate, exact):
    z = of_conjugate.posterior["z"]
    mean, sd = (value.numpy() for value in exact)
    error = az.mcse(of_conjugate, var_names=["z"])["z"].to_numpy()
    assert np.all(np.abs(z.mean(("chain", "draw")) - mean) < 4 * error)
    np.testing.assert_allclose(z.std(("chain", "draw")), np.tile(sd, (N, 1)), rtol=0.15)
    assert not of_conjugate.sample_stats["diverging"].any()


def test_chains_are_markov_chains_that_mix(of_conjugate):
    assert of_conjugate.posterior["z"].dims == ("chain", "draw", "alloy", "latent")
    assert of_conjugate.posterior.sizes["chain"] == CHAINS
    summary = az.summary(of_conjugate, var_names=["z"])
    assert (summary["r_hat"] < 1.05).all()
    assert (summary["ess_bulk"] > 50).all()


def test_result_says_what_it_is(of_conjugate, few):
    assert set(groups_of(of_conjugate)) == {
        "posterior",
        "posterior_predictive",
        "log_likelihood",
        "sample_stats",
        "observed_data",
        "constant_data",
    }
    attributes = of_conjugate.posterior.attrs
    assert attributes["inference"] == "nuts"
    assert attributes["chain_is"] == "Markov chain"
    assert int(of_conjugate.posterior["member"]) == 0
    assert of_conjugate.posterior["alloy"].values.tolist() == few.formulas
    assert set(of_conjugate.sample_stats.data_vars) == {
        *("diverging", "lp", "energy", "n_steps", "step_size")
    }
    assert of_conjugate.sample_stats["lp"].dims == ("chain", "draw")
    assert of_conjugate.sample_stats["n_steps"].dims == ("chain", "draw", "alloy")
    fixed = of_conjugate.constant_data["single_phase_fixed"].to_numpy()
    known = few.labels["single_phase"].to_numpy()
    assert set(fixed) <= {0.0, 1.0}
    np.testing.assert_array_equal(fixed[:2], known[:2])


def test_the_guide_that_is_exact_passes_its_check(conjugate, few):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = check_guide(conjugate, few, **SETTINGS)
    assert table.index.names == ["formula", "latent"]
    assert len(table) == 2 * N
    assert (table["gap"].abs() < 4).all()
    assert (table["k_hat"] < 0.5).all()
    np.testing.assert_allclose(table["guide_sd"], table["nuts_sd"], rtol=0.15)
    assert (table["correlation_gap"] < 0.25).all()


def test_a_broken_guide_is_caught_by_its_check(broken, few):
    with pytest.warns(GuideWarning, match="3 of 3 alloys have k-hat above 0.7"):
        table = check_guide(broken, few, **SHORT)
    assert (table["gap"].abs() > 10).all()
    np.testing.assert_allclose(table["gap_sd"], 3, atol=0.6)


def test_a_broken_guide_leaves_nuts_where_it_was(broken, few, exact):
    z = nuts_posterior(broken, few, **SHORT).posterior["z"]
    assert np.all(np.abs(z.mean(("chain", "draw")) - exact[0].numpy()) < 0.4 * exact[1].numpy())


def test_same_seed_same_chains_and_the_global_generator_is_left_alone(conjugate, few):
    short = SETTINGS | {"draws": 5, "chains": 1, "warmup": 5}
    before = torch.get_rng_state()
    a, b = (nuts_posterior(conjugate, few, **short).posterior["z"] for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(a, b)
    other = nuts_posterior(conjugate, few, **short | {"seed": 1}).posterior["z"]
    assert not np.array_equal(a, other)


def test_the_density_in_local_coordinates_integrates_to_the_evidence(ensemble, few):
    """With a flow, whose change of volume must be in it; by a sum over a grid."""
    batch = fixed_targets(ensemble, ensemble.batch(few), 1).map(
        lambda t: t.double() if t.is_floating_point() else t
    )
    model = ensemble.model.member(1).double().requires_grad_(False)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        local = LocalPosterior.fitted(model, batch)
        _, _, log_weight = local.weighted(model, batch, 4000)
    axis = torch.linspace(-9, 9, 181, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)[:, None, None, :].expand(-1, 1, N, 2)
    with torch.no_grad():
        in_u = local.joint(grid, model, batch)[1].logsumexp(0) + 2 * (axis[1] - axis[0]).log()
        # The same over z itself, in which no transform has a part.
        plain = LocalPosterior(
            torch.zeros_like(local.loc), torch.eye(2, dtype=torch.float64).expand(1, N, 2, 2), []
        )
        in_z = plain.joint(grid, model, batch)[1].logsumexp(0) + 2 * (axis[1] - axis[0]).log()
    torch.testing.assert_close(in_u, in_z, atol=5e-3, rtol=0)
    estimate = log_weight.logsumexp(0) - np.log(4000)
    torch.testing.assert_close(estimate, in_z, atol=0.05, rtol=0)


def test_the_face_draws_chains_and_refuses_what_it_cannot_do(vae, few):
    idata = vae.posterior(few, method="nuts", member=2, draws=6, chains=2, warmup=6)
    assert idata.posterior["z"].shape == (2, 6, N, 2)
    assert int(idata.posterior["member"]) == 2
    with pytest.raises(DataError, match="no method 'hmc'; allowed: 'guide', 'importance', 'nuts'"):
        vae.posterior(few, method="hmc")
    with pytest.raises(DataError, match="there is no member 3"):
        vae.posterior(few, method="nuts", member=3)
