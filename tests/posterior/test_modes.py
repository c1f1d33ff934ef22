"""The modes of z that `encode` gives, against every point of a grid."""

import numpy as np
import pytest
import torch

from pyro_hea.devices import unvalidated
from pyro_hea.posterior.local_posterior import LocalPosterior
from pyro_hea.posterior.modes import find_modes
from pyro_hea.posterior.traces import in_double_precision


@pytest.fixture(scope="module")
def asked(vae, alloys):
    """Twenty alloys, each with the most probable value of every target."""
    ensemble = vae.ensemble
    batch = ensemble.batch(alloys)
    given = batch.replaced(targets=ensemble.most_probable(batch), labelled={})
    return in_double_precision(ensemble.model, given)


@torch.no_grad()
def test_no_point_of_a_grid_is_higher(asked):
    model, batch = asked
    with unvalidated(), model.cached_flow():
        guide = LocalPosterior.of_guide(model.latent_posterior(batch.composition, batch.targets))
        w = find_modes(model, batch)
        for transform in reversed(guide._transforms):
            w = transform.inv(w)
        away = (w - guide.loc).unsqueeze(-1)
        u = torch.linalg.solve_triangular(guide.root, away, upper=False).squeeze(-1)
        found = guide.joint(u[None], model, batch)[1][0]
        axis = torch.linspace(-5, 5, 51).double()
        grid = torch.cartesian_prod(axis, axis)[:, None, None].expand(-1, *guide.loc.shape)
        highest = torch.cat([guide.joint(g, model, batch)[1] for g in grid.split(100)]).amax(0)
    short = (highest - found).numpy()
    assert short.shape == (3, 20)
    assert (short > 0.05).sum() <= 1


def test_an_alloy_has_its_mode_whatever_else_is_asked(asked):
    model, batch = asked
    with unvalidated():
        together = find_modes(model, batch)
        for row in range(0, 20, 5):
            alone = find_modes(*in_double_precision(model, _one(batch, row)))
            np.testing.assert_allclose(alone, together[:, [row]], atol=1e-4)


def _one(batch, row):
    targets = {name: value[..., [row]] for name, value in batch.targets.items()}
    return batch.replaced(targets={}).take(torch.tensor([row])).replaced(targets=targets)
