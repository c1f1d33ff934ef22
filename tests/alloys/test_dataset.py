import re
import statistics
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from pyro_hea.errors import (
    ConflictingReportsWarning,
    DataError,
    FormulaError,
    LeakWarning,
    MissingExtraError,
    MissingFileError,
    PyroHEAError,
    UnknownElementError,
)
from pyro_hea.materials.alloys.composition import format_formula, fraction_table
from pyro_hea.materials.alloys.dataset import (
    PARTS,
    AlloyDataset,
    composition_keys,
    labels_from_reports,
    load_alloys,
    quantile_edges,
    read_alloys,
    to_batch,
)
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.materials.alloys.features import PUBLISHED_FEATURES, RICH_FEATURES, FeatureMap
from pyro_hea.spec import Binary, ModelSpec


def reports_of(*rows):
    return pd.DataFrame(rows, columns=["formula", "target", "value"])


def dataset(*rows, targets=("single_phase",)):
    reports = reports_of(*rows)
    fractions = fraction_table(list(dict.fromkeys(reports["formula"])))
    return AlloyDataset.from_reports(fractions, reports, targets)


@pytest.fixture
def read(tmp_path):
    def read(text, name="mine.csv", **options):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_alloys(tmp_path / name, **{"spec": ModelSpec()} | options)

    return read


def labels(alloys, target="single_phase"):
    column = alloys.labels[target]
    return {key: None if np.isnan(value) else value for key, value in column.items()}


@pytest.fixture(scope="module")
def alloys():
    return load_alloys("zeng2024")


@pytest.fixture(scope="module")
def parts(alloys):
    return alloys.split("published")


class TestLoadAlloys:
    def test_holds_the_published_alloys(self, alloys):
        assert len(alloys) == 1368
        assert len(alloys.elements) == 30
        assert alloys.elements == load_tables("published").elements
        assert len(alloys.reports) == 1373
        assert alloys.targets == ("single_phase",)

    def test_three_ties_are_without_a_label(self, alloys):
        unlabelled = alloys.labels["single_phase"].isna()
        assert set(alloys.labels.index[unlabelled]) == {
            "Al0.35CoCrFeNi",
            "Al0.5CoCrCu0.5FeNi",
            "CoCuFeNiTi",
        }

    def test_schema(self, alloys):
        assert alloys.formulas == list(alloys.fractions.index) == list(alloys.labels.index)
        assert alloys.formulas == list(alloys.parts.index)
        assert alloys.fractions.index.is_unique
        assert alloys.fractions.index.name == "formula"
        assert set(alloys.fractions.dtypes) == {np.dtype(float)}
        np.testing.assert_allclose(alloys.fractions.sum(axis=1), 1, rtol=1e-12)
        assert list(alloys.table.columns) == ["formula", "single_phase"]
        assert set(alloys.table["single_phase"].dropna()) == {0.0, 1.0}
        assert set(alloys.reports["formula"]) == set(alloys.formulas)
        assert {"target", "value", "source", "doi"} <= set(alloys.reports)

    def test_number_of_elements_counts_what_is_present(self, alloys):
        assert alloys.number_of_elements.loc["Al0.3CoCrFeNi"] == 5
        assert alloys.number_of_elements.between(2, 10).all()

    def test_every_source_together(self):
        everything = load_alloys(["zeng2024", "borg2020"])
        assert len(everything) == 1495
        assert set(everything.targets) >= {"single_phase", "hardness", "elongation"}
        assert everything.labels["hardness"].count() == 259
        assert set(everything.reports["source"]) == {"zeng2024", "borg2020"}

    def test_one_source(self):
        borg = load_alloys("borg2020")
        assert set(borg.reports["source"]) == {"borg2020"}
        assert set(borg.formulas) == set(borg.reports["formula"])

    def test_unknown_source_names_what_is_there(self):
        with pytest.raises(
            DataError, match=r"'zeng'\. Did you mean 'zeng2024'\? Allowed: zeng2024"
        ):
            load_alloys(["zeng"])


