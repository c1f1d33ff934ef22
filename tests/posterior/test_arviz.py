"""ArviZ takes the results as they are, whichever way they were drawn."""

import arviz as az
import numpy as np
import pytest
from matplotlib import pyplot as plt

# arviz 0.23 with matplotlib 3.11, and a label that is known does not vary
pytestmark = [
    pytest.mark.filterwarnings("ignore::matplotlib.MatplotlibDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Your data appears to have a single value:UserWarning"),
]

CALLS = {
    "summary": lambda idata: az.summary(idata),
    "plot_forest": lambda idata: az.plot_forest(idata, var_names=["z"], combined=True),
    "plot_posterior": lambda idata: az.plot_posterior(idata, var_names=["z"]),
    "plot_trace": lambda idata: az.plot_trace(idata, var_names=["z"]),
    "plot_rank": lambda idata: az.plot_rank(idata, var_names=["z"]),
    "plot_pair": lambda idata: az.plot_pair(idata, var_names=["z"]),
    "plot_ppc": lambda idata: az.plot_ppc(idata, var_names=["composition"], num_pp_samples=4),
}


@pytest.fixture(scope="module")
def results(vae, alloys):
    few = alloys.take([0, 19])  # one labelled, one not
    settings = {"guide": {}, "importance": {}, "nuts": {"chains": 2, "warmup": 20}}
    return {m: vae.posterior(few, method=m, draws=40, **s) for m, s in settings.items()}


@pytest.fixture(autouse=True)
def _figures_closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("method", ["guide", "importance", "nuts"])
@pytest.mark.parametrize("call", CALLS)
def test_arviz_runs_on_the_result_as_it_is(results, method, call):
    assert CALLS[call](results[method]) is not None


def test_arviz_plots_predictive_checks(vae, alloys):
    _, checks = vae.check_predictive(alloys, draws=4)
    axes = az.plot_ppc(checks, var_names=["mixing_enthalpy", "number_of_elements"])
    assert np.size(axes) == 2


@pytest.mark.parametrize("method", ["guide", "importance", "nuts"])
def test_what_a_chain_is_stands_in_every_group(results, method):
    kind = "Markov chain" if method == "nuts" else "member"
    for group in results[method].groups():
        assert results[method][group].attrs["chain_is"] == kind


@pytest.mark.parametrize("method", ["guide", "importance", "nuts"])
def test_netcdf_gives_back_what_was_drawn(results, method, tmp_path):
    path = str(tmp_path / "draws.nc")
    results[method].to_netcdf(path, engine="h5netcdf")
    back = az.from_netcdf(path, engine="h5netcdf")
    assert set(back.groups()) == set(results[method].groups())
    for group in back.groups():
        for name, values in results[method][group].data_vars.items():
            assert back[group][name].dims == values.dims
            np.testing.assert_array_equal(back[group][name], values)


def test_designs_are_draws_that_arviz_plots(vae):
    idata = vae.design({"single_phase": 1}, n=8, seed=0).idata
    assert idata["posterior"]["composition"].dims == ("chain", "draw", "element")
    names = ["single_phase", "composition"]
    assert (
        len(az.summary(idata, var_names=names, kind="stats"))
        == 1 + idata.posterior.sizes["element"]
    )
    for plot in (az.plot_forest, az.plot_trace, az.plot_posterior):
        assert plot(idata, var_names=["single_phase"]) is not None
