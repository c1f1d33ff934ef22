import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import beta
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from pyro_hea.composition import fraction_table
from pyro_hea.errors import DataError
from pyro_hea.evaluate import (
    METRICS,
    bootstrap_interval,
    by_size,
    calibrated_ece_band,
    classification_metrics,
    composition_metrics,
    expected_calibration_error,
    label_from_latent,
    nearest_alloy,
    nearest_alloy_mae_at_pct,
    paired_difference,
    reliability_table,
)

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


def _compositions(n, elements=6, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(elements, 0.4), n)


probabilities = arrays(float, st.integers(2, 40), elements=st.floats(0, 1))


# classification


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


# calibration


def test_the_calibration_error_worked_by_hand():
    y = [0, 1, 1, 0, 1]
    p = [0.12, 0.18, 0.55, 0.95, 1.0]
    # bins 1, 5 and 9: |0.15 - 0.5| · 2/5 + |0.55 - 1| · 1/5 + |0.975 - 0.5| · 2/5
    assert classification_metrics(y, p)["ece"] == pytest.approx(0.14 + 0.09 + 0.19)


@pytest.mark.parametrize(("edge", "bin_of"), [(0.0, 0), (0.3, 3), (0.7, 7), (1.0, 9)])
def test_an_edge_belongs_to_the_bin_above_it_and_one_to_the_last(edge, bin_of):
    assert reliability_table([1], [edge])["n"].to_numpy().argmax() == bin_of


def test_opposite_errors_in_different_bins_do_not_cancel():
    assert expected_calibration_error([1, 0], [0.2, 0.8]) == pytest.approx(0.8)
    assert expected_calibration_error([1, 0], [0.2, 0.8], bins=1) == 0


def test_the_table_adds_up_to_the_calibration_error():
    y, p = _predictions(500)
    table = reliability_table(y, p)
    assert table["n"].sum() == 500
    gap = (table["predicted"] - table["observed"]).abs()
    assert (gap * table["n"]).sum() / 500 == pytest.approx(expected_calibration_error(y, p))
    inside = (p >= 0.4) & (p < 0.5)
    low, high = beta.ppf([0.05, 0.95], y[inside].sum() + 0.5, (1 - y[inside]).sum() + 0.5)
    assert table.loc[4].to_dict() == pytest.approx(
        {
            "bin_low": 0.4,
            "bin_high": 0.5,
            "n": inside.sum(),
            "predicted": p[inside].mean(),
            "observed": y[inside].mean(),
            "low": low,
            "high": high,
        }
    )


@given(probabilities)
def test_intervals_hold_the_observed_frequency(p):
    table = reliability_table(np.round(p), p)
    empty = table["n"] == 0
    assert table.loc[empty, "predicted":].isna().all(axis=None)
    full = table[~empty]
    assert (full["low"] <= full["observed"]).all()
    assert (full["observed"] <= full["high"]).all()
    assert full["low"].ge(0).all()
    assert full["high"].le(1).all()


def test_the_band_holds_a_calibrated_predictor_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 0.5, 138)
    low, high = calibrated_ece_band(p)
    errors = [expected_calibration_error(rng.random(138) < p, p) for _ in range(1000)]
    inside = [low <= error <= high for error in errors]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)
    assert 0.05 < np.mean(errors) < 0.08  # what makes a band necessary
    assert expected_calibration_error(rng.random(138) < p, p**3) > high