class TestPublishedSplit:
    def test_sizes(self, parts):
        assert list(parts) == list(PARTS)
        assert {name: len(part) for name, part in parts.items()} == {
            "labelled": 861,
            "unlabelled": 295,
            "validation": 75,
            "test": 137,
        }

    def test_every_alloy_is_in_one_part(self, alloys, parts):
        formulas = [formula for part in parts.values() for formula in part.formulas]
        assert sorted(formulas) == sorted(alloys.formulas)

    def test_no_composition_is_in_two_parts(self, parts):
        for name, part in parts.items():
            others = pd.concat([p.fractions for other, p in parts.items() if other != name])
            neighbours = NearestNeighbors(n_neighbors=1, metric="manhattan").fit(others.to_numpy())
            distance, _ = neighbours.kneighbors(part.fractions.to_numpy())
            assert distance.min() / 2 > 5e-4

    def test_straddlers_are_in_the_part_held_out(self, parts):
        assert {"Al0.5CoCrCu0.5FeNi", "AlCoCrFeNi"} <= set(parts["test"].formulas)
        assert "Al1.2CrCuFeNi2" in parts["labelled"].formulas

    def test_unlabelled_part_withholds_labels_and_reports(self, parts):
        assert parts["unlabelled"].labels.isna().all(axis=None)
        assert len(parts["unlabelled"].reports) == 0
        assert parts["unlabelled"].targets == ("single_phase",)

    @pytest.mark.parametrize("sources", ["zeng2024", None])
    def test_parts_hold_out_every_report_from_every_source(self, sources):
        parts = load_alloys(sources).split("published")
        for name, part in parts.items():
            assert set(part.reports["formula"]) <= set(part.formulas), name
        assert not set(parts["labelled"].reports["formula"]) & set(parts["test"].formulas)

    def test_every_part_keeps_all_elements(self, parts):
        assert {part.elements for part in parts.values()} == {parts["test"].elements}

    def test_unknown_split_names_what_is_there(self, alloys):
        with pytest.raises(DataError, match="'publish'; allowed: published"):
            alloys.split("publish")

    def test_alloys_of_ones_own_have_no_published_split(self):
        with pytest.raises(
            DataError, match=r"not in the published split; use load_alloys\('zeng2024'\)"
        ):
            dataset(("NiTi", "single_phase", 1)).split("published")


class TestLabelOfReports:
    @pytest.mark.parametrize(
        ("values", "label"),
        [([1], 1), ([0], 0), ([1, 1], 1), ([1, 1, 0], 1), ([1, 0, 0], 0), ([1, 0, 0, 0, 1, 0], 0)],
    )
    @pytest.mark.filterwarnings("ignore::pyro_hea.errors.ConflictingReportsWarning")
    def test_class_is_the_majority(self, values, label):
        rows = [("NiTi", "single_phase", value) for value in values]
        assert labels_from_reports(reports_of(*rows)).loc["NiTi", "single_phase"] == label

    @pytest.mark.parametrize("values", [[0, 1], [1, 0, 0, 1]])
    @pytest.mark.filterwarnings("ignore::pyro_hea.errors.ConflictingReportsWarning")
    def test_tie_leaves_the_alloy_unlabelled(self, values):
        rows = [("NiTi", "single_phase", value) for value in values]
        assert np.isnan(labels_from_reports(reports_of(*rows)).loc["NiTi", "single_phase"])

    @pytest.mark.parametrize(
        ("values", "label"), [([500.0], 500), ([500, 300], 400), ([500, 300, 310], 310)]
    )
    def test_number_is_the_median_and_no_conflict(self, values, label):
        rows = [("NiTi", "hardness", value) for value in values]
        assert labels_from_reports(reports_of(*rows)).loc["NiTi", "hardness"] == label

    def test_warning_counts_conflicts_and_ties(self):
        rows = [
            *(("NiTi", "single_phase", value) for value in (1, 0)),
            *(("CoFe", "single_phase", value) for value in (1, 0, 0)),
            *(("AlNi", "single_phase", value) for value in (0, 1)),
            *(("AlFe", "single_phase", value) for value in (1, 1)),
            *(("NiTi", "hardness", value) for value in (300, 500)),
        ]
        message = r"^3 alloys have reports that disagree.*majority.*2 ties are left unlabelled"
        with pytest.warns(ConflictingReportsWarning, match=message):
            table = labels_from_reports(reports_of(*rows))
        assert table["single_phase"].dropna().to_dict() == {"CoFe": 0, "AlFe": 1}
        assert table["hardness"].dropna().to_dict() == {"NiTi": 400}

    def test_a_class_needs_no_test_at_room_temperature_and_a_number_does(self):
        reports = reports_of(
            *(("NiTi", "phase", "bcc"), ("CoFe", "phase", "fcc"), ("CoFe", "phase", "bcc")),
            *(("NiTi", "hardness", 200), ("CoFe", "hardness", 300), ("CoFe", "hardness", 400)),
        ).assign(test_temperature_C=[800, 25, 800] * 2)
        table = labels_from_reports(reports)
        assert table["phase"].to_dict() == {"NiTi": "bcc", "CoFe": "fcc"}
        assert table["hardness"].dropna().to_dict() == {"CoFe": 300}

    @settings(deadline=None, max_examples=30)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["NiTi", "CoFe", "AlNi"]), st.integers(0, 1)), min_size=1
        ),
        st.lists(st.tuples(st.sampled_from(["NiTi", "CoFe"]), st.floats(2, 900)), min_size=1),
    )
    def test_agrees_with_counting(self, phases, hardness):
        rows = [(f, "single_phase", v) for f, v in phases] + [
            (f, "hardness", v) for f, v in hardness
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConflictingReportsWarning)
            table = labels_from_reports(reports_of(*rows))
        for formula in {f for f, _ in phases}:
            votes = Counter(v for f, v in phases if f == formula)
            label = table.loc[formula, "single_phase"]
            assert np.isnan(label) if votes[0] == votes[1] else label == (votes[1] > votes[0])
        for formula in {f for f, _ in hardness}:
            expected = statistics.median(v for f, v in hardness if f == formula)
            assert table.loc[formula, "hardness"] == pytest.approx(expected)


