"""Pareto smoothing against ArviZ's, and against importance sampling with a known answer."""

import arviz as az
import numpy as np
import pytest

from pyro_hea.posterior.psis import psis

TOLERANCE = 1e-9 if az.__version__.startswith("0.") else 0.05
"""ArviZ 1 fits small tails in a slightly different way."""

SIZES = (30, 100, 1000, 4000)


def of_arviz(log_weight):
    if int(az.__version__.split(".")[0]) < 1:
        smooth, k_hat = az.psislw(log_weight.copy())
        return np.exp(smooth), float(k_hat)
    from arviz_stats.base import array_stats

    smooth, k_hat = array_stats.psislw(-log_weight)  # of log likelihoods
    return np.exp(smooth), float(k_hat)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0, 30.0])
def test_weights_and_k_hat_are_those_of_arviz(size, spread):
    log_weight = spread * np.random.default_rng(size).standard_normal(size)
    weight, k_hat = psis(log_weight[:, None])
    expected, expected_k = of_arviz(log_weight)
    if np.isfinite(expected_k) and np.isfinite(k_hat[0]):
        assert k_hat[0] == pytest.approx(expected_k, rel=TOLERANCE)
    np.testing.assert_allclose(weight[:, 0], expected, atol=TOLERANCE * expected.max())


def test_few_or_equal_weights_are_left_as_they_are():
    for log_weight in (np.zeros(3), np.log([1.0, 2.0, 3.0]), np.zeros(1000)):
        weight, k_hat = psis(log_weight[:, None])
        np.testing.assert_allclose(weight[:, 0], np.exp(log_weight) / np.exp(log_weight).sum())
        assert np.isinf(k_hat[0])


def test_impossible_draws_have_no_weight_and_do_not_count():
    log_weight = np.random.default_rng(0).standard_normal(500)
    padded = np.concatenate([log_weight, np.full(100, -np.inf)])[:, None]
    weight, k_hat = psis(padded)
    alone, alone_k = psis(log_weight[:, None])
    np.testing.assert_array_equal(weight[:500], alone)
    assert (weight[500:] == 0).all()
    assert k_hat[0] == alone_k[0]


def test_k_hat_is_the_shape_of_the_tail():
    """Weights of a Pareto distribution with index 1/k have k-hat near k."""
    rng = np.random.default_rng(1)
    for shape in (0.3, 0.9):
        log_weight = -shape * np.log(rng.random((20_000, 1)))
        assert psis(log_weight)[1][0] == pytest.approx(shape, abs=0.2)
