import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DataError
from pyro_hea.evaluate.simulation import rank_data
from pyro_hea.plots import (
    chain_ranks,
    draws_bars,
    k_hat_plot,
    latent_ellipses,
    simulation_rank_plot,
    ternary_map,
)
from pyro_hea.plots.ternary import ternary_compositions
from pyro_hea.posterior.idata import ALLOY_DIMS, to_inference_data


def idata_of(z, chain_is="member"):
    composition = np.full((*z.shape[:3], 2), [0.75, 0.25])
    return to_inference_data(
        {"posterior": {"z": z}, "posterior_predictive": {"composition": composition}},
        observed={"composition": np.array([[0.5, 0.5]] * z.shape[2])},
        constant={},
        dims=ALLOY_DIMS,
        default_dims=["alloy"],
        coords={
            "alloy": [f"a{i}" for i in range(z.shape[2])],
            "element": ["Co", "Ni"],
            "latent": ["z0", "z1"],
        },
        attributes={"chain_is": chain_is},
    )


@pytest.fixture
def z(rng):
    return rng.normal(size=(2, 4000, 1, 2)) * [2.0, 0.5] + [1.0, -1.0]


def test_the_ellipse_holds_what_it_says(z):
    idata = idata_of(z, "Markov chain")
    ax = latent_ellipses(idata)
    assert [text.get_text() for text in ax.texts] == list(idata["posterior"]["alloy"].to_numpy())
    ellipse = ax.patches[0]
    points = z.reshape(-1, 2)
    angle = np.radians(ellipse.angle)
    turned = (points - ellipse.center) @ [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    inside = ((turned / [ellipse.width / 2, ellipse.height / 2]) ** 2).sum(1) < 1
    assert inside.mean() == pytest.approx(0.94, abs=0.01)


def test_members_are_never_drawn_together(z):
    z[1] += 100
    ax = latent_ellipses(idata_of(z), chain=0)
    assert ax.lines[0].get_xdata()[0] == pytest.approx(1, abs=0.2)
    assert ax.get_legend().get_title().get_text().startswith("member 0")
    both = latent_ellipses(idata_of(z, "Markov chain"))
    assert both.lines[0].get_xdata()[0] == pytest.approx(51, abs=0.2)


def test_chains_of_members_say_that_they_test_nothing(z):
    assert "no test of convergence" in chain_ranks(idata_of(z), "a0").get_title()
    assert chain_ranks(idata_of(z, "Markov chain"), "a0").get_title() == ""


def test_bars_are_the_mean_of_the_draws_in_at_pct(z):
    ax = draws_bars(idata_of(z[:, :9]), "a0")
    assert [bar.get_height() for bar in ax.patches] == [75, 25]
    assert ax.lines[-1].get_ydata().tolist() == [50, 50]
    assert ax.get_ylabel() == "amount (at.%)"


def test_right_ranks_stay_in_the_band_and_wrong_ones_leave_it(rng):
    ranks = pd.DataFrame({"right": rng.integers(0, 100, 4000), "wrong": rng.integers(20, 80, 4000)})
    ax = simulation_rank_plot(rank_data([ranks]))
    band = np.abs(ax.collections[0].get_paths()[0].vertices[:, 1])
    right, wrong = (np.abs(line.get_ydata()).max() for line in ax.lines)
    assert right < 0.03 < wrong
    assert 0.01 < band.max() < 0.03


def test_k_hat_counts_what_can_be_trusted():
    table = pd.DataFrame({"k_hat": [0.2, 0.8, 1.5], "evidence_k_hat": [0.1, 0.2, 0.9]})
    ax = k_hat_plot(table)
    steps = ax.transData.transform([(0, 1), (0, 2), (0, 4)])[:, 1]
    assert np.diff(steps)[0] == pytest.approx(np.diff(steps)[1])  # a decade is one length
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["guide (1 of 3 below 0.7)", "fitted to each alloy (2 of 3 below 0.7)"]


def test_the_grid_covers_the_triangle_once():
    grid = ternary_compositions(["Al", ("Co", "Cr"), "Ni"], 0.25)
    assert len(grid) == 15
    np.testing.assert_allclose(grid.sum(axis=1), 1)
    np.testing.assert_array_equal(grid["Co"], grid["Cr"])
    assert not grid.duplicated().any()
    for pure in ("Al", "Ni"):
        assert grid[pure].max() == 1


@pytest.mark.parametrize("corners", [["Al", "Co"], ["Al", "Co", ("Al", "Ni")]])
def test_what_is_no_triangle_is_refused(corners):
    with pytest.raises(DataError, match="three corners and each element is in one of them"):
        ternary_compositions(corners)


def test_the_map_is_the_value_at_each_composition():
    corners = ["Al", "Co", "Ni"]
    grid = ternary_compositions(corners, 0.1)
    ax = ternary_map(grid, grid["Co"].rename("p"), corners)
    assert ax.figure.axes[1].get_ylabel() == "p (probability)"
    assert ax.texts[1].get_position()[0] == 1  # Co on the right, where the value is 1
    levels = ax.collections[0]
    assert levels.get_clim()[1] == pytest.approx(0.95, abs=0.06)
