import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from pyro_hea.errors import DataError
from pyro_hea.evaluate.measures import METRICS, by_size, classification_metrics, reliability_table

FAULTY = [
    ([0, 1], [0.5], "y has 2 rows but p has 1"),
    ([], [], r"y has shape \(0,\)"),
    ([0, 1], [0.5, np.nan], "p is nan in row 1"),
    ([0, np.nan], [0.5, 0.5], "y is nan in row 1"),
    ([0, 1], [0.5, 1.01], r"p is 1.01 in row 1: it lies in \[0, 1\]"),
    ([0, 1], [-0.1, 0.5], "p is -0.1 in row 0"),
    ([0, 2], [0.5, 0.5], "y is 2 in row 1: a label is 0 or 1"),
    ([[0, 1]], [[0.5, 0.5]], "dimension"),
]


def _predictions(n, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    return (rng.random(n) < p**2).astype(int), p


probabilities = arrays(float, st.integers(2, 40), elements=st.floats(0, 1))


@given(probabilities, st.randoms(use_true_random=False))
def test_the_scores_are_those_of_scikit_learn(p, random):
    y = np.array([0, 1, *(random.randint(0, 1) for _ in p[2:])])
    scores = classification_metrics(y, p)
    assert tuple(scores) == METRICS
    assert scores["n"] == p.size
    assert scores["auc"] == pytest.approx(roc_auc_score(y, p))
    assert scores["accuracy"] == pytest.approx(accuracy_score(y, p > 0.5))
    assert scores["log_loss"] == pytest.approx(log_loss(y, p))
    assert scores["brier"] == pytest.approx(brier_score_loss(y, p))


def test_a_wrong_certainty_costs_much_but_not_infinitely():
    assert 30 < classification_metrics([0, 1], [1.0, 1.0])["log_loss"] * 2 < 40


def test_classes_are_not_taken_the_other_way_round():
    assert classification_metrics([0, 1], [0.1, 0.9])["auc"] == 1
    assert classification_metrics([0, 1], [0.9, 0.1])["auc"] == 0


@pytest.mark.parametrize(("y", "p", "message"), FAULTY)
@pytest.mark.parametrize("measure", [classification_metrics, reliability_table])
def test_faulty_predictions_are_refused(measure, y, p, message):
    with pytest.raises(DataError, match=message):
        measure(y, p)


@pytest.mark.parametrize("y", [[0, 0], [1, 1]])
def test_one_class_only_has_no_auc_and_is_refused(y):
    with pytest.raises(DataError, match="both classes"):
        classification_metrics(y, [0.2, 0.4])
    with pytest.raises(DataError, match="both classes"):
        by_size(y, [0.2, 0.4], [2, 3])


def test_sizes_are_scored_on_their_own_alloys():
    y, p = _predictions(300)
    size = np.random.default_rng(1).integers(1, 9, 300)
    table = by_size(y, p, size)
    assert list(table.index) == ["all", "≥ 4 elements", "2–3", "4–5", "≥ 6"]
    assert tuple(table.columns) == METRICS
    subsets = [size > 0, size >= 4, np.isin(size, [2, 3]), np.isin(size, [4, 5]), size >= 6]
    for name, subset in zip(table.index, subsets, strict=True):
        assert table.loc[name].to_dict() == pytest.approx(
            classification_metrics(y[subset], p[subset])
        )


def test_a_subset_of_one_class_has_nan_for_its_auc_alone():
    table = by_size([0, 1, 1, 1], [0.1, 0.9, 0.8, 0.7], [2, 3, 4, 5])
    assert table.loc["4–5"].drop("auc").notna().all()
    assert np.isnan(table.loc["4–5", "auc"])
    assert table.loc["≥ 6", "n"] == 0
    assert table.loc["≥ 6"].drop("n").isna().all()


def test_sizes_must_match_the_alloys():
    with pytest.raises(DataError, match="number_of_elements has 1"):
        by_size([0, 1], [0.1, 0.9], [2])


def test_the_measures_load_no_torch():
    names = "by_size, bootstrap_interval, composition_metrics, label_from_latent"
    room = "pyro_hea.evaluate.measures"
    code = f"from {room} import {names}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
