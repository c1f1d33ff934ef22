import arviz as az
import numpy as np
import pytest
import torch
from scipy.special import gammaln

from pyro_hea.errors import DataError, UnknownElementError
from pyro_hea.posterior import draw_posterior, draws
from pyro_hea.posterior.idata import groups_of, write_netcdf

N, K, E, D, DRAWS = 20, 3, 6, 2, 7

GROUPS = {
    "posterior",
    "posterior_predictive",
    "prior",
    "prior_predictive",
    "log_likelihood",
    "observed_data",
    "constant_data",
}


def draw(ensemble, alloys, count=DRAWS, labels="use", seed=0):
    return draw_posterior(ensemble, alloys, draws=count, labels=labels, seed=seed)


@pytest.fixture(scope="session")
def idata(ensemble, alloys):
    return draw(ensemble, alloys)


@pytest.fixture(scope="session")
def many(ensemble, alloys):
    return draw(ensemble, alloys, 600, "ignore")


def known(alloys) -> np.ndarray:
    return alloys.labels["single_phase"].notna().to_numpy()


# What it holds.


def test_the_groups_dimensions_and_coordinates_are_those_of_the_design(idata, alloys, ensemble):
    assert set(groups_of(idata)) == GROUPS
    of_alloys = {"chain": K, "draw": DRAWS, "alloy": N}
    labels = {"single_phase_alloy": int(known(alloys).sum())}
    of_labels = {"chain": K, "draw": DRAWS} | labels
    shapes = {
        "posterior": {
            "single_phase": of_alloys,
            "single_phase_probability": of_alloys,
            "z": of_alloys | {"latent": D},
        },
        "posterior_predictive": {
            "composition": of_alloys | {"element": E},
            "single_phase": of_labels,
        },
        "prior": {"single_phase": of_alloys, "z": of_alloys | {"latent": D}},
        "prior_predictive": {
            "composition": of_alloys | {"element": E},
            "single_phase": of_labels,
        },
        "log_likelihood": {"composition": of_alloys, "single_phase": of_labels},
        "observed_data": {
            "composition": {"alloy": N, "element": E},
            "single_phase": labels,
        },
        "constant_data": {"features": {"alloy": N, "feature": len(ensemble.feature_map.names)}},
    }
    for group, sites in shapes.items():
        assert set(idata[group].data_vars) == set(sites)
        for name, sizes in sites.items():
            array = idata[group][name]
            assert tuple(array.dims) == tuple(sizes)
            assert dict(array.sizes) == sizes
    assert idata.posterior["alloy"].values.tolist() == alloys.formulas
    assert idata.posterior["chain"].values.tolist() == [0, 1, 2]
    assert idata.posterior["latent"].values.tolist() == ["z0", "z1"]
    assert idata.prior_predictive["element"].values.tolist() == list(ensemble.elements)
    assert idata.constant_data["feature"].values.tolist() == list(ensemble.feature_map.names)


def test_every_group_says_what_kind_the_draws_are(idata):
    for group in GROUPS:
        assert idata[group].attrs["inference"] == "variational"
        assert idata[group].attrs["chain_is"] == "member"
        assert idata[group].attrs["seed"] == 0


def test_the_observed_data_are_the_alloys_and_the_labels_there_are(idata, alloys, ensemble):
    np.testing.assert_allclose(
        idata.observed_data["composition"], alloys.fractions[list(ensemble.elements)], atol=1e-12
    )
    labels = alloys.labels["single_phase"].dropna()
    np.testing.assert_array_equal(idata.observed_data["single_phase"], labels)
    formulas = idata.observed_data["single_phase_alloy"].to_numpy().tolist()
    assert formulas == list(alloys.fractions.index[known(alloys)])


def test_alloys_without_labels_have_draws_of_the_target_and_no_observation(ensemble):
    idata = draw(ensemble, ["CoCrFeNi", {"Al": 1, "Co": 3}])
    assert set(groups_of(idata)) == GROUPS
    assert set(idata.observed_data.data_vars) == {"composition"}
    assert idata.posterior["single_phase"].shape == (K, DRAWS, 2)
    assert idata.posterior["alloy"].values.tolist()[0] == "CoCrFeNi"


