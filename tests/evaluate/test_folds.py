import numpy as np
import pytest

from pyro_hea.errors import DataError
from pyro_hea.evaluate.folds import FOLDS, element_sets, folds, keep_labels
from pyro_hea.materials.alloys.dataset import composition_keys, load_alloys

TARGET = "single_phase"


@pytest.fixture(scope="module")
def alloys():
    return load_alloys("zeng2024")


@pytest.mark.parametrize("kind", ["random", "grouped"])
def test_each_labelled_alloy_is_tested_once_and_never_trained_on(alloys, kind):
    pairs = folds(alloys, TARGET, kind, seed=0)
    tested = [formula for _, test in pairs for formula in test.formulas]
    assert len(pairs) == FOLDS
    assert sorted(tested) == sorted(alloys.labels[TARGET].dropna().index)
    for train, test in pairs:
        assert not set(composition_keys(train.fractions)) & set(composition_keys(test.fractions))


def test_random_folds_have_equal_shares_of_the_classes(alloys):
    overall = alloys.labels[TARGET].mean()
    for _, test in folds(alloys, TARGET, "random", seed=1):
        assert test.labels[TARGET].mean() == pytest.approx(overall, abs=0.01)


def test_grouped_folds_share_no_set_of_elements(alloys):
    for train, test in folds(alloys, TARGET, "grouped", seed=0):
        assert not set(element_sets(train.fractions)) & set(element_sets(test.fractions))


def test_folds_are_those_of_their_seed(alloys):
    def formulas(seed):
        return [test.formulas for _, test in folds(alloys, TARGET, "random", seed)]

    assert formulas(3) == formulas(3)
    assert formulas(3) != formulas(4)


def test_other_folds_are_refused(alloys):
    with pytest.raises(DataError, match="no folds 'by_size'; allowed: random, grouped"):
        folds(alloys, TARGET, "by_size", seed=0)


@pytest.mark.parametrize("count", [25, 100])
def test_a_budget_keeps_that_many_labels_of_both_classes_and_every_alloy(alloys, count):
    few = keep_labels(alloys, TARGET, count, seed=0)
    kept = few.labels[TARGET].dropna()
    assert len(kept) == count
    assert abs(2 * kept.sum() - count) <= 1
    assert sorted(few.formulas) == sorted(alloys.formulas)
    assert (kept == alloys.labels[TARGET].reindex(kept.index)).all()
    assert set(few.reports["formula"]) == set(kept.index)


def test_a_budget_above_the_labels_is_refused(alloys):
    with pytest.raises(DataError, match=r"5000 labels are asked for; only \d+ are 0"):
        keep_labels(alloys, TARGET, 5000, seed=0)


def test_element_sets_tell_alloys_of_the_same_elements_apart_from_others(alloys):
    sets = np.array(element_sets(alloys.fractions))
    assert len(set(sets)) == 461  # as many as the published data are said to have
