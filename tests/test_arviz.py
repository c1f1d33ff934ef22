"""The installed ArviZ, 0.2x or 1.x, takes results as they are, whichever way they were drawn."""

import arviz as az
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from pyro_hea.posterior.idata import groups_of, load_arviz, write_netcdf

# arviz 0.23 with matplotlib 3.11; arviz-plots with xarray 2026; a known label does not vary
pytestmark = [
    pytest.mark.filterwarnings("ignore::matplotlib.MatplotlibDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Deleting a single level of a MultiIndex:FutureWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:divide by zero encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Your data appears to have a single value:UserWarning"),
    pytest.mark.filterwarnings("ignore:Variables .* look (discrete|binary):UserWarning"),
    pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning"),
    pytest.mark.filterwarnings("ignore:For one or more samples the posterior:UserWarning"),
]

NEW = int(az.__version__.split(".")[0]) >= 1

FIRST = ["Co1Fe1Mo5Ni4"]
"""The first of the alloys that are drawn."""

# By what is asked: the function of ArviZ 0.2x, that of ArviZ 1.x, and its arguments.
PLOTS = {
    "forest": ("plot_forest", "plot_forest", {"var_names": ["z"]}),
    "posterior": ("plot_posterior", "plot_dist", {"var_names": ["z"]}),
    "trace": ("plot_trace", "plot_trace", {"var_names": ["z"]}),
    "rank": ("plot_rank", "plot_rank", {"var_names": ["z"]}),
    "pair": ("plot_pair", "plot_pair", {"var_names": ["z"], "coords": {"alloy": FIRST}}),
    "everything predicted": ("plot_ppc", "plot_ppc_dist", {}),
    "compositions": ("plot_ppc", "plot_ppc_dist", {"var_names": ["composition"]}),
    "labels of a class": ("plot_ppc", "plot_ppc_dist", {"var_names": ["single_phase"]}),
    "labels of a number": ("plot_ppc", "plot_ppc_dist", {"var_names": ["hardness"]}),
    "p-values of a number": ("plot_bpv", "plot_ppc_pit", {"var_names": ["hardness"]}),
    "p-values of a class": ("plot_bpv", "plot_ppc_tstat", {"var_names": ["single_phase"]}),
}
OF_GUIDE = {
    "prior": ("plot_ppc", "plot_ppc_dist", {"group": "prior_predictive" if NEW else "prior"}),
    "probabilities": (
        "plot_forest",
        "plot_forest",
        {"var_names": ["single_phase", "single_phase_probability", "phase_probability"]},
    ),
    "leave one out": (
        "plot_loo_pit",
        "plot_loo_pit",
        {"var_names": ["hardness"]} if NEW else {"y": "hardness"},
    ),
}
OF_NUTS = {"energy": ("plot_energy", "plot_energy", {})}


@pytest.fixture(scope="module")
def results(vae_of_kinds, alloys_of_kinds):
    """Draws of a few alloys with labels of every kind, by method."""
    few = alloys_of_kinds.take(list(range(6)))
    settings = {"guide": {}, "importance": {}, "nuts": {"chains": 2, "warmup": 20}}
    return {m: vae_of_kinds.posterior(few, method=m, draws=40, **s) for m, s in settings.items()}


@pytest.fixture(autouse=True)
def _agg():
    with mpl.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


def draw(idata, names):
    function, _, settings = names
    if NEW:
        return getattr(az, names[1])(idata, **settings)
    return getattr(az, function)(idata, **settings)


@pytest.mark.parametrize("method", ["guide", "importance", "nuts"])
@pytest.mark.parametrize("plot", PLOTS)
def test_arviz_plots_the_result_as_it_is(results, method, plot):
    assert draw(results[method], PLOTS[plot]) is not None


@pytest.mark.parametrize("plot", OF_GUIDE)
def test_arviz_plots_prior_probabilities_and_what_is_left_out(results, plot):
    assert draw(results["guide"], OF_GUIDE[plot]) is not None


@pytest.mark.parametrize("plot", OF_NUTS)
def test_arviz_plots_energies_of_nuts(results, plot):
    assert draw(results["nuts"], OF_NUTS[plot]) is not None


def test_the_energy_is_that_of_a_hamiltonian(results):
    stats = results["nuts"]["sample_stats"]
    kinetic = stats["energy"] + stats["lp"]  # up to a constant
    assert stats["energy"].dims == ("chain", "draw")
    # Of 6 alloys with 2 coordinates each: half of a chi-squared variable of 12 degrees of freedom.
    assert float(kinetic.var()) == pytest.approx(12 / 2, rel=1.5)
    assert np.isfinite(np.asarray(az.bfmi(results["nuts"]) if not NEW else 1.0)).all()


@pytest.mark.parametrize("method", ["guide", "importance", "nuts"])
def test_arviz_summarises_every_variable(results, method):
    table = az.summary(results[method])
    assert len(table) == sum(
        np.prod(v.shape[2:], dtype=int) for v in results[method]["posterior"].data_vars.values()
    )


@pytest.mark.parametrize("variable", ["composition", "single_phase", "phase", "hardness"])
def test_information_criteria_are_numbers(results, variable):
    idata = results["guide"]
    loo = az.loo(idata, var_name=variable)
    assert np.isfinite(loo.elpd if NEW else loo.elpd_loo)
    if not NEW:
        assert np.isfinite(az.waic(idata, var_name=variable).elpd_waic)
    table = az.compare({"first": idata, "second": idata}, var_name=variable)
    assert set(table.index) == {"first", "second"}
    assert np.isfinite(table["weight"]).all()


