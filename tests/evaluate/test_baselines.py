import warnings

import numpy as np
import pytest

from pyro_hea.errors import DataError, SpecError
from pyro_hea.evaluate import BASELINES, fit_predict
from pyro_hea.evaluate.measures import classification_metrics

NAMES = tuple(BASELINES)
STANDARDISED = ("logistic_regression", "mlp_ensemble", "gaussian_process")


def _alloys(n, seed=0, features=4):
    """Labels drawn from a logistic curve in the first feature; the others are noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features))
    return x, (rng.random(n) < 1 / (1 + np.exp(-4 * x[:, 0]))).astype(int)


def test_the_baselines_are_those_of_the_protocols():
    assert set(NAMES) == {
        "extra_trees",
        "random_forest",
        "gradient_boosting",
        "logistic_regression",
        "mlp_ensemble",
        "gaussian_process",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_learns_what_there_is_to_learn(name):
    x, y = _alloys(300)
    scores = classification_metrics(y[200:], fit_predict(name, x[:200], y[:200], x[200:], 0))
    assert scores["auc"] > 0.85
    assert scores["log_loss"] < 0.55


@pytest.mark.parametrize("name", NAMES)
def test_few_labels_are_enough_and_a_seed_fixes_the_outcome(name, numpy_state):
    x, y = _alloys(25)
    new = _alloys(50, seed=1)[0]
    state = numpy_state()
    first = fit_predict(name, x, y, new, 3)
    assert numpy_state() == state
    assert first.shape == (50,)
    assert ((first >= 0) & (first <= 1)).all()
    # alone or in company an alloy is predicted alike: nothing is learned from what is predicted
    assert fit_predict(name, x, y, new[:1], 3) == pytest.approx(first[:1], rel=1e-9)


@pytest.mark.parametrize("name", ["extra_trees", "mlp_ensemble"])
def test_another_seed_is_another_model(name):
    x, y = _alloys(40)
    assert (fit_predict(name, x, y, x, 0) != fit_predict(name, x, y, x, 1)).any()


@pytest.mark.parametrize("name", STANDARDISED)
def test_units_do_not_matter_where_features_are_standardised(name):
    x, y = _alloys(60)
    scale, shift = np.array([1e-3, 1.0, 10.0, 1e4]), np.array([0.0, 5.0, -3.0, 2e4])
    expected = fit_predict(name, x, y, x, 0)
    assert fit_predict(name, x * scale + shift, y, x * scale + shift, 0) == pytest.approx(
        expected, abs=0.02
    )


def test_eight_different_networks_are_averaged():
    x, y = _alloys(40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ensemble = BASELINES["mlp_ensemble"](0).fit(x, y)[-1]
    first = {float(network.coefs_[0][0, 0]) for network in ensemble.estimators_}
    assert len(first) == 8


def test_warnings_are_as_before_after_a_fit():
    x, y = _alloys(30)
    before = list(warnings.filters)
    fit_predict("mlp_ensemble", x, y, x, 0)
    assert warnings.filters == before


def test_an_unknown_baseline_is_refused_with_a_hint():
    with pytest.raises(SpecError, match="Did you mean 'extra_trees'"):
        fit_predict("extra_tree", *_alloys(20), np.zeros((1, 4)), 0)


@pytest.mark.parametrize(
    ("x", "y", "new", "message"),
    [
        (np.zeros((20, 4)), np.zeros(19), np.zeros((1, 4)), "Shapes"),
        (np.zeros((20, 4)), np.arange(20) % 2, np.zeros((1, 3)), "Shapes"),
        (np.zeros((20, 4)), np.arange(20) % 2, np.zeros(4), "Shapes"),
        (np.full((20, 4), np.nan), np.arange(20) % 2, np.zeros((1, 4)), "missing or infinite"),
        (np.zeros((20, 4)), np.arange(20) % 2, np.full((1, 4), np.inf), "missing or infinite"),
        (np.zeros((20, 4)), np.arange(20) < 4, np.zeros((1, 4)), "at least 5 of each"),
        (np.zeros((20, 4)), np.arange(20) % 3, np.zeros((1, 4)), "0 or 1"),
        (np.zeros((20, 4)), np.full(20, np.nan), np.zeros((1, 4)), "0 or 1"),
    ],
)
def test_faulty_data_are_refused(x, y, new, message):
    with pytest.raises(DataError, match=message):
        fit_predict("extra_trees", x, y, new, 0)
