import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from pyro_hea.errors import DataError
from pyro_hea.posterior.calibration import Calibration


@pytest.fixture
def overconfident():
    """Labels drawn from p, and what a model says that doubles every logit."""
    rng = np.random.default_rng(0)
    p = expit(1.5 * rng.normal(size=5000))
    return expit(2 * logit(p)), (rng.random(5000) < p).astype(float)


def test_temperature_undoes_overconfidence(overconfident):
    fitted = Calibration.fit(*overconfident)
    assert fitted.a == fitted.b == pytest.approx(0.5, abs=0.03)
    assert fitted.c == 0


def test_beta_is_the_logistic_regression_on_both_logarithms(overconfident):
    p, y = overconfident
    skewed = np.clip(p**1.7, 1e-5, 1 - 1e-5)
    inputs = np.stack([np.log(skewed), -np.log1p(-skewed)], 1)
    exact = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000).fit(inputs, y)
    assert (exact.coef_ > 0).all()
    ours = Calibration.fit(skewed, y, "beta").apply(skewed)
    np.testing.assert_allclose(ours, exact.predict_proba(inputs)[:, 1], atol=0.02)


def test_no_two_alloys_change_places(overconfident):
    p, y = overconfident
    for kind in ("temperature", "beta"):
        after = Calibration.fit(p, y, kind).apply(np.sort(p))
        assert (np.diff(after) >= 0).all()


def test_calibrated_probabilities_are_left_nearly_alone():
    rng = np.random.default_rng(1)
    p = rng.random(4000)
    y = (rng.random(4000) < p).astype(float)
    np.testing.assert_allclose(Calibration.fit(p, y, "beta").apply(p), p, atol=0.04)
    np.testing.assert_allclose(Calibration().apply(p), p, atol=1e-5)


def test_separated_labels_stay_finite():
    fitted = Calibration.fit([0.4, 0.45, 0.55, 0.6], [0, 0, 1, 1], "beta")
    assert np.isfinite([fitted.a, fitted.b, fitted.c]).all()
    assert np.isfinite(fitted.apply([0.0, 1.0])).all()


@pytest.mark.parametrize(
    ("p", "y", "kind", "message"),
    [
        ([0.5, 0.5], [0, 1], "platt", "no calibration 'platt'; allowed: 'temperature', 'beta'"),
        ([0.5], [0, 1], "beta", r"p has shape \(1,\) but y has \(2,\)"),
        ([0.5, 0.5], [1, 1], "beta", "alloys of both classes"),
        ([0.5, 0.5], [0, 2], "beta", "labels are 0 and 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(p, y, kind, message):
    with pytest.raises(DataError, match=message):
        Calibration.fit(p, y, kind)
