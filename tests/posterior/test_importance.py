import numpy as np
import pytest
import torch

from pyro_hea.errors import GuideWarning
from pyro_hea.inference import elbo_loss
from pyro_hea.posterior import guide_table, importance_posterior, label_evidence
from pyro_hea.posterior.psis import psis
from pyro_hea.posterior.traces import weighted_draws


@pytest.fixture(scope="session")
def log_evidence(conjugate, alloys):
    """Log p(x | y) in closed form, (2, N): of class 0 and of class 1."""
    x = conjugate.batch(alloys).composition
    return torch.stack(
        [conjugate.model.exact_evidence(x, torch.full_like(x[:, 0], y)) for y in (0.0, 1.0)]
    )


def test_label_evidence_is_the_closed_form(conjugate, alloys, log_evidence):
    table = label_evidence(conjugate, alloys, seed=0)
    exact = log_evidence.softmax(0)[1].numpy()
    np.testing.assert_allclose(table["single_phase_model"], exact, atol=0.03)
    np.testing.assert_allclose(
        table["single_phase_gap"], table["single_phase_model"] - table["single_phase_head"]
    )
    np.testing.assert_array_equal(table["single_phase_label"], alloys.labels["single_phase"])
    assert list(table.index) == alloys.formulas


def test_bounds_are_in_order_and_meet_where_the_guide_is_exact(conjugate, alloys, log_evidence):
    table = guide_table(conjugate, alloys, member=0, draws=400, seed=0)
    labels = alloys.labels["single_phase"]
    known = labels.notna().to_numpy()
    exact = log_evidence.numpy()[labels[known].astype(int), np.flatnonzero(known)] + np.log(0.5)
    for column in ("elbo", "iwae", "evidence"):
        np.testing.assert_allclose(table[column][known], exact, atol=0.1)
    assert (table["k_hat"] < 0.7).all()
    assert (table["evidence_k_hat"] < 0.7).all()


def test_a_broken_guide_is_caught_by_k_hat_and_by_its_bounds(broken, alloys):
    with pytest.warns(GuideWarning, match="of 20 alloys have k-hat above 0.7"):
        table = guide_table(broken, alloys, member=0, draws=1000, seed=0)
    assert table["k_hat"].median() > 0.7
    assert (table["evidence"] - table["elbo"] > 5).all()
    assert (table["iwae"] > table["elbo"]).all()
    assert (table["evidence_k_hat"] < 0.7).all()


def test_importance_draws_have_the_exact_moments_whatever_the_guide(broken, alloys, log_evidence):
    idata = importance_posterior(broken, alloys, draws=1500, labels="ignore", seed=0)
    share = idata.posterior["single_phase"].mean(("chain", "draw"))
    exact = log_evidence.softmax(0)[1].numpy()
    np.testing.assert_allclose(share, exact, atol=0.06)
    x = broken.batch(alloys).composition
    by_class = [broken.model.exact(x, torch.full_like(x[:, 0], y))[0].numpy() for y in (0.0, 1.0)]
    mean = (1 - exact)[:, None] * by_class[0] + exact[:, None] * by_class[1]
    np.testing.assert_allclose(idata.posterior["z"].mean(("chain", "draw")), mean, atol=0.05)
    assert (idata.constant_data["k_hat"] < 0.7).all()
    assert idata.constant_data["k_hat"].dims == ("chain", "alloy")
    assert idata.posterior.attrs["chain_is"] == "member"


def test_known_labels_are_used(vae, alloys):
    idata = vae.posterior(alloys, method="importance", draws=20)
    known = alloys.labels["single_phase"].notna().to_numpy()
    y = idata.posterior["single_phase"].to_numpy()[..., known]
    assert (y == alloys.labels["single_phase"].to_numpy()[known]).all()
    assert np.isfinite(idata.posterior["z"]).all()
    assert idata.posterior["z"].shape == (3, 20, 20, 2)


def test_weighted_draws_score_the_whole_program(vae, alloys):
    """The mean log weight is the ELBO, with the unlabelled targets drawn and not summed."""
    model, batch = vae.ensemble.model.member(0), vae.ensemble.batch(alloys)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        drawn = weighted_draws(model, batch, 3000)
        losses = [float(elbo_loss(model, batch).detach()) for _ in range(200)]
    assert drawn.sites["z"].shape == (3000, 1, 20, 2)
    total = drawn.log_weight.sum((1, 2))
    error = float(total.std()) / 3000**0.5 + np.std(losses) / 200**0.5
    assert abs(float(total.mean()) + np.mean(losses)) < 4 * error


@pytest.mark.parametrize(("shape", "low", "high"), [(0.2, 0.0, 0.45), (1.0, 0.8, 1.2)])
def test_k_hat_finds_the_shape_of_a_pareto_tail(shape, low, high):
    weights = np.random.default_rng(0).pareto(1 / shape, (20_000, 3)) + 1
    weight, k_hat = psis(np.log(weights))
    assert weight.shape == (20_000, 3)
    np.testing.assert_allclose(weight.sum(0), 1)
    assert ((k_hat > low) & (k_hat < high)).all()


def test_an_impossible_draw_has_no_weight():
    log_weight = np.random.default_rng(0).normal(size=(100, 2))
    log_weight[:50, 0] = -np.inf
    weight, k_hat = psis(log_weight)
    assert (weight[:50, 0] == 0).all()
    assert np.isfinite(k_hat).all()
