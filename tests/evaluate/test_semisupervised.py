"""What alloys without a label bring, on a few alloys."""

from itertools import pairwise

import pytest

from pyro_hea import load_alloys
from pyro_hea.evaluate import benchmark, semisupervised
from pyro_hea.evaluate.semisupervised import SHARES, training_alloys


@pytest.fixture(scope="module")
def result(few_labels_runner):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(semisupervised.semisupervised_benchmark, "__kwdefaults__", {"budgets": [10]})
        return benchmark.semisupervised(few_labels_runner, 2)


@pytest.mark.parametrize("seed", [0, 3])
def test_labels_are_the_same_and_a_smaller_share_is_a_part_of_a_larger_one(seed):
    every = [training_alloys(25, share, seed) for share in SHARES]
    known = [set(a.labels["single_phase"].dropna().index) for a in every]
    assert all(names == known[0] for names in known)
    sets = [set(alloys.formulas) for alloys in every]
    for smaller, larger in pairwise(sets):
        assert smaller < larger
    others = len(sets[-1]) - len(sets[0])
    assert [len(s) - len(sets[0]) for s in sets] == [round(s * others / 100) for s in SHARES]


def test_no_test_alloy_is_trained_on():
    test = set(load_alloys("zeng2024").split("published")["test"].formulas)
    assert not test & set(training_alloys(100, 100, 0).formulas)


def test_every_share_is_compared_with_none(result):
    scores = result.content["budgets"]["10"]
    names = [f"{share} % unlabelled" for share in SHARES]
    assert list(scores["models"]) == [*names, "logistic_regression"]
    pairs = [f"{name} - {names[0]}" for name in names[1:]]
    assert list(scores["differences"]) == [*pairs, f"{names[-1]} - logistic_regression"]


def test_tables_show_every_model_and_difference(result):
    assert len(result.tables) == 8  # AUC and log loss, all alloys and ≥ 4 elements
    first, second = list(result.tables.values())[:2]
    assert list(first["model"]) == list(result.content["budgets"]["10"]["models"])
    assert list(second["difference"]) == list(result.content["budgets"]["10"]["differences"])
    assert list(first.columns) == ["model", "10 labels"]
