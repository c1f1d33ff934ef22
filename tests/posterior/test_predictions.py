import numpy as np
import pytest
import torch
from scipy import integrate, stats

from pyro_hea.errors import UnknownElementError, UnknownTargetError
from pyro_hea.posterior import encode, predict, reconstruct
from pyro_hea.posterior.predictions import _mix_with_prior, beta_interval, decompose

FEW = [9, 10, 11, 15, 16, 18]
"""Alloys with a label and without."""


# The interval.


def test_the_interval_of_a_uniform_probability_leaves_three_percent_on_each_side():
    low, high = beta_interval(np.array([0.5]), np.array([12**-0.5]))
    assert low == pytest.approx([0.03])
    assert high == pytest.approx([0.97])


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 5), (30, 3), (0.5, 0.5), (400, 600)])
@pytest.mark.parametrize("level", [0.5, 0.94])
def test_the_interval_is_that_of_the_beta_of_this_mean_and_sd(a, b, level):
    d = stats.beta(a, b)
    low, high = beta_interval(np.array([d.mean()]), np.array([d.std()]), level)
    assert (low[0], high[0]) == pytest.approx(d.interval(level), rel=1e-6)


def test_the_interval_holds_its_share_of_the_probability():
    mean, sd = 0.3, 0.1
    low, high = beta_interval(np.array([mean]), np.array([sd]))
    count = mean * (1 - mean) / sd**2 - 1
    a, b = mean * count, (1 - mean) * count

    def density(p):
        return p ** (a - 1) * (1 - p) ** (b - 1)

    whole, inside = (integrate.quad(density, *limits)[0] for limits in ((0, 1), (low[0], high[0])))
    assert inside / whole == pytest.approx(0.94, abs=1e-6)


@pytest.mark.parametrize("mean", [0.0, 1e-12, 1e-8, 1e-4, 0.2, 0.5, 1 - 1e-4, 1 - 1e-12, 1.0])
@pytest.mark.parametrize("members", [1, 8])
def test_members_that_agree_leave_an_interval_around_their_probability(mean, members):
    probabilities = np.full(members, mean)
    low, high = beta_interval(np.array([probabilities.mean()]), np.array([probabilities.std()]))
    assert 0 <= low[0] <= mean <= high[0] <= 1
    assert high[0] - low[0] < 1e-4


def test_the_mean_of_members_lies_in_their_interval():
    rng = np.random.default_rng(0)
    probabilities = np.concatenate(
        [rng.beta(a, b, (8, 500)) for a, b in ((1, 1), (0.1, 1), (1, 0.1), (0.1, 0.1), (20, 3))], 1
    )
    mean, sd = probabilities.mean(0), probabilities.std(0)
    low, high = beta_interval(mean, sd)
    assert (low >= 0).all()
    assert (low <= mean).all()
    assert (mean <= high).all()
    assert (high <= 1).all()


def test_members_that_disagree_utterly_leave_everything_open():
    low, high = beta_interval(np.array([0.5]), np.array([0.5]))  # one says 0, the other 1
    assert low[0] == pytest.approx(0, abs=1e-6)
    assert high[0] == pytest.approx(1, abs=1e-6)


# The prior's share.


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("prior", [0.5, 0.2])
def test_the_prior_is_mixed_in_by_its_share(share, prior):
    rng = np.random.default_rng(0)
    members = rng.beta(8, 2, 400_000)
    prior_draws = rng.beta(2 * prior, 2 * (1 - prior), 400_000)
    draws = np.where(rng.random(400_000) < share, prior_draws, members)
    mean, sd = _mix_with_prior(
        np.array([members.mean()]), np.array([members.std()]), np.array([share]), prior
    )
    assert mean[0] == pytest.approx(draws.mean(), abs=2e-3)
    assert sd[0] == pytest.approx(draws.std(), abs=2e-3)


def test_without_a_share_of_the_prior_nothing_changes():
    mean, sd = np.array([0.1, 0.9]), np.array([0.0, 0.2])
    mixed = _mix_with_prior(mean, sd, np.zeros(2), 0.5)
    np.testing.assert_allclose(mixed, (mean, sd), atol=1e-8)


# Tables.