class TestReadAlloys:
    def test_reads_labels_and_blanks(self, read):
        alloys = read("formula,single_phase\nNiTi,1\nCoCrFeNi,0\nAlFe,\nAg, 1 \nAu,1.0\nCu,  \n")
        assert labels(alloys) == {
            "NiTi": 1,
            "CoCrFeNi": 0,
            "AlFe": None,
            "Ag": 1,
            "Au": 1,
            "Cu": None,
        }
        assert alloys.elements == ("Ag", "Al", "Au", "Co", "Cr", "Cu", "Fe", "Ni", "Ti")
        assert len(alloys.reports) == 4
        assert alloys.parts.isna().all()

    def test_reads_parquet_like_csv(self, tmp_path, read):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        csv = read("formula,single_phase,note\nNiTi,1,a\nCoFe,,b\n")
        rows = {"formula": ["NiTi", "CoFe"], "single_phase": [1.0, None], "note": ["a", "b"]}
        pd.DataFrame(rows).to_parquet(tmp_path / "mine.parquet")
        parquet = read_alloys(tmp_path / "mine.parquet")
        pd.testing.assert_frame_equal(parquet.labels, csv.labels)
        pd.testing.assert_frame_equal(parquet.fractions, csv.fractions)

    def test_parquet_without_pyarrow_says_what_to_install(self, read, monkeypatch):
        def read_parquet(*args, **kwargs):
            raise ImportError("Unable to find a usable engine")

        monkeypatch.setattr(pd, "read_parquet", read_parquet)
        with pytest.raises(MissingExtraError, match="pyarrow"):
            read("", "mine.parquet")

    def test_damaged_parquet(self, read, monkeypatch):
        def read_parquet(*args, **kwargs):
            raise ValueError("no parquet")

        monkeypatch.setattr(pd, "read_parquet", read_parquet)
        with pytest.raises(DataError, match=r"mine\.parquet: cannot be read as a table"):
            read("", "mine.parquet")

    @pytest.mark.parametrize("label", ["2", "0.5", "-1", "maybe", "NaN", "nan", "one phase", "?"])
    def test_label_that_is_no_class_names_row_and_column(self, read, label):
        message = rf"mine\.csv: column 'single_phase', row 2: label '{re.escape(label)}'.*0, 1 or"
        with pytest.raises(DataError, match=message):
            read(f"formula,single_phase\nNiTi,1\nCoFe,{label}\nAlNi,3\n")

    def test_no_formula_column_names_the_nearest_and_all(self, read):
        message = (
            r"no column 'formula' and none of an element.*'formule'\? Columns: formule, single"
        )
        with pytest.raises(DataError, match=message):
            read("formule,single_phase\nNiTi,1\n")

    def test_formula_column_of_another_name(self, read):
        alloys = read("alloy,single_phase\nTiNi,1\n", formula_column="alloy")
        assert labels(alloys) == {"NiTi": 1}
        assert alloys.reports["reported_formula"].tolist() == ["TiNi"]

    def test_no_target_column_names_the_declared_and_the_nearest(self, read):
        message = r"target \(single_phase\)\. Did you mean 'single_phas'\?"
        with pytest.raises(DataError, match=message):
            read("formula,single_phas\nNiTi,1\n")

    def test_targets_are_those_of_the_spec_in_its_order(self, read):
        spec = ModelSpec(targets=tuple(Binary(name=n) for n in ("ductile", "single_phase", "hard")))
        alloys = read("formula,single_phase,ductile\nNiTi,1,0\nCoFe,,1\n", spec=spec)
        assert alloys.targets == ("ductile", "single_phase")
        assert labels(alloys, "ductile") == {"NiTi": 0, "CoFe": 1}
        assert labels(alloys) == {"NiTi": 1, "CoFe": None}

    def test_missing_file(self, tmp_path):
        with pytest.raises(MissingFileError, match=r"nowhere\.csv' does not exist"):
            read_alloys(tmp_path / "nowhere.csv")

    def test_empty_file(self, read):
        with pytest.raises(DataError, match=r"mine\.csv: cannot be read as a table"):
            read("")

    def test_not_text(self, tmp_path):
        (tmp_path / "mine.csv").write_bytes(b"formula,single_phase\nNi\xff\xfe,1\n")
        with pytest.raises(DataError, match=r"mine\.csv: cannot be read as a table"):
            read_alloys(tmp_path / "mine.csv")

    @pytest.mark.parametrize("first", ["", "\ufeff"])
    def test_byte_order_mark_is_no_part_of_the_first_column(self, read, first):
        assert labels(read(f"{first}formula,single_phase\nNiTi,1\n")) == {"NiTi": 1}

    @pytest.mark.parametrize(
        ("formula", "error", "fault"),
        [
            ("Ni-Xx", FormulaError, ""),
            ("XxNi", UnknownElementError, "'Xx'"),
            ("nickel", FormulaError, "'nickel'"),
            ("", FormulaError, "missing"),
            ("NaN", FormulaError, "missing"),
            ("Ni-1TiFe", FormulaError, "negative"),
            ("Ni0", FormulaError, "no atoms"),
        ],
    )
    def test_unreadable_formula_names_its_row(self, read, formula, error, fault):
        with pytest.raises(error, match=rf"[Rr]ow \d.*{fault}"):
            read(f"formula,single_phase\nNiTi,1\n{formula},1\nCoFe,1\n")

    def test_unreadable_formula_names_its_file(self, read):
        with pytest.raises(FormulaError, match=r"mine\.csv"):
            read("formula,single_phase\nXxNi,1\n")

    def test_rows_are_counted_alike_for_formulas_and_labels(self, read):
        with pytest.raises(FormulaError) as formula:
            read("formula,single_phase\nNiTi,1\nXxNi,1\n")
        with pytest.raises(DataError) as label:
            read("formula,single_phase\nNiTi,1\nCoNi,7\n")
        rows = [re.search(r"[Rr]ow (\d+)", str(error.value))[1] for error in (formula, label)]
        assert rows[0] == rows[1]

    def test_row_longer_than_the_header_does_not_shift_the_columns(self, read):
        text = "formula,single_phase\nNiTi,1,\nCoFe,0,\n"
        try:
            assert labels(read(text)) == {"NiTi": 1, "CoFe": 0}
        except FormulaError:
            pytest.fail("the label was read as the formula")
        except DataError:
            pass

    def test_a_single_zero_is_dropped(self, read):
        assert labels(read("formula,single_phase\nAl0CoCrFeNi,1\n")) == {"CoCrFeNi": 1}

    def test_duplicates_that_disagree_keep_both_reports(self, read):
        message = "1 alloys have reports that disagree.*1 ties"
        with pytest.warns(ConflictingReportsWarning, match=message):
            alloys = read("formula,single_phase\nNiTi,1\nCoFe,1\nNiTi,0\n")
        assert labels(alloys) == {"NiTi": None, "CoFe": 1}
        assert alloys.reports.query("formula == 'NiTi'")["value"].tolist() == [1, 0]

    def test_duplicates_that_agree_are_one_alloy_without_a_word(self, read):
        alloys = read("formula,single_phase\nNiTi,1\nNiTi,1\nNiTi,\n")
        assert labels(alloys) == {"NiTi": 1}
        assert len(alloys.reports) == 2

    @pytest.mark.parametrize(
        "spellings",
        [
            ["NiTi", "TiNi", "Ni2Ti2", "Ni50Ti50", "Ni0.5Ti0.5", "(NiTi)3", "Ni Ti", "Al0NiTi"],
            ["CoCrFeNi", "Co25Cr25Fe25Ni25", "NiFeCrCo", "Co0.25Cr0.25Fe0.25Ni0.25"],
            ["Al0.3CoCrFeNi", "Al3Co10Cr10Fe10Ni10", "NiFeCrCoAl0.3"],
            ["Ni63Ti", "Ni6.3Ti0.1", "TiNi63"],  # 1/64 lies half-way between two roundings
        ],
        ids=lambda spellings: spellings[0],
    )
    def test_spellings_of_one_composition_are_one_alloy(self, read, spellings):
        rows = "".join(f"{spelling},1\n" for spelling in spellings)
        alloys = read(f"formula,single_phase\n{rows}")
        assert labels(alloys) == {format_formula(spellings[0]): 1}
        assert alloys.reports["reported_formula"].tolist() == spellings

    @pytest.mark.parametrize("formula", ["Al0.3CoCrFeNi", "Al0.1CoCrFeNi", "CoCr0.667Fe", "Ni3Al"])
    def test_formulas_are_spelled_as_everywhere(self, read, formula):
        alloys = read(f"formula,single_phase\n{formula},1\n")
        assert alloys.formulas == [format_formula(formula)]
        assert alloys.reports["formula"].tolist() == alloys.formulas

    def test_alloys_keep_the_order_of_the_file(self, read):
        formulas = ["NiTi", "AlFe", "CoCrFeNi", "Ag"]
        rows = "".join(f"{formula},1\n" for formula in formulas)
        assert read(f"formula,single_phase\n{rows}").formulas == formulas

    def test_extra_columns_are_kept_with_the_reports(self, read):
        alloys = read(
            "formula,single_phase,processing,note\nTiNi,1,CAST,\nCoFe,0,ANNEAL,see p. 3\n"
        )
        reports = alloys.reports.set_index("formula")
        assert reports["processing"].to_dict() == {"NiTi": "CAST", "CoFe": "ANNEAL"}
        assert reports.loc["CoFe", "note"] == "see p. 3"
        assert reports["reported_formula"].to_dict() == {"NiTi": "TiNi", "CoFe": "CoFe"}
        assert reports["target"].unique().tolist() == ["single_phase"]

    def test_reports_name_the_file_they_are_from(self, read):
        reports = read("formula,single_phase\nNiTi,1\n").reports
        assert reports["source"].tolist() == ["mine.csv"]

    def test_source_that_the_table_gives_is_kept(self, read):
        reports = read("formula,single_phase,source\nNiTi,1,Smith 2020\n").reports
        assert "Smith 2020" in reports.to_numpy()

    @pytest.mark.parametrize("column", ["value", "target", "reported_formula", "formula"])
    def test_column_named_like_one_of_the_reports_is_kept_or_refused(self, read, column):
        text = f"alloy,single_phase,{column}\nNiTi,1,mine\n"
        try:
            alloys = read(text, formula_column="alloy")
        except PyroHEAError as error:
            said = str(error)
        else:
            said = column if "mine" in alloys.reports.to_numpy() else "lost"
            assert labels(alloys) == {"NiTi": 1}
        assert column in said

    def test_file_without_any_label_is_read(self, read):
        assert labels(read("formula,single_phase\nNiTi,\nCoFe,\n")) == {"NiTi": None, "CoFe": None}


