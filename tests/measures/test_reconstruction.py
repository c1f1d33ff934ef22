import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_hea.errors import DataError
from pyro_hea.evaluate.measures import composition_metrics, nearest_alloy, nearest_alloy_mae_at_pct
from pyro_hea.materials.alloys.composition import fraction_table


def _compositions(n, elements=6, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(elements, 0.4), n)


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
