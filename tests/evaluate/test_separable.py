"""Measures of separable latents, with a tiny model: what they count, not how good it is."""

import warnings

import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DesignWarning
from pyro_hea.evaluate import separable as measures
from pyro_hea.explain import separate
from pyro_hea.spec import Separation

QUICK = Separation(layers=2, hidden=8, steps=40, drawn=300)


@pytest.fixture(scope="module")
def found(vae, alloys):
    return separate(vae, "holds Al", alloys=alloys[:45], spec=QUICK)


def test_exactness_is_measured_on_the_training_alloys(found):
    errors = measures.exactness(found)
    assert 0 <= errors["round trip"] <= 1e-5
    assert 0 <= errors["log determinant"] <= 1e-4


def test_interpolations_are_compared_pair_by_pair(found, alloys, monkeypatch):
    monkeypatch.setattr(measures, "_PAIRS", 30)
    scores = measures.interpolations(found, alloys[45:], seed=0)
    held, _ = found.held_out(alloys[45:])
    pairs = np.random.default_rng(0).integers(len(held), size=(30, 2))
    ends = held.take(pairs[:, 0]), held.take(pairs[:, 1])
    after = found.walk(*ends, 11).smoothness
    before = found.walk(*ends, 11, plain=True).smoothness
    assert scores["smoothness"]["mean"] == pytest.approx(after.mean())
    difference = scores["difference of smoothness"]
    assert difference["mean"] == pytest.approx((after - before).mean())
    assert difference["low"] <= difference["mean"] <= difference["high"]


def test_moves_toward_an_element_count_what_else_moves(found, alloys):
    held = alloys[45:]
    table = measures.moves_by_rule(found, held, edits=4)
    without = held.fractions.index[held.fractions["Al"] == 0][:4]
    designs = [found.move(formula, "holds Al") for formula in without]
    assert table["trimmed"]["alloys"] == 4
    assert table["trimmed"]["adds it"] == 1.0
    moved = np.median([d.table["moved"].item() for d in designs])
    assert table["trimmed"]["moved, median (at.%)"] == pytest.approx(moved)
    assert table["as decoded"]["moved, median (at.%)"] >= moved - 1e-9


def test_what_else_moves_is_counted_among_the_other_elements():
    class Moved:
        fractions = pd.DataFrame({"Al": [0.5], "Co": [0.25], "Ni": [0.25]})
        trail = pd.DataFrame({"Al": [0.0, 0.5], "Co": [0.5, 0.25], "Ni": [0.5, 0.25]})

    assert measures._others_moved(Moved, "Al") == pytest.approx(0)
    Moved.trail = pd.DataFrame({"Al": [0.0, 0.5], "Co": [0.5, 0.5], "Ni": [0.5, 0.0]})
    assert measures._others_moved(Moved, "Al") == pytest.approx(50)
    assert np.isnan(measures._others_moved(None, "Al"))


def test_new_alloys_are_counted_before_any_is_left_out(found):
    counted = measures.augmented(found, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)  # there are fewer than 50
        made = [found.augment(name, 50) for name in found.names]
    assert counted["alloys"] == sum(map(len, made))
    assert counted["smallest novelty"] == min(m.table["novelty"].min() for m in made)
    assert counted["smallest novelty"] > 0.01