class TestAdd:
    def test_joins_and_fills_elements(self):
        a = dataset(("NiTi", "single_phase", 1))
        b = dataset(("AlFe", "single_phase", 0))
        both = a + b
        assert both.elements == ("Al", "Fe", "Ni", "Ti")
        assert both.fractions.loc["NiTi"].to_dict() == {"Al": 0, "Fe": 0, "Ni": 0.5, "Ti": 0.5}
        assert labels(both) == {"NiTi": 1, "AlFe": 0}
        assert len(both.reports) == 2

    def test_equal_compositions_are_one_alloy_with_the_reports_of_both(self):
        a = dataset(("NiTi", "single_phase", 1), ("AlFe", "single_phase", 1))
        b = dataset(("TiNi", "single_phase", 1), ("Ni2Ti2", "single_phase", 1))
        both = a + b
        assert labels(both) == {"NiTi": 1, "AlFe": 1}
        assert both.reports["formula"].tolist() == ["NiTi", "AlFe", "NiTi", "NiTi"]

    def test_equal_compositions_that_disagree_are_counted(self):
        a = dataset(("NiTi", "single_phase", 1))
        b = dataset(("NiTi", "single_phase", 0))
        with pytest.warns(ConflictingReportsWarning, match=r"1 alloys.*1 ties"):
            assert labels(a + b) == {"NiTi": None}

    def test_a_label_withheld_is_supplied_by_the_other(self):
        a = dataset(("NiTi", "single_phase", 1)).without_labels()
        assert labels(a + dataset(("NiTi", "single_phase", 0))) == {"NiTi": 0}

    @pytest.mark.parametrize("formula", ["NiTi", "AlFe"], ids=["overlapping", "disjoint"])
    def test_labels_keep_the_order_of_the_first_then_the_second(self, formula):
        a = dataset(("NiTi", "ductile", 1), ("NiTi", "cheap", 0), targets=("ductile", "cheap"))
        b = dataset((formula, "active", 1), (formula, "cheap", 0), targets=("active", "cheap"))
        assert (a + b).targets == ("ductile", "cheap", "active")
        assert (b + a).targets == ("active", "cheap", "ductile")
        assert labels(a + b, "active")[formula] == 1

    def test_withheld_labels_stay_withheld(self, parts):
        joined = parts["labelled"] + parts["unlabelled"]
        assert len(joined) == 861 + 295
        assert joined.labels["single_phase"].count() == 860
        assert joined.parts.value_counts().to_dict() == {"labelled": 861, "unlabelled": 295}

    def test_alloys_of_ones_own_join_the_packaged(self, alloys, read):
        own = read("formula,single_phase,year\nHfMoNbPtTa,1,2024\nCoCrFeNiMg,,2025\n")
        both = alloys + own
        assert len(both) == 1370
        assert both.elements == alloys.elements
        assert labels(both)["HfMoNbPtTa"] == 1
        assert len(both.reports) == 1374

    def test_joining_the_source_again_doubles_the_reports_and_tells_no_old_conflict(self, alloys):
        twice = alloys + alloys
        pd.testing.assert_frame_equal(twice.labels, alloys.labels)
        assert len(twice.reports) == 2 * 1373

    def test_a_conflict_that_only_the_sum_has_is_told(self, alloys):
        formula = alloys.labels["single_phase"].idxmax()
        with pytest.warns(ConflictingReportsWarning, match=r"4 alloys .* 4 ties"):
            alloys + dataset((formula, "single_phase", 0.0))

    def test_part_is_kept_whichever_comes_first(self, parts):
        held_out = parts["test"].take([1])
        own = dataset((held_out.formulas[0], "single_phase", held_out.labels.iloc[0, 0]))
        assert (held_out + own).parts.tolist() == ["test"]
        assert (own + held_out).parts.tolist() == ["test"]

    def test_alloys_that_are_the_same_to_five_decimals_are_one(self):
        a, b = dataset(("Ni", "single_phase", 1)), dataset(("Al0.000002Ni", "single_phase", 1))
        assert len(a + b) == 1

    @settings(deadline=None, max_examples=25)
    @given(
        *2
        * [
            st.dictionaries(
                st.sampled_from(["NiTi", "CoFe", "AlNi", "Ag"]), st.integers(0, 1), min_size=1
            )
        ]
    )
    def test_order_does_not_change_labels(self, first, second):
        a, b = (dataset(*((f, "single_phase", v) for f, v in d.items())) for d in (first, second))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConflictingReportsWarning)
            one, other = a + b, b + a
        assert labels(one) == labels(other)
        assert len(one.reports) == len(first) + len(second)
        pd.testing.assert_frame_equal(one.fractions.sort_index(), other.fractions.sort_index())


