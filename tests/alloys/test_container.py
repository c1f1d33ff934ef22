"""A dataset as a container: indexed, iterated, split, written and read again."""

import warnings

import numpy as np
import pandas as pd
import pytest

from pyro_hea import ModelSpec, load_alloys, read_alloys
from pyro_hea.errors import (
    ConflictingReportsWarning,
    DataError,
    FormulaError,
    MissingExtraError,
    OutputError,
)
from pyro_hea.materials.alloys.amounts import parse_composition
from pyro_hea.materials.alloys.dataset import AlloyDataset, element_sets

ROWS = pd.DataFrame(
    {
        "formula": ["NiTi", "TiNi3", "CoCrFeNi", "AlCoCrFeNi", "NbMoTaW", "HfNbTaTiZr", "NiTi"],
        "hardness": [250.0, 260.0, 140.0, 480.0, 454.0, None, 270.0],
        "phase": ["bcc", "fcc", "fcc", "several", "bcc", "bcc", "bcc"],
        "test_temperature_C": [25, 25, 25, 25, 25, 25, 30],
        "note": ["=1+1", "a, b", 'say "x"', None, "é", None, None],
    }
)


@pytest.fixture
def data() -> AlloyDataset:
    return read_alloys(ROWS)


def test_a_position_or_a_formula_gives_one_alloy(data):
    first = data[0]
    assert (first.formula, first.fractions) == ("NiTi", {"Ni": 0.5, "Ti": 0.5})
    assert first.labels == {"hardness": 260.0, "phase": "bcc"}
    assert data[np.int64(-1)].labels == {"phase": "bcc"}  # HfNbTaTiZr has no hardness
    assert data["TiNi"] == first
    assert data["Ni75Ti25"].fractions == parse_composition("TiNi3")


@pytest.mark.parametrize(
    ("rows", "formulas"),
    [
        (slice(0, 2), ["NiTi", "Ni75Ti25"]),
        ([2, 0], ["CoCrFeNi", "NiTi"]),
        (np.array([True, False, False, False, False, True]), ["NiTi", "HfNbTaTiZr"]),
    ],
)
def test_rows_give_a_dataset_with_their_reports(data, rows, formulas):
    some = data[rows]
    assert isinstance(some, AlloyDataset)
    assert some.formulas == formulas
    assert set(some.reports["formula"]) == set(formulas)
    assert some.columns_report is data.columns_report


def test_a_mask_of_labels_selects_alloys(data):
    assert data[data.labels["hardness"] > 400].formulas == ["AlCoCrFeNi", "MoNbTaW"]
    with pytest.raises(DataError, match="the mask is of other alloys"):
        data[data.labels["hardness"].iloc[::-1] > 400]
    with pytest.raises(DataError, match=r"shape \(2,\) for 6 alloys"):
        data[[True, False]]


def test_what_is_not_there_is_refused(data):
    with pytest.raises(DataError, match="'CuZn' is not among these 6 alloys"):
        data["CuZn"]
    with pytest.raises(FormulaError):
        data["brass"]
    with pytest.raises(IndexError, match="no alloy 6 among 6"):
        data[6]


def test_iteration_gives_each_alloy_once_in_order(data):
    assert [alloy.formula for alloy in data] == data.formulas
    assert list(data)[3] == data[3]


