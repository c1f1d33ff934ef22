"""Simulation-based calibration of a program whose posterior is known: a test of the test, too."""

import pytest

from pyro_hea.evaluate.simulation import simulation_ranks, uniformity


@pytest.mark.parametrize("method", ["guide", "importance"])
def test_right_inference_has_uniform_ranks(conjugate, method):
    ranks = simulation_ranks(conjugate, method=method, simulations=400)
    assert ranks.shape == (400, 2 if method == "guide" else 3)
    assert ranks.min().min() >= 0
    assert ranks.max().max() <= 99
    assert (uniformity(ranks) > 0.001).all()


def test_a_broken_guide_is_caught(broken):
    assert (uniformity(simulation_ranks(broken, method="guide", simulations=400)) < 1e-6).all()


def test_a_broken_guide_does_no_harm_to_importance_sampling(broken):
    ranks = simulation_ranks(broken, method="importance", simulations=400)
    assert (uniformity(ranks) > 0.001).all()
