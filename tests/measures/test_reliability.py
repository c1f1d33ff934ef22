import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import beta

from pyro_hea.errors import DataError
from pyro_hea.evaluate.measures import (
    calibrated_ece_band,
    classification_metrics,
    expected_calibration_error,
    reliability_table,
)

probabilities = arrays(float, st.integers(2, 40), elements=st.floats(0, 1))


def _predictions(n, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    return (rng.random(n) < p**2).astype(int), p


def test_the_calibration_error_worked_by_hand():
    y = [0, 1, 1, 0, 1]
    p = [0.12, 0.18, 0.55, 0.95, 1.0]
    # bins 1, 5 and 9: |0.15 - 0.5| · 2/5 + |0.55 - 1| · 1/5 + |0.975 - 0.5| · 2/5
    assert classification_metrics(y, p)["ece"] == pytest.approx(0.14 + 0.09 + 0.19)


@pytest.mark.parametrize(("edge", "bin_of"), [(0.0, 0), (0.3, 3), (0.7, 7), (1.0, 9)])
def test_an_edge_belongs_to_the_bin_above_it_and_one_to_the_last(edge, bin_of):
    assert reliability_table([1], [edge])["n"].to_numpy().argmax() == bin_of


def test_opposite_errors_in_different_bins_do_not_cancel():
    assert expected_calibration_error([1, 0], [0.2, 0.8]) == pytest.approx(0.8)
    assert expected_calibration_error([1, 0], [0.2, 0.8], bins=1) == 0


def test_the_table_adds_up_to_the_calibration_error():
    y, p = _predictions(500)
    table = reliability_table(y, p)
    assert table["n"].sum() == 500
    gap = (table["predicted"] - table["observed"]).abs()
    assert (gap * table["n"]).sum() / 500 == pytest.approx(expected_calibration_error(y, p))
    inside = (p >= 0.4) & (p < 0.5)
    low, high = beta.ppf([0.05, 0.95], y[inside].sum() + 0.5, (1 - y[inside]).sum() + 0.5)
    assert table.loc[4].to_dict() == pytest.approx(
        {
            "bin_low": 0.4,
            "bin_high": 0.5,
            "n": inside.sum(),
            "predicted": p[inside].mean(),
            "observed": y[inside].mean(),
            "low": low,
            "high": high,
        }
    )


@given(probabilities)
def test_intervals_hold_the_observed_frequency(p):
    table = reliability_table(np.round(p), p)
    empty = table["n"] == 0
    assert table.loc[empty, "predicted":].isna().all(axis=None)
    full = table[~empty]
    assert (full["low"] <= full["observed"]).all()
    assert (full["observed"] <= full["high"]).all()
    assert full["low"].ge(0).all()
    assert full["high"].le(1).all()


def test_the_band_holds_a_calibrated_predictor_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 0.5, 138)
    low, high = calibrated_ece_band(p)
    errors = [expected_calibration_error(rng.random(138) < p, p) for _ in range(1000)]
    inside = [low <= error <= high for error in errors]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)
    assert 0.05 < np.mean(errors) < 0.08  # what makes a band necessary
    assert expected_calibration_error(rng.random(138) < p, p**3) > high


def test_the_band_is_reproducible_and_narrows_with_its_level():
    p = _predictions(100)[1]
    assert calibrated_ece_band(p, seed=3) == calibrated_ece_band(p, seed=3)
    assert calibrated_ece_band(p, seed=3) != calibrated_ece_band(p, seed=4)
    wide, narrow = calibrated_ece_band(p, 0.9), calibrated_ece_band(p, 0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    with pytest.raises(DataError, match="level is 90"):
        calibrated_ece_band(p, 90)
