"""Labels of every kind of target, from a user's table to numbers and back to words."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_hea.errors import ConflictingReportsWarning, DataError
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.dataset import (
    AlloyDataset,
    encode_labels,
    encode_values,
    labels_at_conditions,
    labels_from_reports,
    measurements,
    read_alloys,
    report_counts,
)
from pyro_hea.spec import Binary, Categorical, Continuous, ModelSpec, Ordinal, Prior

NAN = np.nan
NUMBER = {"prior": Prior(dist="Normal", loc=0.0, scale=1.0)}
SINGLE = Binary(name="single_phase")
PHASE = Categorical(
    name="phase",
    classes=("fcc", "bcc", "hcp", "several"),
    given=("single_phase",),
    only={"single_phase": {"0": ("several",), "1": ("fcc", "bcc", "hcp")}},
)
RATING = Ordinal(name="rating", levels=("1", "2", "3"))
HARDNESS = Continuous(name="hardness", unit="HV", **NUMBER)
MISFIT = Continuous(name="misfit", positive=False, transform="identity", **NUMBER)
STRENGTH = Continuous(name="strength", conditions={"temperature": 25.0}, **NUMBER)
SPEC = ModelSpec(targets=(SINGLE, PHASE, RATING, HARDNESS, MISFIT))


def series(*values) -> pd.Series:
    return pd.Series(values, [f"alloy {i}" for i in range(len(values))], dtype=object)


@pytest.fixture
def read(tmp_path):
    def read(text: str, spec: ModelSpec = SPEC) -> AlloyDataset:
        (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
        return read_alloys(tmp_path / "mine.csv", spec=spec)

    return read


# From words and numbers to numbers.


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        (SINGLE, (0, 1.0, True, "1", "0.0", NAN, None), (0, 1, 1, 1, 0, NAN, NAN)),
        (PHASE, ("fcc", "several", NAN, " bcc "), (0, 3, NAN, 1)),
        (PHASE, ("Fcc", "SEVERAL", NAN, " BCC "), (0, 3, NAN, 1)),
        (RATING, ("1", 2, 3.0, "2.0", NAN), (0, 1, 2, 1, NAN)),
        (HARDNESS, (420, "510.5", NAN, 1e-3), (420, 510.5, NAN, 1e-3)),
        (MISFIT, (-1.5, 0, "3", NAN), (-1.5, 0, 3, NAN)),
    ],
)
def test_labels_become_numbers(target, given, expected):
    values = series(*(float(v) if v is True else v for v in given))
    np.testing.assert_array_equal(encode_values(values, target), expected)


@pytest.mark.parametrize(
    ("target", "label", "message"),
    [
        (SINGLE, 2, "label 2 of 'single_phase' is not allowed. Allowed: 0, 1"),
        (SINGLE, "maybe", "label 'maybe' of 'single_phase' is not allowed. Allowed: 0, 1"),
        (
            PHASE,
            "fccc",
            "label 'fccc' of 'phase' is not allowed. Did you mean 'fcc'? "
            "Allowed: fcc, bcc, hcp, several",
        ),
        (RATING, 4, "label 4 of 'rating' is not allowed. Allowed: 1, 2, 3"),
        (HARDNESS, -300.0, "label -300.0 of 'hardness' is not allowed. Allowed: a number above 0"),
        (HARDNESS, 0, "label 0 of 'hardness' is not allowed. Allowed: a number above 0"),
        (HARDNESS, np.inf, "label inf of 'hardness' is not allowed. Allowed: a number above 0"),
        (HARDNESS, "hard", "label 'hard' of 'hardness' is not allowed. Allowed: a number above 0"),
        (MISFIT, -np.inf, "label -inf of 'misfit' is not allowed. Allowed: a number"),
        (MISFIT, "none", "label 'none' of 'misfit' is not allowed. Allowed: a number"),
    ],
)
def test_a_label_that_cannot_be_names_the_alloy_and_what_is_allowed(target, label, message):
    with pytest.raises(DataError, match=re.escape(f"'alloy 1': {message}")):
        encode_values(series(NAN, label), target)


@pytest.mark.parametrize(
    ("prior", "label", "allowed"),
    [
        (Prior(dist="Uniform", low=2.0, high=10.0), 11.0, "above 2 and below 10, by its"),
        (Prior(dist="Uniform", low=2.0, high=10.0), 10.0, "above 2 and below 10, by its"),
        (Prior(dist="Beta", concentration1=2.0, concentration0=2.0), -0.5, "above 0 and below 1"),
        (Prior(dist="Pareto", scale=5.0, alpha=2.0), 4.0, "above 5, by its prior Pareto"),
        (Prior(dist="HalfNormal", scale=1.0), -1.0, "above 0, by its prior HalfNormal"),
    ],
)
def test_a_label_that_the_prior_rules_out_is_refused_by_message(prior, label, allowed):
    target = Continuous(name="misfit", positive=False, transform="identity", prior=prior)
    inside = series(5.5 if prior.dist != "Beta" else 0.5, NAN)
    assert encode_values(inside, target).iloc[0] == inside.iloc[0]
    message = f"'alloy 1': label {label} of 'misfit' is not allowed. Allowed: a number {allowed}"
    with pytest.raises(DataError, match=re.escape(message)):
        encode_values(series(NAN, label), target)


def test_labels_of_two_targets_that_contradict_each_other_are_left_out_and_counted():
    labels = pd.DataFrame(
        {
            "single_phase": [1.0, 1.0, 0.0, 0.0, NAN, NAN, NAN, 0.0],
            "phase": ["fcc", "several", "several", "bcc", "hcp", "several", NAN, NAN],
        },
        index=[f"alloy {i}" for i in range(8)],
    )
    with pytest.warns(ConflictingReportsWarning, match="2 labels of 'phase' contradict"):
        table = encode_labels(labels, [SINGLE, PHASE])
    # What one target implies of the other is filled in.
    np.testing.assert_array_equal(table["single_phase"], [1, 1, 0, 0, 1, 0, NAN, 0])
    np.testing.assert_array_equal(table["phase"], [0, NAN, 3, 3, 2, 3, NAN, 3])


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, NAN]),
            st.sampled_from([*PHASE.classes, NAN]),
        ),
        min_size=1,
    )
)
def test_encoded_labels_are_coherent_and_encode_to_themselves(rows):
    labels = pd.DataFrame(rows, columns=["single_phase", "phase"], dtype=object)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConflictingReportsWarning)
        table = encode_labels(labels, [SINGLE, PHASE])
    both = table.dropna()
    assert ((both["phase"] == 3) == (both["single_phase"] == 0)).all()
    assert (table["phase"].isna() | table["single_phase"].notna()).all()  # each phase says which
    names = table["phase"].map(dict(enumerate(PHASE.classes)))
    again = encode_labels(table.assign(phase=names), [SINGLE, PHASE])
    pd.testing.assert_frame_equal(again, table)


# A user's own table.


def test_a_table_with_labels_of_every_kind_is_read(read):
    alloys = read(
        "formula,single_phase,phase,rating,hardness,misfit\n"
        "NiTi,1,bcc,2,420,-0.5\n"
        "CoFe,,,,,\n"
        "AlNi,0, several ,3,510.5,0\n"
    )
    assert alloys.labels["phase"].tolist()[::2] == ["bcc", "several"]
    assert alloys.labels.loc["NiTi", "hardness"] == 420
    assert alloys.labels.loc["CoFe"].isna().all()
    table = encode_labels(alloys.labels, SPEC.targets)
    np.testing.assert_array_equal(table.loc["NiTi"], [1, 1, 1, 420, -0.5])
    np.testing.assert_array_equal(table.loc["AlNi"], [0, 3, 2, 510.5, 0])
    assert alloys.reports["value"].tolist() == [
        1,
        0,
        "bcc",
        "several",
        "2",
        "3",
        420,
        510.5,
        -0.5,
        0,
    ]


def test_a_class_is_the_majority_and_a_number_the_median_of_its_rows(read):
    with pytest.warns(ConflictingReportsWarning, match=r"3 alloys have reports.*1 ties"):
        alloys = read(
            "formula,phase,rating,hardness\n"
            "NiTi,bcc,1,400\nNiTi,bcc,1,500\nNiTi,fcc,3,430\nCoFe,fcc,,\nCoFe,bcc,,\nAlNi,hcp,2,1\n"
        )
    labels = encode_labels(alloys.labels, SPEC.targets)
    assert labels.loc["NiTi"].tolist() == [1, 0, 430]  # two of three ratings are the lowest
    assert labels.loc["CoFe"].isna().all()


@pytest.mark.parametrize(
    ("column", "label", "message"),
    [
        (
            "phase",
            "fc",
            "label 'fc' is not allowed; write fcc, bcc, hcp, several or leave it blank for an "
            "unlabelled alloy. Did you mean 'fcc'?",
        ),
        ("rating", "2.5", "label '2.5' is not allowed; write 1, 2, 3 or leave it blank"),
        ("hardness", "-3", "label '-3' is not allowed; write a number above 0 or leave it blank"),
        ("hardness", "4OO", "label '4OO' is not allowed; write a number above 0"),
        ("hardness", "inf", "label 'inf' is not allowed; write a number above 0"),
        ("misfit", "nan", "label 'nan' is not allowed; write a number or leave it blank"),
        ("single_phase", "2", "label '2' is not allowed; write 0, 1 or leave it blank"),
    ],
)
def test_a_faulty_label_names_row_and_column_and_what_to_write(read, column, label, message):
    with pytest.raises(
        DataError, match=re.escape(f"mine.csv: column '{column}', row 2: {message}")
    ):
        read(f"formula,{column}\nNiTi,\nCoFe,{label}\nAlNi,{label}\n")


def test_parquet_and_csv_are_read_alike(tmp_path, read):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame(
        {
            "formula": ["NiTi", "CoFe"],
            "phase": ["fcc", None],
            "rating": [2, 3],
            "hardness": [4.0, NAN],
        }
    )
    table.to_parquet(tmp_path / "mine.parquet")
    parquet = read_alloys(tmp_path / "mine.parquet", spec=SPEC)
    csv = read("formula,phase,rating,hardness\nNiTi,fcc,2,4\nCoFe,,3,\n")
    pd.testing.assert_frame_equal(
        encode_labels(parquet.labels, SPEC.targets), encode_labels(csv.labels, SPEC.targets)
    )


# Reports and their conditions.


def reported(*rows, columns=("formula", "target", "value", "temperature")) -> AlloyDataset:
    reports = pd.DataFrame(rows, columns=list(columns))
    fractions = fraction_table(list(dict.fromkeys(reports["formula"])))
    targets = list(dict.fromkeys(reports["target"]))
    return AlloyDataset.from_reports(fractions, reports, targets, expected_conflicts=9)


def test_conditions_of_labels_are_medians_and_the_reference_where_none_is_told():
    data = reported(
        ("NiTi", "strength", 500.0, 20.0),
        ("NiTi", "strength", 300.0, 30.0),
        ("CoFe", "strength", 200.0, NAN),
        ("AlNi", "hardness", 100.0, 500.0),
    )
    np.testing.assert_array_equal(labels_at_conditions(data, STRENGTH)[1], [[25], [25], [25]])
    data = reported(("NiTi", "strength", 500.0, 600.0), ("CoFe", "strength", 200.0, "20"))
    np.testing.assert_array_equal(labels_at_conditions(data, STRENGTH)[1], [[600], [20]])
    rows, conditions, values = measurements(data, STRENGTH)
    assert (rows.tolist(), values.tolist()) == ([0, 1], [500.0, 200.0])
    np.testing.assert_array_equal(conditions, [[600], [20]])


def test_tests_away_from_room_temperature_are_measurements_and_make_no_label():
    target = Continuous(name="strength", conditions={"test_temperature_C": 25.0}, **NUMBER)
    data = reported(
        ("NiTi", "strength", 500.0, 20.0),
        ("NiTi", "strength", 300.0, 600.0),
        ("CoFe", "strength", 200.0, 800.0),
        ("AlNi", "strength", 250.0, NAN),
        columns=("formula", "target", "value", "test_temperature_C"),
    )
    labels = data.labels["strength"]
    np.testing.assert_array_equal(labels.loc[["NiTi", "CoFe", "AlNi"]], [500.0, NAN, 250.0])
    np.testing.assert_array_equal(labels_at_conditions(data, target)[1], [[20], [25], [25]])
    assert sorted(measurements(data, target)[1][:, 0]) == [20, 25, 600, 800]


def test_a_condition_that_is_no_number_names_the_alloy():
    data = reported(("NiTi", "strength", 500.0, "warm"), ("CoFe", "strength", 200.0, ""))
    with pytest.raises(DataError, match=r"'NiTi': 'temperature' is 'warm', which is no number"):
        measurements(data, STRENGTH)
    with pytest.raises(DataError, match="'test_temperature_C' is 'warm', which is no number"):
        reported(
            ("NiTi", "strength", 500.0, "warm"),
            columns=("formula", "target", "value", "test_temperature_C"),
        )


def test_a_condition_that_the_reports_do_not_have_names_the_nearest_column():
    data = reported(
        ("NiTi", "strength", 500.0, 20.0), columns=("formula", "target", "value", "temprature")
    )
    message = (
        r"'strength' depends on the condition 'temperature', which is no column of the reports\. "
        r"Did you mean 'temprature'\? Columns: formula, target, value, temprature"
    )
    with pytest.raises(DataError, match=message):
        measurements(data, STRENGTH)
    np.testing.assert_array_equal(labels_at_conditions(data, STRENGTH)[1], [[25]])  # none is known


def test_reports_are_counted_by_source_and_class():
    data = reported(
        ("NiTi", "phase", "bcc", "ann"),
        ("NiTi", "phase", "bcc", "bob"),
        ("NiTi", "phase", "fcc", "bob"),
        ("CoFe", "phase", "several", "eve"),
        ("CoFe", "phase", "hcp", "ann"),
        ("CoFe", "phase", "hcp", "ann"),
        columns=("formula", "target", "value", "source"),
    )
    counts = report_counts(data, PHASE, ["bob", "ann"])  # eve is not known
    expected = np.zeros((2, 2, 4))
    expected[0, 0, [0, 1]] = 1
    expected[0, 1, 1] = 1
    expected[1, 1, 2] = 2
    np.testing.assert_array_equal(counts, expected)


def test_text_is_a_class_even_where_it_looks_like_a_number():
    reports = pd.DataFrame(
        [("NiTi", "rating", v) for v in ("1", "3", "3")], columns=["formula", "target", "value"]
    )
    with pytest.warns(ConflictingReportsWarning):
        assert labels_from_reports(reports).loc["NiTi", "rating"] == "3"
