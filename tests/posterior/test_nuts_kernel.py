"""The sampler on densities that are known, each by itself."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from pyro_hea.posterior.nuts_kernel import sample_nuts

C, DRAWS = 4, 500

SETTINGS = {"draws": DRAWS, "warmup": 150, "jumps": 8, "deepest": 5, "accepted": 0.8}

FAR = 1e4
"""Jumps that wide are hardly ever taken: trajectories do the work."""


def drawn(log_density, densities, dim, jumps=3.0, seed=0):
    wide = dist.Normal(torch.zeros(densities, dim, dtype=torch.float64), jumps).to_event(1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        start = torch.randn(C, densities, dim, dtype=torch.float64)
        return sample_nuts(log_density, start, wide, **SETTINGS)


@pytest.mark.parametrize("jumps", [2.5, FAR])
def test_each_density_has_its_own_moments(jumps):
    scale = torch.tensor([[1.0, 0.3], [2.0, 1.0], [0.2, 0.2]], dtype=torch.float64)
    at = torch.tensor([[0.0, 1.0], [-3.0, 0.5], [0.0, 0.0]], dtype=torch.float64)
    found = drawn(lambda u: -((u - at) / scale).square().sum(-1) / 2, 3, 2, jumps)
    u = found.draws
    assert u.shape == (DRAWS, C, 3, 2)
    assert ((u.mean((0, 1)) - at) / scale).abs().max() < 0.1
    assert (u.std((0, 1)) / scale - 1).abs().max() < 0.1
    assert not found.diverging.any()
    # Where the scales are smaller, steps are smaller; nobody waits for the smallest.
    assert found.step_size[2] < found.step_size[0] < 2


def test_every_chain_has_the_whole_distribution_and_not_its_moments_alone():
    normal = stats.t(5)
    target = dist.StudentT(torch.tensor(5.0, dtype=torch.float64))
    u = drawn(lambda u: target.log_prob(u).sum(-1), 2, 1, FAR).draws[::5, :, :, 0]
    for column in u.flatten(1).T:
        assert stats.kstest(column.numpy(), normal.cdf).pvalue > 1e-3


def test_jumps_lead_from_one_mode_to_another():
    centres = torch.tensor([-12.0, 12.0], dtype=torch.float64)

    def two_modes(u):
        share = torch.tensor([0.3, 0.7], dtype=torch.float64).log()
        return (dist.Normal(centres, 1.0).log_prob(u) + share).logsumexp(-1)

    found = drawn(two_modes, 1, 1, jumps=12.0)
    share = (found.draws > 0).double().mean((0, 2, 3))
    np.testing.assert_allclose(share, 0.7, atol=0.08)


def test_a_trajectory_that_leaves_the_density_is_counted():
    def cliff(u):
        return -u.square().sum(-1) / 2 - 1e5 * (u[..., 0] > 2)

    found = drawn(cliff, 1, 1)
    assert found.diverging.any()
    assert found.draws.max() <= 2
