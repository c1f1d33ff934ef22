"""The adapter needs numpy, xarray and any ArviZ: neither torch nor pyro, nor the rest of us."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parents[2] / "pyro_hea" / "posterior" / "idata.py"


@pytest.fixture(scope="module")
def adapter():
    spec = importlib.util.spec_from_file_location("adapter", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def idata(adapter):
    rng = np.random.default_rng(0)
    return adapter.to_inference_data(
        {
            "posterior": {"z": rng.normal(size=(2, 50, 3, 2)), "label": np.ones((2, 50, 3), int)},
            "posterior_predictive": {"composition": rng.dirichlet(np.ones(4), (2, 50, 3))},
            "sample_stats": {"diverging": np.zeros((2, 50), bool)},
        },
        observed={"composition": rng.dirichlet(np.ones(4), 3)},
        constant={"k_hat": np.ones((2, 3))},
        dims=adapter.ALLOY_DIMS,
        default_dims=["alloy"],
        coords={
            "alloy": ["AlNi", "CoNi", "CrNi"],
            "element": ["Al", "Co", "Cr", "Ni"],
            "latent": ["z0", "z1"],
            "member": 3,
        },
        attributes={"inference": "nuts", "chain_is": "Markov chain"},
    )


def test_dimensions_coordinates_and_attributes_are_named(idata):
    z = idata["posterior"]["z"]
    assert z.dims == ("chain", "draw", "alloy", "latent")
    assert z["alloy"].values.tolist() == ["AlNi", "CoNi", "CrNi"]
    assert int(z["member"]) == 3
    assert idata["posterior"]["label"].dims == ("chain", "draw", "alloy")
    assert idata["sample_stats"]["diverging"].dims == ("chain", "draw")
    assert idata["observed_data"]["composition"].dims == ("alloy", "element")
    assert idata["constant_data"]["k_hat"].dims == ("chain", "alloy")
    assert idata["posterior"].attrs["chain_is"] == "Markov chain"


def test_netcdf_keeps_everything(adapter, idata, tmp_path):
    import xarray as xr

    path = tmp_path / "draws.nc"
    adapter.write_netcdf(idata, path)
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert set(tree.children) == {
            "posterior",
            "posterior_predictive",
            "sample_stats",
            "observed_data",
            "constant_data",
        }
        for name, group in tree.children.items():
            expected = idata[name]
            expected = expected.to_dataset() if hasattr(expected, "to_dataset") else expected
            # Formulas come back as Python strings and flags as numbers: equal, not the same type.
            for variable in expected.data_vars:
                np.testing.assert_array_equal(group[variable], expected[variable])
            assert group.attrs == expected.attrs
            for coordinate in expected.coords:
                assert group[coordinate].values.tolist() == expected[coordinate].values.tolist()


def test_arviz_summarises_it(idata):
    import arviz as az

    summary = az.summary(idata, var_names=["z"])
    assert len(summary) == 6
    assert summary.index[0] == "z[AlNi, z0]"


def test_the_adapter_imports_neither_torch_nor_pyro():
    code = (
        f"import runpy, sys; runpy.run_path({str(SOURCE)!r}); "
        "print({'torch', 'pyro'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
