"""The protocol of elements that no training alloy holds."""

import numpy as np
import pandas as pd
import pytest

from pyro_hea import load_alloys
from pyro_hea.evaluate import Runner
from pyro_hea.evaluate.baselines import BASELINES
from pyro_hea.evaluate.benchmark import unseen
from pyro_hea.evaluate.unseen import GROUPS, WEIGHTS, _left_out, best_weight
from pyro_hea.spec import ModelSpec


def part(name, heads, label, distance=1e9):
    table = {"heads": heads, "label": label, "distance": distance, "left_out": name}
    return pd.DataFrame(table, index=range(len(heads)))


SURE_AND_RIGHT = part("Al", [0.999, 0.001], [1, 0])
SURE_AND_WRONG = part("Ti", [0.001, 0.999], [1, 0])


class TestBestWeight:
    def test_answers_that_are_right_take_none_and_wrong_ones_all(self):
        assert best_weight({"Al": SURE_AND_RIGHT}) == 0.0
        assert best_weight({"Ti": SURE_AND_WRONG}) == max(WEIGHTS)

    def test_the_fold_that_is_judged_has_no_say(self):
        parts = {"Al": SURE_AND_RIGHT, "Ti": SURE_AND_WRONG}
        assert best_weight(parts, leave_out="Ti") == 0.0
        assert best_weight(parts, leave_out="Al") == max(WEIGHTS)

    def test_it_is_the_minimum_over_folds_that_count_once(self):
        many = pd.concat([SURE_AND_RIGHT] * 50)
        few = part("Ti", [0.2], [1])
        losses = []
        for weight in WEIGHTS:
            of_many = -np.log((1 - weight) * 0.999 + weight / 2)
            losses.append(of_many - np.log((1 - weight) * 0.2 + weight / 2))
        expected = WEIGHTS[int(np.argmin(losses))]
        assert best_weight({"Al": many, "Ti": few}) == expected


class Recorded(Runner):
    """A runner whose tasks were done: alloys that hold what was left out, with random answers."""

    def run(self, tasks, *, alone=False):
        data = load_alloys("zeng2024")
        found = {}
        for name in tasks:
            out = name.partition("seed0-")[2].split("-")
            holds = data.fractions[out].gt(0).any(axis=1) & data.labels["single_phase"].notna()
            test = data.take(np.flatnonzero(holds))
            rng = np.random.default_rng(len(test))
            answers = {key: rng.uniform(size=len(test)) for key in ("heads", *BASELINES)}
            table = pd.DataFrame(
                {
                    "formula": [f"{f} without {', '.join(out)}" for f in test.formulas],
                    "left_out": ", ".join(out),
                    "number_of_elements": test.number_of_elements.to_numpy(),
                    "label": test.labels["single_phase"].to_numpy(),
                    "unseen_atoms": test.fractions[out].sum(axis=1).to_numpy(),
                    "distance": 1.0,
                    **answers,
                }
            )
            found[name] = table.to_dict("list")
        return found


def test_the_protocol_counts_each_alloy_once_for_each_element_left_out(monkeypatch):
    monkeypatch.setattr("pyro_hea.evaluate.comparison._DRAWS", 50)
    result = unseen(Recorded(progress=False), 1)
    data = load_alloys("zeng2024")
    labelled = data.take(data.labels["single_phase"].notna().to_numpy())
    counts = labelled.fractions.gt(0).sum()
    folds = result.content["elements"]["folds"]
    assert folds == counts[list(folds)].to_dict()
    assert set(folds) == set(counts.index[counts >= 20])
    assert set(result.content["groups"]["folds"]) <= set(GROUPS)
    rows = result.content["elements"]["models"]["pyro_hea"]["all"]["n"]
    assert rows == sum(folds.values())
    assert set(result.content["elements"]["weights"].values()) == {max(WEIGHTS)}  # noise
    assert len(result.tables) == 8
    assert len(result.figure.axes) == 2


@pytest.mark.slow
def test_a_model_is_trained_without_the_element_and_answers_for_it():
    spec = ModelSpec(
        training={
            "members": 2,
            "epochs": 2,
            "distillation": {"trees": 20, "synthetic_alloys": 500, "steps": 50},
        }
    )
    found = pd.DataFrame(_left_out(("Hf",), 0, spec, "cpu"))
    data = load_alloys("zeng2024")
    held = data.fractions["Hf"].gt(0) & data.labels["single_phase"].notna()
    assert len(found) == held.sum()
    assert found["formula"].str.endswith(" without Hf").all()
    assert found["unseen_atoms"].between(0, 1, inclusive="right").all()
    assert (found["distance"] > 0).all()
    assert found[["heads", *BASELINES]].apply(lambda p: p.between(0, 1).all()).all()
