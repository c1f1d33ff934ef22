"""Crystals that fulfil a wish, and trees that say so."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pyro_hea import CrystalVAE, load_crystals
from pyro_hea.evaluate import crystal_designs

WISH = {"acoustic_debye_temperature": ("<", 120), "gap": (0.5, 3)}


@pytest.fixture(scope="module")
def crystals():
    every = load_crystals()
    known = every.targets[["metal", "gap", "acoustic_debye_temperature"]].notna().all(axis=1)
    return every.take(np.flatnonzero(known)[:150])


def test_crystals_fulfil_a_wish_by_their_labels(crystals):
    rows = crystals.targets[["acoustic_debye_temperature", "gap"]].to_numpy()
    by_hand = [theta < 120 and 0.5 <= gap <= 3 for theta, gap in rows]
    assert crystal_designs.fulfilled(crystals, WISH).tolist() == by_hand
    assert 10 < sum(by_hand) < 140


def test_a_crystal_without_the_label_does_not_fulfil_it():
    unknown = load_crystals().targets["gap"].isna()
    assert not crystal_designs.fulfilled(load_crystals(), {"gap": (">", -1)})[unknown].any()


def test_trees_confirm_the_crystals_that_they_were_fitted_on(crystals, monkeypatch):
    monkeypatch.setattr("pyro_hea.evaluate.crystal_targets.TREES", 10)
    monkeypatch.setattr(crystal_designs, "TREES", 10)
    by = crystal_designs.judge(crystals, CrystalVAE(), 0)
    said = crystal_designs.judged(by, crystals.crystals, WISH)
    np.testing.assert_array_equal(said, crystal_designs.fulfilled(crystals, WISH))


def test_the_probability_of_a_wish_is_compared_with_labels(crystals, monkeypatch):
    data = crystals.take(range(100))
    cold = (data.targets["acoustic_debye_temperature"] < 120).to_numpy()
    asked = []

    def told(model, inputs, events):
        asked.append(events)
        return torch.tensor(np.where(cold, [[0.7], [0.8]], [[0.2], [0.3]]))

    monkeypatch.setattr(crystal_designs, "WISHES", {"cold": WISH})
    monkeypatch.setattr(crystal_designs, "joint_probability", told)
    ensemble = SimpleNamespace(model=None, inputs=lambda some, labels: len(some))
    found = crystal_designs.wishes_of_known(SimpleNamespace(ensemble=ensemble), data)
    expected = {"metal": (0,), "acoustic_debye_temperature": (-np.inf, 120), "gap": (0.5, 3)}
    assert asked == [expected]
    assert found["n"] == 100
    assert found["likely"] == cold.sum()
    assert found["mean probability"] == pytest.approx(0.25 + 0.5 * cold.mean())
    held = cold & data.targets["gap"].between(0.5, 3)
    assert found["fulfilled"] == held.mean()
    assert found["fulfilled by likely ones"] == held.sum() / cold.sum()