def test_the_criterion_of_what_is_asked_for_by_name(results):
    with pytest.raises(TypeError, match="Found several log likelihood arrays"):
        az.loo(results["guide"])


def test_the_log_likelihood_of_labels_is_that_of_the_heads(results, vae_of_kinds, alloys_of_kinds):
    from pyro_hea.evaluate.predictive_density import label_density

    few = alloys_of_kinds.take(list(range(6)))
    for name in ("single_phase", "phase", "hardness"):
        likelihood = results["guide"]["log_likelihood"][name]
        assert likelihood.dims == ("chain", "draw", f"{name}_alloy")
        mixture = np.log(np.exp(likelihood).mean(("chain", "draw")))
        expected = label_density(vae_of_kinds.ensemble, few, name)
        np.testing.assert_allclose(mixture, expected, atol=1e-4)
        assert likelihood[f"{name}_alloy"].to_numpy().tolist() == list(expected.index)


def test_predicted_labels_are_drawn_from_the_heads(vae_of_kinds, alloys_of_kinds):
    few = alloys_of_kinds.take(list(range(6)))
    idata = vae_of_kinds.posterior(few, draws=2000, groups=("posterior", "posterior_predictive"))
    predicted, table = idata["posterior_predictive"], vae_of_kinds.predict(few)
    share = predicted["single_phase"].mean(("chain", "draw"))
    np.testing.assert_allclose(share, table["single_phase"], atol=0.05)
    for i, name in enumerate(("fcc", "bcc", "several")):
        share = (predicted["phase"] == i).mean(("chain", "draw"))
        np.testing.assert_allclose(share, table[f"phase[{name}]"], atol=0.05)
    hardness = predicted["hardness"].median("draw").mean("chain").to_numpy()
    np.testing.assert_allclose(hardness, table["hardness"], rtol=0.1)
    probability = idata["posterior"]["single_phase_probability"].mean(("chain", "draw"))
    np.testing.assert_allclose(probability, table["single_phase"], atol=1e-4)
    assert predicted["single_phase"].dtype.kind == "i"


def test_arviz_plots_predictive_checks(vae_of_kinds, alloys_of_kinds):
    _, checks = vae_of_kinds.check_predictive(alloys_of_kinds, draws=4)
    names = {"var_names": ["mixing_enthalpy", "number_of_elements"]}
    names |= {"num_samples": 4} if NEW else {}  # no more than there are
    assert draw(checks, ("plot_ppc", "plot_ppc_dist", names)) is not None


@pytest.mark.parametrize("method", ["guide", "importance", "nuts"])
def test_what_a_chain_is_stands_in_every_group(results, method):
    kind = "Markov chain" if method == "nuts" else "member"
    for group in groups_of(results[method]).values():
        assert group.attrs["chain_is"] == kind


@pytest.mark.parametrize("method", ["guide", "importance", "nuts"])
@pytest.mark.parametrize("read", ["arviz", "xarray"])
def test_netcdf_gives_back_what_was_drawn_to_either_arviz(results, method, read, tmp_path):
    """ArviZ 0.2x reads group by group, ArviZ 1.x a tree of xarray."""
    path = tmp_path / "draws.nc"
    write_netcdf(results[method], path)
    assert [p.name for p in tmp_path.iterdir()] == ["draws.nc"]
    if read == "arviz":
        back = groups_of(az.from_netcdf(str(path), engine="h5netcdf"))
    else:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            back = groups_of(tree.load())
    drawn = groups_of(results[method])
    assert set(back) == set(drawn)
    for group, dataset in drawn.items():
        for name, values in dataset.data_vars.items():
            assert back[group][name].dims == values.dims
            np.testing.assert_array_equal(back[group][name], values)
        assert back[group].attrs == dataset.attrs


def test_a_file_of_either_arviz_is_read_by_the_other(repo_root):
    """Draws of one alloy from one model, written beside ArviZ 0.23 and beside ArviZ 1.3."""
    read = [
        groups_of(az.from_netcdf(str(repo_root / f"tests/data/draws_arviz_{line}.nc")))
        for line in (0, 1)
    ]
    assert read[0]["posterior"].sizes["draw"] == 2
    assert set(read[0]) == set(read[1])
    for group, dataset in read[0].items():
        xr.testing.assert_allclose(dataset, read[1][group])


def test_designs_are_draws_that_arviz_plots(vae):
    idata = vae.design({"single_phase": 1}, n=8, seed=0, min_probability=0).idata
    assert idata["posterior"]["composition"].dims == ("chain", "draw", "element")
    names = ["single_phase", "composition"]
    elements = idata["posterior"].sizes["element"]
    assert len(az.summary(idata, var_names=names, kind="stats")) == 1 + elements
    for plot in ("forest", "trace", "posterior"):
        old, new, _ = PLOTS[plot]
        assert draw(idata, (old, new, {"var_names": ["single_phase"]})) is not None


@pytest.mark.slow
def test_arviz_is_loaded_without_its_notice_and_without_a_writable_home(tmp_path, monkeypatch):
    """ArviZ 0.2x notes in the user's cache that it has told of the new version today."""
    import subprocess
    import sys

    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    code = "from pyro_hea.posterior.idata import load_arviz; print(load_arviz().__name__)"
    monkeypatch.setenv("MPLCONFIGDIR", mpl.get_cachedir())  # with its list of fonts
    for home in (str(tmp_path / "new"), str(blocked)):
        monkeypatch.setenv("XDG_CACHE_HOME", home)
        command = [sys.executable, "-W", "always::FutureWarning", "-c", code]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == "arviz"
        assert "major refactor" not in run.stderr
    assert load_arviz() is az
