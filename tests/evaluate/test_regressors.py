"""Quantiles of the baselines, against cases that are known."""

import numpy as np
import pytest
from scipy import stats

from pyro_hea.errors import SpecError
from pyro_hea.evaluate.coverage import QUANTILES, quantile_scores
from pyro_hea.evaluate.regressors import REGRESSORS, predict_quantiles


@pytest.mark.parametrize("name", REGRESSORS)
def test_baselines_cover_new_draws_of_a_line_with_noise(name):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 2))
    y = x @ [1.0, -0.5] + 0.7 * rng.normal(size=600)
    quantiles = predict_quantiles(name, x[:300], y[:300], x[300:], QUANTILES, 0)
    assert quantiles.shape == (len(QUANTILES), 300)
    assert (np.diff(quantiles, axis=0) >= 0).all()
    scores = quantile_scores(y[300:], quantiles).mean()
    assert scores["0.9"] == pytest.approx(0.9, abs=0.07)
    assert scores["0.5"] == pytest.approx(0.5, abs=0.08)
    if name == "ridge":
        exact = x[300:] @ [1.0, -0.5] + 0.7 * stats.norm.ppf(QUANTILES)[:, None]
        assert np.abs(quantiles - exact).mean() < 0.12


def test_a_forest_says_the_quantiles_of_the_labels_in_its_leaves():
    """Two groups that every split tells apart: each has the labels of its own."""
    x = np.repeat([[0.0], [1.0]], 40, 0)
    y = np.concatenate([np.arange(40.0), 100 + np.arange(40.0)])
    got = predict_quantiles("extra_trees", x, y, [[0.0], [1.0]], QUANTILES, 0)
    expected = np.quantile(np.arange(40.0), QUANTILES, method="inverted_cdf")
    np.testing.assert_allclose(got, np.stack([expected, 100 + expected], 1))


def test_an_unknown_regressor_is_refused_with_a_hint():
    with pytest.raises(SpecError, match="Did you mean 'ridge'"):
        predict_quantiles("rigde", [[0.0]], [0.0], [[0.0]], [0.5], 0)