class TestRows:
    @pytest.fixture
    def few(self):
        return dataset(
            ("NiTi", "single_phase", 1), ("AlFe", "single_phase", 0), ("CoFe", "single_phase", 0)
        )

    @pytest.mark.parametrize(
        ("rows", "formulas"),
        [
            ([2, 0], ["CoFe", "NiTi"]),
            (np.array([True, False, True]), ["NiTi", "CoFe"]),
            ([], []),
            (np.zeros(3, bool), []),
        ],
        ids=["positions", "mask", "none", "empty mask"],
    )
    def test_take_takes_rows_with_their_reports(self, few, rows, formulas):
        taken = few.take(rows)
        assert taken.formulas == formulas == list(taken.labels.index) == list(taken.parts.index)
        assert set(taken.reports["formula"]) == set(formulas)
        assert taken.elements == few.elements
        assert taken.features.shape == (len(formulas), len(RICH_FEATURES))

    def test_withheld_holds_no_label_and_no_report(self, few):
        withheld = few.without_labels()
        assert withheld.formulas == few.formulas
        assert withheld.labels.isna().all(axis=None)
        assert len(withheld.reports) == 0
        assert few.labels.notna().all(axis=None)

    def test_without_leaves_out_equal_compositions_and_counts_them(self, few):
        other = dataset(("TiNi", "single_phase", 0), ("Co2Fe2", "single_phase", 0))
        with pytest.warns(LeakWarning, match="^2 alloys are also among the alloys held out"):
            left = few.without(other)
        assert left.formulas == ["AlFe"]
        assert left.reports["formula"].tolist() == ["AlFe"]

    def test_without_what_is_not_there_is_the_same_without_a_word(self, few):
        left = few.without(dataset(("MgZn", "single_phase", 0)))
        assert left.formulas == few.formulas

    def test_key_is_the_same_whatever_the_order_of_columns(self):
        table = fraction_table(["Al0.5CoCrFeNi", "NiTi"])
        permuted = table[table.columns[::-1]].assign(W=0.0)
        assert composition_keys(table) == composition_keys(permuted)

    def test_repr_and_html_say_the_counts(self, few):
        mixed = few + dataset(("MgZn", "single_phase", 1)).without_labels()
        said = "AlloyDataset(4 alloys of 7 elements; single_phase: 3 labelled)"
        assert repr(mixed) == said
        assert said in mixed._repr_html_()
        assert "<table" in mixed._repr_html_()
        assert "MgZn" in mixed._repr_html_()


