import numpy as np
import pytest

from pyro_hea.evaluate.measures import ecdf_band, ecdf_difference


def test_the_difference_is_that_of_the_shares_below():
    values, points = np.random.default_rng(0).random(200), np.linspace(0.01, 1, 50)
    expected = [(values <= point).mean() - point for point in points]
    np.testing.assert_allclose(ecdf_difference(values, points), expected)


def test_the_band_holds_as_many_samples_as_it_says():
    rng, points = np.random.default_rng(0), np.array([0.1, 0.5, 0.8])
    low, high = ecdf_band(100, points, 0.9)
    drawn = np.array([ecdf_difference(rng.random(100), points) for _ in range(4000)])
    inside = ((drawn >= low) & (drawn <= high)).mean(0)
    assert (inside > 0.89).all()
    assert (inside < 0.96).all()  # it goes from whole number to whole number


@pytest.mark.filterwarnings("ignore")
def test_both_are_those_of_arviz():
    pytest.importorskip("arviz.stats.ecdf_utils", reason="ArviZ 1 has it elsewhere")
    from arviz.stats.ecdf_utils import compute_ecdf, ecdf_confidence_band

    values, points = np.sort(np.random.default_rng(0).random(200)), np.linspace(0.05, 1, 20)
    difference = compute_ecdf(values, points) - points
    np.testing.assert_allclose(ecdf_difference(values, points), difference)
    low, high = ecdf_confidence_band(200, points, points, prob=0.99, method="pointwise")
    for own, other in zip(ecdf_band(200, points, 0.99), (low, high), strict=True):
        np.testing.assert_allclose(own, other - points)
