import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DataError
from pyro_hea.explain import dci, disentanglement, importance_matrix

N = 400


@pytest.fixture(scope="module")
def factors():
    """Two independent factors of four equally frequent levels each."""
    levels = np.arange(N)
    return pd.DataFrame({"a": levels % 4 / 3, "b": levels // 4 % 4 / 3})


def latent(*columns):
    return pd.DataFrame({f"z{i}": column for i, column in enumerate(columns)})


def test_an_axis_for_each_factor_is_perfect(factors):
    scores = disentanglement(latent(factors["a"], -factors["b"]), factors)
    assert scores.loc["all", "disentanglement"] == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(scores[["completeness", "informativeness"]], 1, atol=0.01)
    np.testing.assert_allclose(scores[["mig", "sap"]], 1)  # the other axis knows nothing at all


def test_a_turn_by_45_degrees_has_no_gap_and_no_favourite(factors):
    a, b = factors["a"], factors["b"]
    scores = disentanglement(latent(a + b, a - b), factors)
    assert scores.loc["all", "disentanglement"] < 0.1
    assert scores.loc["all", "informativeness"] > 0.99
    np.testing.assert_allclose(scores.loc[["a", "b"], ["mig", "sap"]], 0, atol=1e-9)


def test_the_gaps_of_a_coarse_axis_are_those_worked_out_by_hand(factors):
    # z0 tells the half of a: of its ln 4 nats, ln 2; z1 tells nothing of a and everything of b.
    coarse = (factors["a"] > 0.5).astype(float)
    scores = disentanglement(latent(coarse, factors["b"]), factors)
    assert scores.loc["a", "mig"] == pytest.approx(0.5)
    # r of (0, 1, 2, 3) with (0, 0, 1, 1): cov 1/2, variances 5/4 and 1/4, so r² = 4/5
    assert scores.loc["a", "sap"] == pytest.approx(0.8)
    assert scores.loc["b", "mig"] == pytest.approx(1)


def test_dci_is_one_minus_entropy():
    importance = [[3, 1], [1, 1], [0, 0]]
    disentangled, completeness = dci(importance)
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert disentangled == pytest.approx((4 * (1 - entropy) + 2 * 0) / 6)
    of_first = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(3)
    np.testing.assert_allclose(completeness, [1 - of_first, 1 - np.log(2) / np.log(3)])
    assert dci(np.zeros((2, 3)))[0] == 0


def test_importances_of_a_factor_are_shares(factors):
    found = importance_matrix(latent(factors["a"], factors["b"], np.zeros(N)), factors)
    np.testing.assert_allclose(found.sum(), 1)
    assert (found.loc["z2"] == 0).all()


def test_noise_scores_nothing(factors):
    rng = np.random.default_rng(0)
    scores = disentanglement(latent(*rng.normal(size=(2, N))), factors).loc["all"]
    assert scores["informativeness"] < 0.05
    assert scores[["mig", "sap", "disentanglement"]].max() < 0.1


def test_what_cannot_be_scored_is_said(factors):
    with pytest.raises(DataError, match="two axes or more"):
        disentanglement(latent(factors["a"]), factors)
    with pytest.raises(DataError, match="same in all alloys: c"):
        disentanglement(latent(factors["a"], factors["b"]), factors.assign(c=1.0))
