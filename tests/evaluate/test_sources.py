"""The protocol of further sources beside the published table."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from pyro_hea import DisentangledVAE, load_alloys
from pyro_hea.evaluate import Runner
from pyro_hea.evaluate.benchmark import sources
from pyro_hea.evaluate.sources import (
    ALL,
    MAJORITY,
    MODELS,
    NOISE,
    PUBLISHED,
    _heads_alone,
    _left_out,
    label_sources,
)
from pyro_hea.materials.alloys.dataset import element_sets
from pyro_hea.spec import ModelSpec

TINY = ModelSpec(
    training={
        "members": 2,
        "epochs": 3,
        "distillation": {"trees": 20, "synthetic_alloys": 500, "steps": 50},
    }
)


@cache
def labels_of(source):
    return load_alloys(source).labels["single_phase"]


class Recorded(Runner):
    """A runner whose tasks were done: two models are right, all others guess."""

    def run(self, tasks, *, alone=False):
        every, rng = load_alloys(), np.random.default_rng(0)
        fold = rng.integers(5, size=len(every))
        found = {}
        for name in tasks:
            left_out = name.split("-")[1]
            if left_out.isdigit():
                test = every.take(fold == int(left_out))
                judges = {s: labels_of(s) for s in label_sources()}
                judges[ALL] = every.labels["single_phase"]
            else:
                test = every.take(every.fractions.index.isin(labels_of(left_out).dropna().index))
                judges = {left_out: labels_of(left_out)}
            labels = {f"label by {s}": v.reindex(test.formulas) for s, v in judges.items()}
            truth = pd.DataFrame(labels).bfill(axis=1).iloc[:, 0].fillna(0.0)
            answers = {model: rng.uniform(size=len(test)).tolist() for model in MODELS}
            answers |= {"formula": test.formulas}
            answers |= {"number_of_elements": test.number_of_elements.tolist()}
            answers |= {key: column.tolist() for key, column in labels.items()}
            answers["pyro_hea"] = answers[NOISE] = truth.clip(0.1, 0.9).tolist()
            found[name] = {"answers": answers, "training": {"all sources": 0}}
        return found


def test_each_source_judges_the_alloys_that_it_labels(monkeypatch):
    monkeypatch.setattr("pyro_hea.evaluate.comparison._DRAWS", 100)
    result = sources(Recorded(progress=False), 1)
    left_out = result.content["left_out"]
    assert [*left_out["source"]] == ["borg2020", "ideaslab_hardness", "ideaslab_phase"]
    assert [*left_out["element sets"]] == ["zeng2024", *left_out["source"], ALL]
    for kind in left_out.values():
        for source, found in kind.items():
            labels = labels_of(None if source == ALL else source)
            assert found["models"]["pyro_hea"]["all"]["n"] == labels.count()
    right = left_out["source"]["borg2020"]
    assert right["models"]["pyro_hea"]["all"]["auc"] == 1.0
    assert right["differences"][PUBLISHED]["auc, all"]["low"] > 0.3
    assert right["noise_channel"][MAJORITY]["auc, all"]["low"] > 0.3
    assert len(result.tables) == 6
    assert len(result.figure.axes) == 2


def test_heads_with_a_teacher_are_done_before_the_rest_is_trained():
    alloys = load_alloys("zeng2024").take(slice(0, 60))
    whole, short = (
        DisentangledVAE(spec).fit(alloys, seed=0, progress=False)
        for spec in (TINY, _heads_alone(TINY))
    )
    pd.testing.assert_frame_equal(whole.predict(alloys), short.predict(alloys))
    untaught = TINY.with_(training__distillation=None)
    assert _heads_alone(untaught) == untaught


@pytest.mark.slow
def test_models_are_trained_without_the_source_and_its_element_sets(monkeypatch):
    monkeypatch.setattr("pyro_hea.evaluate.sources.SIZE", {"training__epochs": 2})
    found = _left_out("borg2020", 0, TINY, "cpu")
    labels = labels_of("borg2020").dropna()
    answers = pd.DataFrame(found["answers"]).set_index("formula")
    assert answers["label by borg2020"].to_dict() == labels.to_dict()
    assert answers[[*MODELS]].apply(lambda p: p.between(0, 1).all()).all()
    out = set(element_sets(load_alloys("borg2020").fractions.loc[labels.index]))
    table = load_alloys("zeng2024")
    kept = [s not in out for s in element_sets(table.fractions)]
    assert found["training"]["published table"] == table.labels["single_phase"][kept].count()
    assert found["training"]["all sources"] > found["training"]["published table"]