class TestFeatures:
    def test_are_those_of_the_field_by_formula(self, alloys):
        features = alloys.features
        assert list(features.index) == alloys.formulas
        assert tuple(features.columns) == RICH_FEATURES
        assert features.notna().all(axis=None)
        assert (features["number_of_elements"] == alloys.number_of_elements).all()
        largest = alloys.fractions.max(axis=1)
        np.testing.assert_array_equal(features["largest_fraction"], largest)

    def test_are_computed_from_the_field_tables(self):
        features = dataset(("FeAl", "single_phase", 1)).features
        assert features.loc["FeAl", "mixing_enthalpy"] == pytest.approx(-11)


class TestToBatch:
    @pytest.fixture
    def table(self):
        return pd.DataFrame(
            {"known": [1.0, 0.0, 1.0], "some": [np.nan, 1.0, np.nan], "none": [np.nan] * 3},
            index=["NiTi", "AlFe", "CoFe"],
        )

    @pytest.fixture
    def fractions(self, table):
        return fraction_table(list(table.index))

    @pytest.fixture
    def feature_map(self, fractions):
        return FeatureMap(PUBLISHED_FEATURES, load_tables("field"), fractions.columns)

    def test_placeholders_are_zero_and_masked(self, fractions, feature_map, table):
        batch = to_batch(fractions, feature_map, table)
        assert list(batch.targets) == ["known", "some", "none"]
        assert batch.targets["some"].tolist() == [0, 1, 0]
        assert batch.labelled["some"].tolist() == [False, True, False]
        assert batch.targets["none"].tolist() == [0, 0, 0]
        assert not batch.labelled["none"].any()
        assert batch.labelled["some"].dtype == torch.bool

    def test_fully_labelled_target_has_no_mask(self, fractions, feature_map, table):
        batch = to_batch(fractions, feature_map, table)
        assert batch.targets["known"].tolist() == [1, 0, 1]
        assert "known" not in batch.labelled

    def test_without_labels_every_target_is_unknown(self, fractions, feature_map):
        batch = to_batch(fractions, feature_map)
        assert batch.targets == {}
        assert batch.labelled == {}
        assert len(batch) == 3

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_tensors_are_of_the_dtype(self, fractions, feature_map, table, dtype):
        batch = to_batch(fractions, feature_map, table, dtype=dtype)
        assert batch.fractions.dtype == batch.features.dtype == batch.targets["some"].dtype == dtype

    def test_default_is_single_precision_on_the_cpu(self, fractions, feature_map):
        batch = to_batch(fractions, feature_map)
        assert batch.fractions.dtype == torch.float32
        assert batch.fractions.device.type == "cpu"

    def test_features_are_computed_in_double_and_then_rounded(self, alloys):
        feature_map = FeatureMap(RICH_FEATURES, load_tables("field"), alloys.elements)
        batch = to_batch(alloys.fractions, feature_map)
        exact = alloys.features.to_numpy().astype(np.float32)
        np.testing.assert_array_equal(batch.features.numpy(), exact)
        assert batch.fractions.shape == (1368, 30)

    def test_order_of_rows_and_elements_is_kept(self, fractions, feature_map):
        batch = to_batch(fractions, feature_map, dtype=torch.float64)
        np.testing.assert_array_equal(batch.fractions.numpy(), fractions.to_numpy())

    def test_tables_are_not_shared_with_the_tensors(self, fractions, feature_map, table):
        before = fractions.copy(), table.copy()
        batch = to_batch(fractions, feature_map, table, dtype=torch.float64)
        batch.map(torch.Tensor.zero_)
        pd.testing.assert_frame_equal(fractions, before[0])
        pd.testing.assert_frame_equal(table, before[1])

    def test_map_reaches_every_tensor(self, fractions, feature_map, table):
        batch = to_batch(fractions, feature_map, table).map(lambda tensor: tensor[[2]])
        assert len(batch) == 1
        assert batch.fractions.tolist() == [fractions.loc["CoFe"].tolist()]
        assert batch.features.shape == (1, 8)
        assert {name: value.tolist() for name, value in batch.targets.items()} == {
            "known": [1],
            "some": [0],
            "none": [0],
        }
        assert batch.labelled["some"].tolist() == [False]

    @pytest.mark.gpu
    def test_tensors_are_on_the_device(self, fractions, feature_map, table):
        batch = to_batch(fractions, feature_map, table, device="cuda")
        tensors = [batch.fractions, batch.features, *batch.targets.values()]
        assert {t.device.type for t in [*tensors, *batch.labelled.values()]} == {"cuda"}
        on_cpu = to_batch(fractions, feature_map, table)
        torch.testing.assert_close(batch.features.cpu(), on_cpu.features, rtol=1e-6, atol=1e-6)


class TestQuantileEdges:
    @pytest.mark.parametrize("bins", [1, 2, 12])
    @pytest.mark.parametrize("rows", [1, 2, 50])
    def test_are_the_quantiles_of_each_feature(self, bins, rows):
        values = np.random.default_rng(0).normal(size=(rows, 3)) * [1, 100, 1e-3]
        edges = quantile_edges(torch.tensor(values), bins)
        assert edges.shape == (3, bins + 1)
        expected = np.quantile(values, np.linspace(0, 1, bins + 1), axis=0).T
        np.testing.assert_allclose(edges.numpy(), expected, rtol=1e-12)

    def test_constant_feature_has_equal_edges(self):
        assert quantile_edges(torch.ones(5, 1), 3).tolist() == [[1, 1, 1, 1]]

    def test_dtype_is_kept(self):
        assert quantile_edges(torch.rand(9, 2), 4).dtype == torch.float32

    def test_bins_hold_equally_many_packaged_alloys(self, alloys):
        column = torch.tensor(alloys.features[["melting_temperature"]].to_numpy())
        edges = quantile_edges(column, 12)[0].numpy()
        counts, _ = np.histogram(column[:, 0].numpy(), edges)
        assert counts.min() >= 105
        assert counts.max() <= 123
