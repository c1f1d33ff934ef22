"""Tempering on a density whose moments and evidence are known."""

import itertools

import pytest
import torch

from pyro_hea.design.tempering import populations

K, SIZE, DIM = 3, 400, 2
SHARPNESS = 50.0
"""Of exp(-50 u²): with the standard normal prior each coordinate has the variance 1 / 101."""


def test_a_member_that_outweighs_the_others_does_not_hold_them_up():
    evaluations = itertools.count(1)
    ahead = torch.tensor([0.0, 300.0, 600.0])  # nats

    def log_factor(u):
        assert next(evaluations) < 200
        return ahead[:, None] - SHARPNESS * u.square().sum(-1)

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        walking = populations(log_factor, K, SIZE, DIM)
        found = [next(walking) for _ in range(10)]
    u = torch.cat([population.u for population in found], 1)
    torch.testing.assert_close(u.var((1, 2)) * 101, torch.ones(K), atol=0.2, rtol=0)
    between = found[0].log_weight.diff()
    assert between.tolist() == pytest.approx([300.0, 300.0], abs=0.5)
