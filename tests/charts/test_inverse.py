"""Posterior draws against the posterior that a grid of all charts gives."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pyro_hea.charts import misfit
from pyro_hea.errors import DataError, EstimateWarning

OPERATOR, DATA, NOISE = np.array([[1.0, 0.4]]), np.array([0.3]), 0.3


def on_a_grid(atlas, cells: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Points (3, cells, 2) at the middle of equally probable cells of ξ, and their probability."""
    from torch import linspace

    density = atlas.model.density().base_dist
    share = linspace(0.5 / cells, 1 - 0.5 / cells, cells, dtype=atlas.model.log_alpha.dtype)
    xi = density.icdf(share).numpy()[:, None]
    points = np.stack([atlas.decode(xi, k) for k in range(3)])
    log = stats.norm.logpdf((points @ OPERATOR.T)[..., 0], DATA[0], NOISE)
    weight = np.exp(log) * atlas.model.log_alpha.exp().numpy()[:, None]
    return points, weight / weight.sum()


def test_draws_follow_the_posterior_under_the_atlas(atlas):
    idata = atlas.posterior(OPERATOR, DATA, NOISE, draws=500, chains=4, particles=1000, seed=0)
    points, weight = on_a_grid(atlas)
    drawn = idata.posterior["x"].to_numpy()
    chart = idata.posterior["chart"].to_numpy()
    assert drawn.shape == (4, 500, 2)
    shares = np.stack([(chart == k).mean(1) for k in range(3)], 1)  # chain, chart
    angle = np.arctan2(points[..., 1], points[..., 0])
    of_draws = np.arctan2(drawn[..., 1], drawn[..., 0])
    checks = [(shares[:, k], weight[k].sum()) for k in range(3)]
    checks += [
        (function(of_draws).mean(1), float((function(angle) * weight).sum()))
        for function in (np.cos, np.sin, lambda a: a > 0, lambda a: np.abs(a) > 1)
    ]
    for of_chains, exact in checks:
        error = max(of_chains.std(ddof=1) / 2, 0.5 / np.sqrt(2000))
        assert abs(of_chains.mean() - exact) < 4 * error


def test_an_even_prior_gives_the_posterior_on_the_circle_itself(atlas):
    """Whatever the charts are, how they overlap, and how often points were met."""
    angle = (np.arange(4000) + 0.5) * 2 * np.pi / 4000 - np.pi
    circle = np.c_[np.cos(angle), np.sin(angle)]
    for noise in (NOISE, 1e3):
        weight = stats.norm.pdf((circle @ OPERATOR.T)[:, 0], DATA[0], noise)
        weight /= weight.sum()
        drawn = atlas.posterior(
            OPERATOR, DATA, noise, prior="even", draws=250, chains=16, particles=300, seed=1
        )
        x = drawn.posterior["x"].to_numpy()
        of_draws = np.arctan2(x[..., 1], x[..., 0])
        for function in (np.cos, np.sin, lambda a: a > 0, lambda a: np.abs(a) > 1):
            of_chains, exact = function(of_draws).mean(1), (function(angle) * weight).sum()
            error = max(of_chains.std(ddof=1) / 4, 0.5 / np.sqrt(4000))
            assert abs(of_chains.mean() - exact) < 4 * error


def test_it_is_inference_data_with_its_coordinates(atlas):
    idata = atlas.posterior(OPERATOR, DATA, NOISE, draws=7, chains=2, particles=50)
    posterior = idata.posterior
    assert dict(posterior.sizes) == {"chain": 2, "draw": 7, "coordinate": 1, "feature": 2}
    assert [*posterior["feature"].to_numpy()] == ["x0", "x1"]
    np.testing.assert_array_equal(idata.observed_data["data"], DATA)
    x, lp = posterior["x"].to_numpy(), idata.sample_stats["lp"].to_numpy()
    np.testing.assert_allclose(lp, stats.norm.logpdf((x @ OPERATOR.T)[..., 0], DATA[0], NOISE))
    again = atlas.posterior(
        lambda p: p @ p.new_tensor(OPERATOR).mT, DATA, NOISE, draws=7, chains=2, particles=50
    )
    np.testing.assert_allclose(again.posterior["x"], x)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"noise": 0.0}, "noise=0.0 is not allowed; it is a standard deviation above 0"),
        ({"prior": "flat"}, "Priors of points: learnt, even"),
        ({"draws": 0}, "draws, chains and particles are at least 1"),
        ({"operator": np.eye(3)}, "a matrix of 3 columns for points of 2"),
        ({"data": [1.0, 2.0]}, "which have 2 data each; it has to give"),
        ({"data": 0.3}, "the data have shape (); it has to be (m,)"),
        ({"noise": "small"}, "noise='small' is not allowed"),
        ({"draws": 2.5}, "at least 1, and whole numbers"),
        ({"data": ["a"]}, "the data hold what is no number"),
        ({"data": [np.nan]}, "the data hold a value that is not finite"),
    ],
)
def test_a_problem_that_is_none_is_named(atlas, changed, message):
    asked = {"operator": OPERATOR, "data": DATA, "noise": NOISE} | changed
    with pytest.raises(DataError, match=re.escape(message)):
        atlas.posterior(**asked)


def test_data_that_no_point_explains_are_said(atlas):
    with pytest.warns(EstimateWarning, match="standard deviations from the data: nothing on it"):
        atlas.posterior(OPERATOR, [50.0], NOISE, draws=10, chains=1, particles=50)


def test_an_operator_whose_columns_have_names_is_refused():
    table = pd.DataFrame([[0.4, 1.0]], columns=["y", "x"])
    with pytest.raises(DataError, match=r"not matched by name: give operator\[list\(atlas.columns"):
        misfit(table, [0.9])


@pytest.mark.parametrize("data", [[1j], np.array([[1.0 + 0j]])])
def test_complex_data_are_refused(data):
    with pytest.raises(DataError, match=r"hold what is no number \(they are complex\)"):
        misfit([[1.0, 0.0]], data)
