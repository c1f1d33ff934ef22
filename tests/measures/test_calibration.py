import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import brier_score_loss

from pyro_hea.evaluate.measures.calibration import (
    brier_decomposition,
    detection_auc,
    distance_to_known,
    interval_coverage,
)


@pytest.fixture
def calibrated():
    rng = np.random.default_rng(0)
    p = rng.beta(0.7, 0.7, 20_000)
    return (rng.random(len(p)) < p).astype(float), p


def test_the_parts_sum_to_the_brier_score(calibrated):
    y, p = calibrated
    parts = brier_decomposition(y, p)
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bins"]
    assert total == pytest.approx(parts["brier"])
    assert parts["brier"] == pytest.approx(brier_score_loss(y, p))
    assert parts["sharpness"] == pytest.approx(p.var())


def test_a_calibrated_predictor_is_reliable_and_resolves_what_it_is_sharp_in(calibrated):
    parts = brier_decomposition(*calibrated)
    assert parts["reliability"] < 5e-4
    assert parts["resolution"] == pytest.approx(parts["sharpness"], rel=0.05)


def test_overconfidence_costs_reliability_and_no_resolution(calibrated):
    y, p = calibrated
    honest, sure = brier_decomposition(y, p), brier_decomposition(y, np.round(p, 1) > 0.5)
    assert sure["reliability"] > 20 * honest["reliability"]
    assert sure["resolution"] <= honest["resolution"]


def test_normal_intervals_cover_what_they_say():
    rng = np.random.default_rng(1)
    y = rng.normal(size=20_000)
    half = norm.ppf(0.97)
    found = interval_coverage(y, np.full_like(y, -half), np.full_like(y, half))
    assert found["coverage"] == pytest.approx(0.94, abs=0.01)
    assert found["mean_width"] == pytest.approx(2 * half)
    missing = np.append(y[:3], np.nan)
    assert interval_coverage(missing, missing - 1, missing + 1)["n"] == 3


def test_distance_is_to_the_nearest_few_and_tells_unlike_alloys_apart():
    known = np.eye(4)[:3]
    alloys = np.array([[1.0, 0, 0, 0], [0, 0, 0, 1.0], [0.5, 0, 0, 0.5]])
    np.testing.assert_allclose(distance_to_known(known, alloys, 1), [0, 1, 0.5])
    np.testing.assert_allclose(distance_to_known(known, alloys, 2), [0.5, 1, 0.75])
    rng = np.random.default_rng(0)
    near, far = rng.dirichlet([9, 9, 9, 0.1], 80), rng.dirichlet([0.1, 9, 9, 9], 40)
    signal = [distance_to_known(near[:40], rows) for rows in (near[40:], far)]
    assert detection_auc(*signal) > 0.9
    assert detection_auc(signal[0], signal[0]) == pytest.approx(0.5)
