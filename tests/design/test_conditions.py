"""Designs that are to have a property at conditions of a test."""

import numpy as np
import pytest

from pyro_hea.errors import ConstraintError, DataError, ExtrapolationWarning
from pyro_hea.materials.alloys.composition import format_formula

pytestmark = pytest.mark.filterwarnings("ignore:.*less likely than not")

HOT = {"temperature_C": 800}
"""Strength is 300 to 700 MPa at 25 °C, and half of that here."""


@pytest.fixture
def vae(vae_at_conditions):
    return vae_at_conditions


def test_a_wish_holds_at_the_conditions_that_are_asked_for(vae):
    hot = vae.design({"strength": (">", 250)}, n=10, seed=0, conditions=HOT)
    assert hot.attributes["temperature_C"] == 800
    assert (hot.table["temperature_C"] == 800).all()
    at = vae.predict(hot.fractions, conditions=HOT)["strength"]
    np.testing.assert_allclose(hot.table["strength"], at, rtol=1e-4)
    assert (hot.table["all_wishes"] > 0.5).mean() > 0.8
    cold = vae.design({"strength": (">", 250)}, n=10, seed=0)
    assert "temperature_C" not in cold.table
    strength = vae.predict(cold.fractions, conditions=HOT)["strength"]
    assert hot.table["strength"].mean() > strength.mean()  # which the other wish leaves open


def test_screening_and_objectives_are_at_them_as_well(vae):
    names = ["CoCr4FeNi", "Co4CrFe4Ni4", "CoCrFeNi"]
    ranked = vae.screen(
        {"strength": ("<", 250)}, candidates=names, conditions=HOT, progress=False
    ).table
    at = vae.predict(names, conditions=HOT)["strength"].sort_values()
    assert [format_formula(name) for name in at.index] == ranked.index.tolist()
    strong = vae.design({"strength": "max"}, n=8, seed=0, conditions=HOT).table
    np.testing.assert_array_less(strong["strength"], 500)  # of 800 °C, not of 25
    assert strong["strength"].mean() > at.mean()


def test_what_is_no_condition_is_refused(vae):
    with pytest.raises(DataError, match="Did you mean 'temperature_C'"):
        vae.design({"strength": (">", 250)}, n=2, conditions={"temperature": 800})
    with pytest.raises(ConstraintError, match="one value of each condition"):
        vae.design({"strength": (">", 250)}, n=2, conditions={"temperature_C": [25, 800]})
    with pytest.warns(ExtrapolationWarning, match="from 25 to 800"):
        vae.design({"strength": (">", 50)}, n=2, conditions={"temperature_C": 900})