class TestTrainTestSplit:
    def test_parts_are_disjoint_and_whole_and_drawn_by_the_seed(self):
        alloys = load_alloys("zeng2024")
        train, test = alloys.train_test_split(0.25, seed=3)
        assert len(test) == 342
        assert sorted(train.formulas + test.formulas) == sorted(alloys.formulas)
        assert set(train.reports["formula"]) == set(train.formulas)
        assert alloys.train_test_split(0.25, seed=3)[1].formulas == test.formulas
        assert alloys.train_test_split(0.25, seed=4)[1].formulas != test.formulas

    @pytest.mark.parametrize("seed", range(5))
    def test_by_element_set_no_set_is_in_both(self, seed):
        alloys = load_alloys("zeng2024")
        train, test = alloys.train_test_split(0.2, by="element_set", seed=seed)
        assert not set(element_sets(train.fractions)) & set(element_sets(test.fractions))
        assert len(train) + len(test) == len(alloys)
        assert len(test) / len(alloys) == pytest.approx(0.2, abs=0.03)

    @pytest.mark.parametrize("size", [0, 1, -0.5, 0.01, 0.99, 7, float("nan")])
    def test_a_share_that_leaves_a_part_empty_is_refused(self, data, size):
        with pytest.raises(DataError, match=r"of 6 alloys it leaves one part empty"):
            data.train_test_split(size)

    def test_another_way_and_a_single_set_are_refused(self, data):
        with pytest.raises(DataError, match="by is 'phase'; allowed: 'random', 'element_set'"):
            data.train_test_split(by="phase")
        with pytest.raises(DataError, match="one set of elements; split them by='random'"):
            data[:2].train_test_split(0.5, by="element_set")


WRITERS = {
    ".csv": AlloyDataset.to_csv,
    ".csv.gz": AlloyDataset.to_csv,
    ".xlsx": AlloyDataset.to_excel,
    ".parquet": AlloyDataset.to_parquet,
}


def written(data, folder, suffix):
    pytest.importorskip({".xlsx": "openpyxl", ".parquet": "pyarrow"}.get(suffix, "csv"))
    WRITERS[suffix](data, folder / f"out{suffix}")
    assert [path.name for path in folder.iterdir()] == [f"out{suffix}"]  # nothing half written
    return folder / f"out{suffix}"


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_is_written_is_read_as_the_same_alloys(data, tmp_path, suffix):
    data = data + read_alloys(pd.DataFrame({"formula": ["CuZn", "AgAu"]}))  # without reports
    again = read_alloys(written(data, tmp_path, suffix))
    assert again.formulas == data.formulas
    pd.testing.assert_frame_equal(again.fractions, data.fractions, atol=1e-5)
    pd.testing.assert_frame_equal(again.labels[list(data.targets)], data.labels)
    left, right = (
        d.reports.sort_values(["formula", "target"], kind="stable") for d in (again, data)
    )
    assert left["value"].tolist() == right["value"].tolist()
    for column in ("formula", "target", "source", "reported_formula", "note"):
        assert left[column].fillna("").tolist() == right[column].fillna("").tolist()
    assert (
        left["test_temperature_C"].astype(float).tolist()
        == right["test_temperature_C"].astype(float).tolist()
    )


def test_the_embedded_reports_are_read_as_the_embedded_alloys(tmp_path):
    data = load_alloys("borg2020")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConflictingReportsWarning)
        again = read_alloys(written(data, tmp_path, ".csv"))
    assert again.formulas == data.formulas
    pd.testing.assert_frame_equal(again.labels[list(data.targets)], data.labels)
    assert len(again.reports) == len(data.reports)


def test_a_spec_checks_the_reports_that_are_read(data, tmp_path):
    path = written(data, tmp_path, ".csv")
    phase = {"kind": "categorical", "classes": ["fcc", "hcp"]}
    with pytest.raises(DataError, match=r"target 'phase', row 1: label 'bcc' is not allowed"):
        read_alloys(path, spec=ModelSpec.from_mapping({"targets": {"phase": phase}}))


def test_where_nothing_can_be_written_is_said(data, tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=r"out\.txt: name it with \.csv or \.csv\.gz"):
        data.to_csv(tmp_path / "out.txt")
    with pytest.raises(OutputError, match=r"cannot write into '.*none': .*out\.csv"):
        data.to_csv(tmp_path / "none" / "out.csv")

    def to_parquet(*args, **kwargs):
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", to_parquet)
    with pytest.raises(MissingExtraError, match="pyarrow"):
        data.to_parquet(tmp_path / "out.parquet")


def test_html_shows_the_columns_and_escapes_what_a_table_says():
    rows = ROWS.assign(**{"<script>alert(1)</script>": ["<img src=x>", "b"] * 3 + ["<img src=x>"]})
    html = read_alloys(rows)._repr_html_()
    assert "<script" not in html
    assert "<img" not in html
    assert "Columns of the table" in html
    assert "named like a description" in html