def test_one_draw_of_one_alloy_keeps_its_dimensions(ensemble):
    idata = draw(ensemble, ["CoCrFeNi"], 1)
    assert idata.posterior["z"].shape == (K, 1, 1, D)


# What the draws are.


def test_known_labels_are_used_or_inferred(idata, many, alloys):
    have = known(alloys)
    used = idata.posterior["single_phase"].to_numpy()
    labels = alloys.labels["single_phase"].to_numpy()
    assert (used[..., have] == labels[have]).all()
    ignored = many.posterior["single_phase"].to_numpy()
    assert set(np.unique(ignored)) == {0.0, 1.0}
    assert (ignored[..., have] != labels[have]).any(axis=(0, 1)).all()


def test_inferred_targets_follow_the_head_of_each_member(many, ensemble, alloys):
    batch = ensemble.batch(alloys)
    with torch.no_grad():
        logits = ensemble.model.head("single_phase", ensemble.model.head_inputs(batch), None)[
            ..., 0
        ]
    p = torch.sigmoid(logits).numpy()
    shares = many.posterior["single_phase"].mean("draw").to_numpy()
    assert (np.abs(shares - p) < 4.5 * np.sqrt(p * (1 - p) / 600)).all()


def test_each_chain_is_a_member(ensemble, alloys):
    idata = draw(ensemble, alloys, 600)
    batch, labels = ensemble.batch(alloys), torch.tensor(known(alloys))
    for k in range(K):
        single = ensemble.model.member(k)
        torch.manual_seed(1)
        with torch.no_grad():
            z = single.latent_posterior(batch.fractions, batch.targets).sample((600,))[:, 0]
        z = z[:, labels].numpy()
        got = idata.posterior["z"].sel(chain=k).to_numpy()[:, known(alloys)]
        error = np.sqrt((z.var(0) + got.var(0)) / 600)
        assert (np.abs(z.mean(0) - got.mean(0)) < 5 * error).all()


def test_the_log_likelihood_is_that_of_the_drawn_latents(idata, ensemble, alloys):
    model = ensemble.model
    z = torch.tensor(idata.posterior["z"].to_numpy()).swapaxes(0, 1)
    y = torch.tensor(idata.posterior["single_phase"].to_numpy()).swapaxes(0, 1)
    x = alloys.fractions[list(ensemble.elements)].to_numpy()
    with torch.no_grad():
        log_p = model.likelihood(z, {"single_phase": y}).mean.double().log().numpy()
    counts = 50 * x
    expected = gammaln(51) - gammaln(counts + 1).sum(-1) + (counts * log_p).sum(-1)
    got = idata.log_likelihood["composition"].to_numpy().swapaxes(0, 1)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


def test_the_prior_is_that_of_the_spec_and_knows_no_label(many):
    y = many.prior["single_phase"].to_numpy()
    assert y.mean() == pytest.approx(0.5, abs=4 * 0.5 / y.size**0.5)
    z = many.prior["z"].to_numpy()
    assert z.mean() == pytest.approx(0, abs=4 / z.size**0.5)
    assert z.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("group", ["posterior_predictive", "prior_predictive"])
