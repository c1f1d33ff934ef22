import numpy as np
import pytest

from pyro_hea.errors import UnknownTargetError, UnseenElementWarning
from pyro_hea.explain import element_moves
from pyro_hea.explain.elements import NUDGE, STEP

ALLOY = {"Al": 0.12, "Co": 0.23, "Cr": 0.27, "Ni": 0.38}


def moved(alloy, giver, taker, amount):
    return alloy | {giver: alloy[giver] - amount, taker: alloy.get(taker, 0.0) + amount}


@pytest.fixture(scope="module")
def moves(vae):
    return element_moves(vae, ALLOY).droplevel("formula")


@pytest.mark.parametrize(("giver", "taker"), [("Al", "Ni"), ("Ni", "Al"), ("Co", "Cr")])
def test_a_derivative_agrees_with_finite_differences(vae, moves, giver, taker):
    near, h = moved(ALLOY, giver, taker, NUDGE), 5e-5
    # 1e-3 of predictions that are computed in single precision
    ends = [moved(near, giver, taker, h), moved(near, giver, taker, -h)]
    up, down = vae.predict(ends)["single_phase"]
    assert moves.loc[(giver, taker), "kind"] == "derivative"
    assert moves.loc[(giver, taker), "mean"] == pytest.approx((up - down) / (200 * h), abs=1e-3)


def test_an_element_that_is_absent_is_added_by_a_step(vae, moves):
    before, after = vae.predict([ALLOY, moved(ALLOY, "Co", "W", STEP)])["single_phase"]
    assert moves.loc[("Co", "W"), "kind"] == "step"
    assert moves.loc[("Co", "W"), "mean"] == pytest.approx(after - before, abs=1e-6)


def test_a_small_giver_keeps_half_of_what_it_has(vae):
    alloy = {"Al": 0.004, "Co": 0.5, "Ni": 0.496}
    found = element_moves(vae, alloy).droplevel("formula")
    before, after = vae.predict([alloy, moved(alloy, "Al", "W", 0.002)])["single_phase"]
    assert found.loc[("Al", "W"), "mean"] == pytest.approx((after - before) / 0.2, abs=1e-5)


def test_every_move_from_an_element_that_is_there_has_a_row(vae, alloys):
    found = element_moves(vae, alloys.take(slice(0, 2)), to=["Co", "W", "Re"])
    fractions = alloys.fractions.iloc[:2]
    for formula, row in fractions.iterrows():
        there = set(row.index[row > 0])
        expected = {(i, j) for i in there for j in ("Co", "W", "Re") if i != j}
        assert set(found.loc[formula].index) == expected
    assert np.isfinite(found[["mean", "low", "high"]]).all(axis=None)
    assert (found["low"] <= found["high"]).all()


def test_there_and_back_along_a_smooth_stretch_is_nothing(moves):
    there, back = moves.loc[("Co", "Cr"), "mean"], moves.loc[("Cr", "Co"), "mean"]
    assert there == pytest.approx(-back, abs=2e-3)


def test_an_unknown_target_is_named(vae):
    with pytest.raises(UnknownTargetError, match="no target 'hard'"):
        element_moves(vae, ALLOY, "hard")


def test_an_alloy_outside_the_training_elements_is_answered_from_features_and_said_so(vae):
    with pytest.warns(UnseenElementWarning, match="holds Re: .* have no latent") as warned:
        found = element_moves(vae, ["CoCrReNi"], to=["Co", "Re"])
    assert np.isfinite(found["mean"]).all()
    assert warned[0].filename == __file__