def test_a_prediction_is_the_mean_and_spread_of_the_members_heads(ensemble, alloys):
    table = predict(ensemble, alloys)
    model, batch = ensemble.model, ensemble.batch(alloys)
    members = []
    with torch.no_grad():
        for k in range(3):
            single = model.member(k).eval()
            logits = single.head("single_phase", single.head_inputs(batch), None)[..., 0]
            members.append(1 / (1 + np.exp(-logits[0].double().numpy())))
    np.testing.assert_allclose(table["single_phase"], np.mean(members, 0), rtol=1e-5)
    np.testing.assert_allclose(table["single_phase_sd"], np.std(members, 0), rtol=1e-3, atol=1e-7)


def own_or_predicted(single, batch, alloys):
    """The label of each alloy as a member takes it."""
    y = alloys.labels["single_phase"].to_numpy()
    with torch.no_grad():
        logit = single.head("single_phase", single.head_inputs(batch), None)[..., 0][0]
    return torch.tensor(np.where(np.isnan(y), (logit > 0).numpy(), y), dtype=torch.float32)


def test_the_latents_are_the_posterior_means_in_closed_form_though_the_guide_is_off(broken, alloys):
    batch = broken.batch(alloys)
    mean, sd = broken.model.exact(batch.composition, own_or_predicted(broken.model, batch, alloys))
    z = encode(broken, alloys, 0)
    np.testing.assert_allclose(z, mean, atol=1e-3 * float(sd.min()))


def test_no_latent_nearby_is_more_probable_given_own_labels_or_the_predicted_class(
    ensemble, alloys
):
    batch = ensemble.batch(alloys)
    for k in range(3):
        single = ensemble.model.member(k)
        y = {"single_phase": own_or_predicted(single, batch, alloys)}
        z = torch.tensor(encode(ensemble, alloys, k).to_numpy())[None]
        flow = single.flow(single.context(y))

        def density(w, single=single, flow=flow, y=y):
            there = flow.inv(w)
            volume = flow.log_abs_det_jacobian(there, w)
            fit = single.likelihood(there, y).log_prob(batch.fractions)
            return single.latent_prior().log_prob(there) - volume + fit

        with torch.no_grad():
            w, generator = flow(z), torch.Generator().manual_seed(k)
            here = density(w)
            for size in (0.01, 0.1):
                moved = density(w + size * torch.randn(w.shape, generator=generator))
                assert (moved <= here + 0.05).all()  # nats
            x = single.likelihood(z, y).typical[0]
        np.testing.assert_allclose(reconstruct(ensemble, alloys.take(FEW), k), x[FEW], atol=1e-5)


def test_a_label_moves_the_latent_and_withholding_it_leaves_the_predicted_class(ensemble, alloys):
    alloys = alloys.take(FEW)
    flipped = type(alloys)(alloys.fractions, 1 - alloys.labels, alloys.reports, alloys.parts)
    a, b, c = (
        encode(ensemble, d, 0).to_numpy() for d in (alloys, flipped, alloys.without_labels())
    )
    known = alloys.labels["single_phase"].notna().to_numpy()
    assert (a[known] != b[known]).any(axis=1).all()
    np.testing.assert_array_equal(a[~known], b[~known])
    np.testing.assert_array_equal(encode(ensemble, alloys.formulas, 0), c)


def test_an_element_outside_training_is_refused_by_name(ensemble):
    for function in (encode, reconstruct):
        with pytest.raises(UnknownElementError, match=r"row 2 \('CoTa'\) holds Ta"):
            function(ensemble, ["CoCr", "CoTa"], 0)


def test_a_target_that_was_not_trained_is_refused_with_the_nearest(ensemble):
    ensemble.check_target("single_phase")
    with pytest.raises(UnknownTargetError, match=r"no target 'single_fase'.*'single_phase'"):
        ensemble.check_target("single_fase")


def test_epistemic_and_aleatoric_variance_sum_to_that_of_the_label(vae, ensemble, alloys):
    members = ensemble.head_probabilities(ensemble.batch(alloys).features)["single_phase"]
    epistemic, aleatoric = decompose(members.double().numpy())
    table = vae.predict(alloys)
    p = table["single_phase"]
    np.testing.assert_allclose(table["single_phase_epistemic"], epistemic, atol=1e-6)
    np.testing.assert_allclose(table["single_phase_aleatoric"], aleatoric, atol=1e-6)
    np.testing.assert_allclose(epistemic**2 + aleatoric**2, p * (1 - p), atol=1e-6)
