import numpy as np
import pytest

from pyro_hea.posterior import check_predictive
from pyro_hea.posterior.idata import ALLOY_DIMS, to_inference_data


def made_of(drawn, real):
    return to_inference_data(
        {"posterior_predictive": {"composition": drawn}},
        observed={"composition": real},
        constant={},
        dims=ALLOY_DIMS,
        default_dims=["alloy"],
        coords={"alloy": [f"a{i}" for i in range(len(real))]},
        attributes={"inference": "made up"},
    )


@pytest.fixture
def real():
    return np.random.default_rng(0).dirichlet(np.ones(6), 60)


def test_replicates_from_the_same_source_are_not_told_apart(ensemble, real):
    drawn = np.random.default_rng(1).dirichlet(np.ones(6), (2, 60, 60))
    table, _ = check_predictive(ensemble, made_of(drawn, real))
    assert (table["p_value"] > 0.01).mean() > 0.9
    assert table.index.name == "statistic"
    assert {"mean of number_of_elements", "sd of mixing_enthalpy", "share with Al"} <= {
        *table.index
    }


def test_alloys_of_another_kind_are_told_apart(ensemble, real):
    drawn = np.random.default_rng(1).dirichlet(0.2 * np.ones(6), (2, 60, 60))
    table, _ = check_predictive(ensemble, made_of(drawn, real))
    row = table.loc["mean of number_of_elements"]
    assert row["p_value"] == pytest.approx(2 / 121)
    assert row["observed"] > row["mean"] + 5 * row["sd"]
    counts = (real >= 0.01).sum(-1)
    assert row["observed"] == pytest.approx(counts.mean())
    assert table.loc["share with Co", "observed"] == pytest.approx((real[:, 1] >= 0.01).mean())


def test_the_table_and_the_groups_come_from_the_face(vae, alloys):
    table, checks = vae.check_predictive(alloys, draws=5)
    assert len(table) > 30
    assert (table["p_value"] > 0).all()
    assert checks.posterior_predictive["mixing_enthalpy"].dims == ("chain", "draw", "alloy")
    assert checks.observed_data["mixing_enthalpy"].dims == ("alloy",)