def test_drawn_compositions_are_alloys_of_the_atoms_that_the_likelihood_counts(idata, group):
    x = idata[group]["composition"].to_numpy()
    np.testing.assert_allclose(x.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(50 * x, np.round(50 * x), atol=1e-4)


def test_draws_differ_from_draw_to_draw_and_member_to_member(idata):
    z = idata.posterior["z"].to_numpy()
    assert len(np.unique(z.reshape(K * DRAWS, -1), axis=0)) == K * DRAWS


# Randomness and memory.


def test_the_same_seed_draws_the_same_and_the_global_state_stays(ensemble, alloys, idata):
    before = torch.get_rng_state()
    again, other = draw(ensemble, alloys), draw(ensemble, alloys, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    for group in GROUPS:
        assert again[group].equals(idata[group])
    assert not np.array_equal(other.posterior["z"], idata.posterior["z"])


def test_nothing_tells_two_runs_of_one_seed_apart(ensemble, alloys, idata):
    again = draw(ensemble, alloys)
    for group in GROUPS:
        assert again[group].attrs == idata[group].attrs


@pytest.mark.parametrize("chunk", [1, N * K * E, 100 * N * K * E + 1])
def test_drawing_in_chunks_changes_no_shape_and_no_statistic(
    ensemble, alloys, many, monkeypatch, chunk
):
    monkeypatch.setattr(draws, "_FRACTIONS_PER_CHUNK", chunk)
    count = 150 if chunk < 1000 else 600
    chunked = draw(ensemble, alloys, count, "ignore")
    for group in ("posterior", "posterior_predictive", "prior", "log_likelihood"):
        for name, array in chunked[group].data_vars.items():
            other = many[group][name]
            assert array.dims == other.dims
            assert {**array.sizes, "draw": 0} == {**other.sizes, "draw": 0}
            error = np.sqrt(array.var("draw") / count + other.var("draw") / 600) + 1e-5
            off = np.abs(array.mean("draw") - other.mean("draw")) / error
            assert float((off > 4).mean()) < 0.02
    z = chunked.posterior["z"].to_numpy().reshape(K, count, -1)
    assert len(np.unique(z[0], axis=0)) == count  # no chunk repeats another


def test_the_gradient_of_the_weights_is_left_alone(idata, ensemble):
    assert all(p.grad is None or p.grad.isfinite().all() for p in ensemble.model.parameters())
    assert not ensemble.model.training


# Refusals.


def test_wrong_arguments_are_refused(ensemble, alloys):
    with pytest.raises(DataError, match="labels='keep' is not allowed; use 'use' or 'ignore'"):
        draw(ensemble, alloys, labels="keep")
    with pytest.raises(DataError, match="draws=0 is not allowed"):
        draw(ensemble, alloys, 0)
    with pytest.raises(UnknownElementError, match="holds Ta, which no training alloy holds"):
        draw(ensemble, ["CoTa"])


# ArviZ.


def test_netcdf_loses_nothing(idata, tmp_path):
    path = tmp_path / "posterior.nc"
    write_netcdf(idata, path)
    back = groups_of(az.from_netcdf(str(path), engine="h5netcdf"))
    assert set(back) == GROUPS
    for group, a in groups_of(idata).items():
        b = back[group].load()
        assert b.equals(a)
        assert {n: v.dtype.kind for n, v in b.data_vars.items()} == {
            n: v.dtype.kind for n, v in a.data_vars.items()
        }
        for key, value in a.attrs.items():
            assert b.attrs[key] == value
        for name, coordinate in a.coords.items():
            assert b.coords[name].values.tolist() == coordinate.values.tolist()


def test_arviz_summarises(idata):
    one = groups_of(idata)["posterior"].isel(alloy=[0, 15])
    summary = az.summary(one, var_names=["z"], kind="stats")
    assert len(summary) == 2 * D
    expected = float(idata.posterior["z"].isel(alloy=0, latent=0).mean())
    assert float(summary["mean"].iloc[0]) == pytest.approx(expected, abs=0.05)


def test_only_the_groups_that_are_asked_for_are_drawn(vae, alloys):
    idata = vae.posterior(alloys, draws=3, groups=("posterior", "prior_predictive"))
    assert set(groups_of(idata)) == {
        "posterior",
        "prior_predictive",
        "observed_data",
        "constant_data",
    }
    with pytest.raises(DataError, match=r"no group 'priors'\. Did you mean 'prior'\?"):
        vae.posterior(alloys, groups=("priors",))


def test_the_prior_of_the_program_is_drawn_alloy_by_alloy(vae):
    idata = vae.prior_predictive(400, seed=1)
    assert idata.prior["z"].dims == ("chain", "draw", "latent")
    assert idata.prior["single_phase"].dims == ("chain", "draw")
    assert idata.prior_predictive["composition"].sizes == {"chain": 3, "draw": 400, "element": 6}
    np.testing.assert_allclose(idata.prior_predictive["composition"].sum("element"), 1, rtol=1e-5)
    assert abs(float(idata.prior["single_phase"].mean()) - 0.5) < 4 * 0.5 / 1200**0.5
    assert abs(float(idata.prior["z"].mean())) < 4 / 2400**0.5
    assert idata.prior.attrs["inference"] == "prior"
