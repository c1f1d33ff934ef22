"""What would not fit into memory is refused with its size; what is large is cut into chunks."""

import numpy as np
import pytest
import torch

from pyro_hea.errors import DataError
from pyro_hea.posterior import limits, traces


def test_draws_that_do_not_fit_are_refused_with_their_size(vae, alloys):
    with pytest.raises(DataError, match=r"need .* GiB of memory.*groups=\('posterior',\)"):
        vae.posterior(alloys, draws=10**7)
    with pytest.raises(DataError, match="GiB of memory"):
        vae.posterior(alloys, draws=10**8, method="importance")
    with pytest.raises(DataError, match="GiB of memory"):
        vae.posterior(alloys, draws=10**8, method="nuts")
    with pytest.raises(DataError, match=r"GiB of memory.*other seeds"):
        vae.prior_predictive(10**8)
    with pytest.raises(DataError, match=r"GiB of memory.*fewer draws"):
        vae.guide_table(alloys, draws=10**8)
    with pytest.raises(DataError, match="n=0 is not allowed"):
        vae.prior_predictive(0)


def test_fewer_groups_fit_where_all_do_not(vae, alloys, monkeypatch):
    monkeypatch.setattr(limits, "LARGEST", 4 * 3 * len(alloys) * 50 * 4)
    with pytest.raises(DataError, match="memory"):
        vae.posterior(alloys, draws=50)
    assert vae.posterior(alloys, draws=50, groups=("posterior",)) is not None


def test_draws_are_weighted_in_chunks(ensemble, alloys, monkeypatch):
    batch = ensemble.batch(alloys)
    monkeypatch.setattr(traces, "_ROWS", 7 * ensemble.members * len(batch))
    torch.manual_seed(0)
    drawn = traces.weighted_draws(ensemble.model, batch, 20)
    assert drawn.log_weight.shape == (20, ensemble.members, len(batch))
    assert drawn.sites["z"].shape == (20, ensemble.members, len(batch), 2)
    first, second = drawn.log_weight[:7], drawn.log_weight[7:14]
    assert not torch.equal(first, second)


@pytest.mark.parametrize("member", [-1, 3, 9])
def test_a_member_that_there_is_not_is_named(vae, alloys, member):
    message = f"there is no member {member}; this model has 0 to 2"
    for ask in (
        lambda: vae.encode(alloys, member),
        lambda: vae.reconstruct(alloys, member),
        lambda: vae.guide_table(alloys, member=member),
        lambda: vae.posterior(alloys, method="nuts", member=member),
        lambda: vae.ensemble.of_member(member),
        lambda: vae.explore(alloys, member=member),
    ):
        with pytest.raises(DataError, match=message):
            ask()


def test_an_alloy_has_the_same_latent_alone_and_among_others(vae, alloys):
    together = vae.encode(alloys, 1)
    for i in range(0, len(alloys), 3):
        alone = vae.encode(alloys.take([i]), 1)
        np.testing.assert_allclose(alone, together.iloc[[i]], atol=1e-4)
