"""Measures of separable latents, with a tiny model: what they count, not how good it is."""

import warnings

import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DesignWarning
from pyro_hea.evaluate import embedded_judge
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
    def way(start, end):
        return {n: pd.Series(x, ["Al", "Co", "Ni"]) for n, x in (("start", start), ("as", end))}

    only = measures._moves(way([0.0, 0.5, 0.5], [0.5, 0.25, 0.25]), "as", "Al")
    assert only == pytest.approx((50, 50, 0))
    others = measures._moves(way([0.0, 0.5, 0.5], [0.5, 0.5, 0.0]), "as", "Al")
    assert others == pytest.approx((50, 50, 50))


def test_moves_toward_a_class_are_judged_as_decoded_and_trimmed(vae, alloys):
    by_class = separate(vae, "single_phase", alloys=alloys, spec=QUICK)
    some = alloys[:3]
    table = measures.moves_by_target(by_class, some, edits=3)
    assert table["trimmed"]["alloys"] == 3
    assert table["trimmed"]["moved, median (at.%)"] <= table["as decoded"]["moved, median (at.%)"]
    judge = embedded_judge()
    before = judge.predict(some.fractions) > 0.5
    code = (vae.predict(some)["single_phase"] > 0.5).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        made = [by_class.move(f, by_class.names[1 - c]).fractions for f, c in code.items()]
    changed = [judge.predict(m)[0] > 0.5 for m in made] != before
    assert table["trimmed"]["changes the judge's answer"] == pytest.approx(changed.mean())


def test_new_alloys_are_counted_before_any_is_left_out(found):
    counted = measures.augmented(found, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)  # there are fewer than 50
        made = [found.augment(name, 50) for name in found.names]
    assert counted["alloys"] == sum(map(len, made))
    assert counted["smallest novelty"] == min(m.table["novelty"].min() for m in made)
    assert counted["smallest novelty"] > 0.01