def test_the_band_is_reproducible_and_narrows_with_its_level():
    p = _predictions(100)[1]
    assert calibrated_ece_band(p, seed=3) == calibrated_ece_band(p, seed=3)
    assert calibrated_ece_band(p, seed=3) != calibrated_ece_band(p, seed=4)
    wide, narrow = calibrated_ece_band(p, 0.9), calibrated_ece_band(p, 0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    with pytest.raises(DataError, match="level is 90"):
        calibrated_ece_band(p, 90)


# compositions


def test_composition_errors_worked_by_hand():
    true = [[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    made = [[0.4, 0.4, 0.2, 0.0], [1.0, 0.0, 0.0, 0.0]]
    scores = composition_metrics(true, made)
    assert scores["mae_at_pct"] == pytest.approx(40 / 8)
    assert scores["mae_present_at_pct"] == pytest.approx(20 / 3)
    assert scores["atoms_misplaced_pct"] == pytest.approx((20 + 0) / 2)


@given(st.integers(0, 1000), st.integers(1, 10))
@settings(max_examples=25)
def test_columns_of_absent_elements_change_only_the_error_over_all(seed, absent):
    true, made = _compositions(8, seed=seed), _compositions(8, seed=seed + 1)
    scores = composition_metrics(true, made)
    wider = composition_metrics(*(np.pad(x, ((0, 0), (0, absent))) for x in (true, made)))
    assert wider["mae_at_pct"] == pytest.approx(scores["mae_at_pct"] * 6 / (6 + absent))
    for name in ("mae_present_at_pct", "atoms_misplaced_pct"):
        assert wider[name] == pytest.approx(scores[name])


def test_all_atoms_misplaced_is_100_percent():
    assert composition_metrics([[1, 0]], [[0, 1]])["atoms_misplaced_pct"] == 100


@pytest.mark.parametrize(
    ("true", "made", "message"),
    [
        ([[1.0, 0.0]], [[1.0, 0.0, 0.0]], "has shape"),
        ([[50.0, 50.0]], [[0.5, 0.5]], "true is 100 in row 0: the fractions of a row sum to 1"),
        ([[0.5, 0.5]], [[1.5, -0.5]], "reconstructed is -0.5 in row 0"),
        ([[0.5, 0.5]], [[np.nan, 0.5]], "reconstructed is nan in row 0"),
        ([[0.5, 0.5], [np.inf, 0]], [[0.5, 0.5]] * 2, "true is inf in row 1"),
        ([0.5, 0.5], [0.5, 0.5], "2 dimension"),
    ],
)
def test_what_is_no_composition_is_refused(true, made, message):
    with pytest.raises(DataError, match=message):
        composition_metrics(true, made)


def test_tables_with_their_elements_in_another_order_are_refused():
    a, b = fraction_table("Ni3Al", ["Al", "Ni"]), fraction_table("Ni3Al", ["Ni", "Al"])
    assert composition_metrics(a, a)["mae_at_pct"] == 0
    for measure in (composition_metrics, nearest_alloy, nearest_alloy_mae_at_pct):
        with pytest.raises(DataError, match="Al, Ni and Ni, Al"):
            measure(a, b)


@given(st.integers(0, 1000))
@settings(max_examples=25)
def test_the_nearest_alloy_is_that_of_all_pairs(seed):
    true, known = _compositions(7, seed=seed), _compositions(20, seed=seed + 1)
    index, distance = nearest_alloy(true, known)
    pairs = np.abs(true[:, None] - known).sum(-1) / 2
    assert (index == pairs.argmin(1)).all()
    assert distance == pytest.approx(pairs.min(1))
    assert nearest_alloy_mae_at_pct(true, known) == pytest.approx(
        composition_metrics(true, known[index])["mae_at_pct"]
    )


def test_a_known_alloy_is_its_own_nearest():
    known = _compositions(9)
    index, distance = nearest_alloy(known[::-1], known)
    assert index.tolist() == list(range(9))[::-1]
    assert distance == pytest.approx(0)
    with pytest.raises(DataError, match="6 elements but known has 5"):
        nearest_alloy(known, _compositions(3, elements=5))


def test_copying_the_nearest_training_alloy_gives_the_reference_figure(repo_root):
    path = repo_root.parent / "shared" / "facts" / "phase_reports.csv"
    if not path.is_file():
        pytest.skip(f"needs the raw facts, {path}")
    reports = pd.read_csv(path)
    fractions = fraction_table(reports["formula"])
    part = reports["published_split"].to_numpy()
    mae = nearest_alloy_mae_at_pct(fractions[part == "test"], fractions[part == "labelled"])
    assert mae == pytest.approx(1.01, abs=0.005)


# latent


def test_a_label_that_is_in_the_latent_is_found_and_one_that_is_not_is_not():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    z = rng.normal(size=(200, 3))
    assert label_from_latent(z, y)["worse_auc"] < 0.6
    ring = z + 6 * y[:, None] * np.sign(z[:, :1]) * [1, 0, 0]  # no line separates the classes
    found = label_from_latent(ring, y)
    assert found["knn_auc"] > 0.9
    assert found["trees_auc"] > 0.9
    assert found["worse_auc"] == max(found["knn_auc"], found["trees_auc"])
    assert found == label_from_latent(ring, y)


def test_trees_find_a_label_in_a_dimension_too_small_for_neighbours():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    z = np.column_stack([rng.normal(size=(200, 3)), 1e-3 * y])
    found = label_from_latent(z, y)
    assert found["knn_auc"] < 0.65 < 0.95 < found["trees_auc"]
    assert found["worse_auc"] == found["trees_auc"]


@pytest.mark.parametrize(("n", "ones"), [(18, 9), (40, 4), (40, 0)])
def test_too_few_alloys_for_five_folds_are_refused(n, ones):
    with pytest.raises(DataError, match="too few"):
        label_from_latent(np.zeros((n, 2)), np.arange(n) < ones)
    with pytest.raises(DataError, match="2 dimension"):
        label_from_latent(np.zeros(n), np.arange(n) < ones)


# intervals


def test_the_interval_of_many_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(5, 2, 400)
    interval = bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert interval["mean"] == pytest.approx(values.mean())
    assert interval["low"] == pytest.approx(values.mean() - half, abs=0.02)
    assert interval["high"] == pytest.approx(values.mean() + half, abs=0.02)


def test_a_narrower_level_is_a_narrower_interval():
    values = [0.90, 0.93, 0.95, 0.91]
    wide, narrow = bootstrap_interval(values), bootstrap_interval(values, level=0.5)
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]
    assert wide == bootstrap_interval(values, seed=0)
    with pytest.raises(DataError, match="values is nan in row 1"):
        bootstrap_interval([0.9, np.nan])


def test_pairing_takes_the_spread_of_the_seeds_out():
    rng = np.random.default_rng(0)
    seeds = rng.normal(0, 1, 10)
    a, b = 0.1 + seeds + rng.normal(0, 0.01, 10), seeds
    difference = paired_difference(a, b)
    assert 0.08 < difference["low"] < difference["mean"] < difference["high"] < 0.12
    assert paired_difference(b, a)["mean"] == pytest.approx(-difference["mean"])
    with pytest.raises(DataError, match="a has 10 rows but b has 9"):
        paired_difference(a, b[1:])


def test_the_measures_load_no_torch():
    code = "import sys, pyro_hea.evaluate.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
