"""A user's table: which column becomes what, and what is refused or said by name."""

import bz2
import gzip
import lzma
import re
import time
import warnings

import numpy as np
import pandas as pd
import pytest

from pyro_hea import ModelSpec, read_alloys
from pyro_hea.errors import (
    DataError,
    FormulaError,
    FormulaWarning,
    MissingExtraError,
    TableWarning,
)
from pyro_hea.materials.alloys.amounts import parse_composition
from pyro_hea.materials.alloys.dataset import read_formulas

ROWS = pd.DataFrame(
    {
        "Sample": ["A1", "A2", "A3", "A4", "A5", "A6"],
        "formula": ["NiTi", "CoCrFeNi", "HfNbTaTiZr", "NbMoTaW", "AlCoCrFeNi", "FeNi"],
        "Hardness (HV)": [250, 140.5, 390, None, 480, 130],
        "yield_strength_MPa": ["300", "", "929", "1058", "1250", "210"],
        "Phase": ["bcc", "fcc", "bcc", "bcc", "bcc", "fcc"],
        "single phase": [1, 1, 1, 1, 0, 1],
        "Test temperature (°C)": [25, 25, 25, 25, 600, 25],
        "processing": ["CAST", "CAST", "ANNEAL", "CAST", "CAST", "CAST"],
        "remark": ["x", None, None, None, None, "y"],
        "operator": ["Ann", "Bob", "Cy", "Di", "Eve", "Fay"],
        "empty": [None] * 6,
    }
)
ROLES = {
    "Sample": ("kept", "Sample", ""),
    "formula": ("composition", "formula", ""),
    "Hardness (HV)": ("target", "hardness", "HV"),
    "yield_strength_MPa": ("target", "yield_strength", "MPa"),
    "Phase": ("target", "phase", ""),
    "single phase": ("target", "single_phase", ""),
    "Test temperature (°C)": ("condition", "test_temperature_C", ""),
    "processing": ("condition", "processing", ""),
    "remark": ("kept", "remark", ""),
    "operator": ("kept", "operator", ""),
    "empty": ("kept", "empty", ""),
}


def written(folder, suffix, rows=ROWS):
    """The rows as a file of that kind."""
    path = folder / f"mine{suffix}"
    if suffix == ".xlsx":
        pytest.importorskip("openpyxl")
        rows.to_excel(path, index=False)
    elif suffix == ".parquet":
        pytest.importorskip("pyarrow")
        rows.astype({"yield_strength_MPa": str}).to_parquet(path)
    elif suffix.startswith(".csv"):
        rows.to_csv(path, index=False)  # compressed by its suffix
    else:
        rows.to_csv(path, index=False, sep={".tsv": "\t", ".txt": ";"}[suffix])
    return path


@pytest.mark.parametrize(
    "suffix", ["", ".csv", ".csv.gz", ".csv.bz2", ".csv.xz", ".tsv", ".txt", ".xlsx", ".parquet"]
)
def test_every_column_has_a_role_a_unit_and_a_reason(tmp_path, suffix):
    data = read_alloys(written(tmp_path, suffix) if suffix else ROWS)
    report = data.columns_report
    assert list(report.index) == list(ROWS.columns)
    found = report[["role", "name", "unit"]].apply(tuple, axis=1).to_dict()
    assert found == ROLES
    assert report.loc["empty", "reason"] == "holds no value"
    assert report.loc["operator", "reason"] == "6 different texts in 6 cells: no class"
    assert report["count"].to_dict()["Hardness (HV)"] == 5
    assert data.targets == ("hardness", "yield_strength", "phase", "single_phase")
    assert data.labels["hardness"].tolist()[:3] == [250, 140.5, 390]
    assert np.isnan(data.labels["hardness"].iloc[3])
    # tested at 600 °C: reported, but no label of room temperature
    assert np.isnan(data.labels.loc["AlCoCrFeNi", "yield_strength"])
    hot = data.reports.query("formula == 'AlCoCrFeNi' and target == 'yield_strength'").iloc[0]
    assert (hot["value"], hot["unit"], float(hot["test_temperature_C"])) == (1250, "MPa", 600)
    assert data.reports["Sample"].nunique() == 6  # what is no target is kept with the reports
    assert {"processing", "remark", "operator", "source"} <= set(data.reports)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("Test temperature (K)", [298.15, "1073.15", None]),
        ("T [K]", [298.15, 1073.15, ""]),
        ("temp_F", ["77", "1472", None]),
        ("Temperature (deg C)", [25, 800, None]),
        ("test_temperature_C", ["25", "800", ""]),
    ],
)
def test_temperatures_of_tests_are_read_on_any_scale(header, cells):
    rows = {"formula": ["CoCrFeNi", "AlCoCrFeNi", "NiTi"], "hardness": [150, 480, 250]}
    table = pd.DataFrame({**rows, header: cells})
    data = read_alloys(table)
    found = pd.to_numeric(data.reports["test_temperature_C"])
    np.testing.assert_allclose(found, [25, 800, np.nan])
    assert np.isnan(data.labels.loc["AlCoCrFeNi", "hardness"])  # hot
    converted = "converted to °C" in data.columns_report.loc[header, "reason"]
    assert converted == header.endswith(("K)", "K]", "F"))
    target = {"kind": "continuous", "conditions": {"Temperature (K)": 300}}
    declared = read_alloys(table, spec=ModelSpec(targets={"hardness": target}))
    np.testing.assert_allclose(
        pd.to_numeric(declared.reports["Temperature (K)"]), [298.15, 1073.15, np.nan]
    )


def test_cells_that_say_there_is_no_value_are_blank_and_counted():
    rows = {
        "formula": ["CoCrFeNi", "AlCoCrFeNi", "NiTi", "FeNi"],
        "hardness": ["150", "n/a", "-", "130"],
        "T (K)": [300, "N.A.", 300, 600],
        "operator": ["Ann", "Na", "Cy", "Di"],
    }
    data = read_alloys(pd.DataFrame(rows))
    assert data.labels["hardness"].dropna().to_dict() == {"CoCrFeNi": 150.0}  # Fe-Ni was hot
    assert data.reports["value"].tolist() == [150, 130]
    reasons = data.columns_report["reason"]
    assert reasons["hardness"] == "numbers; 2 cells as 'n/a' are blank"
    assert reasons["T (K)"].endswith("converted to °C; 1 cells as 'N.A.' are blank")
    declared = read_alloys(
        pd.DataFrame(rows), spec=ModelSpec(targets={"hardness": {"kind": "continuous"}})
    )
    assert declared.reports["value"].tolist() == [150, 130]


@pytest.mark.parametrize("spec", [None, ModelSpec()])
def test_yes_and_no_are_one_and_zero(spec):
    rows = {"formula": ["CoCrFeNi", "AlCoCrFeNi", "NiTi"], "single_phase": ["Yes", "no", None]}
    data = read_alloys(pd.DataFrame(rows), spec=spec)
    assert data.labels["single_phase"].tolist()[:2] == [1, 0]
    assert np.isnan(data.labels["single_phase"].iloc[2])


def test_phases_in_another_order_are_one_class():
    phases = ["BCC + B2", "B2+bcc", "BCC + B2", "FCC", "fcc", "FCC"]
    rows = pd.DataFrame({"formula": ["AlNi", "AlFe", "AlCo", "FeNi", "CoNi", "CuNi"], "p": phases})
    with pytest.warns(TableWarning, match=r"'B2\+bcc' as 'BCC \+ B2'"):
        data = read_alloys(rows)
    assert data.labels["p"].value_counts().to_dict() == {"BCC + B2": 3, "FCC": 3}


class TestBalance:
    ROWS = pd.DataFrame(
        {"Al (wt.%)": [6, 5], "V (wt.%)": [4, None], "Sn (wt.%)": [None, 2.5], "HV": [340, 330]}
    )

    def test_is_what_the_others_leave(self):
        found = read_alloys(self.ROWS.assign(**{"Ti (wt.%)": ["bal.", "Balance"]})).fractions
        expected = [{"Al": 6, "V": 4, "Ti": 90}, {"Al": 5, "Sn": 2.5, "Ti": 92.5}]
        for row, amounts in zip(found.to_dict("records"), expected, strict=True):
            fractions = parse_composition(amounts, unit="wt")
            assert row == pytest.approx({e: fractions.get(e, 0.0) for e in row})

    def test_of_dilute_alloys_is_of_a_hundred_if_the_header_says_so_and_told_if_not(self):
        amounts = {"Pd": [0.2, 0.1], "HV": [150, 140]}
        percent = pd.DataFrame(amounts).rename(columns={"Pd": "Pd (at.%)"}).assign(Ti="bal")
        assert read_alloys(percent).fractions["Pd"].tolist() == pytest.approx([0.002, 0.001])
        with pytest.warns(TableWarning, match="balances are taken to 1"):
            found = read_alloys(pd.DataFrame(amounts).assign(Ti="bal"))
        assert found.fractions["Pd"].tolist() == pytest.approx([0.2, 0.1])

    @pytest.mark.parametrize("ti", ["bal", 100])
    def test_of_nothing_or_of_two_elements_is_refused(self, ti):
        rows = self.ROWS.assign(**{"Ti (wt.%)": [90, ti], "Zr (wt.%)": [None, "bal"]})
        with pytest.raises(DataError, match="row 2: the balance has to be one element"):
            read_alloys(rows)


def test_a_temperature_below_absolute_zero_or_on_no_scale_is_told():
    rows = pd.DataFrame({"formula": ["CoCrFeNi", "NiTi"], "hardness": [150, 250]})
    with pytest.raises(
        DataError, match=r"'T \(°C\)', row 2: '-300' is below absolute zero, which is -273.15"
    ):
        read_alloys(rows.assign(**{"T (°C)": [25, -300]}))
    with pytest.warns(TableWarning, match=r"column 'Temperature' names no scale.* call it 'test"):
        data = read_alloys(rows.assign(Temperature=[298, 600]))
    assert data.columns_report.loc["Temperature", "role"] == "condition"


def test_columns_are_renamed_as_asked_and_a_wrong_name_is_refused():
    data = read_alloys(ROWS, columns={"Hardness (HV)": "indent", "formula": "composition"})
    assert "indent" in data.targets
    with pytest.raises(DataError, match=r"no column 'HV' to rename.* Columns: Sample, formula"):
        read_alloys(ROWS, columns={"HV": "hardness"})
    with pytest.raises(DataError, match="after renaming, two columns are called 'Phase'"):
        read_alloys(ROWS, columns={"remark": "Phase"})
    with pytest.raises(DataError, match="column 're-mark' and another are both the target 're_m"):
        read_alloys(ROWS.assign(**{"re mark": 1.0, "re-mark": 2.0}))


@pytest.mark.parametrize(("former", "unit"), [("HV", "HV"), ("Härte (HV)", "HV"), ("load", "")])
def test_a_renamed_column_keeps_the_unit_of_its_former_name(former, unit):
    rows = pd.DataFrame({"formula": ["CoNi", "FeNi"], former: [140.0, 160.0]})
    spec = ModelSpec.shipped("properties").with_(targets__hardness__unit="")
    for how in ({}, {"spec": spec}):
        data = read_alloys(rows, columns={former: "hardness"}, **how)
        assert data.columns_report.loc["hardness", "unit"] == unit
        assert set(data.reports["unit"]) == {unit}


def test_a_spec_says_what_the_targets_are_and_the_rest_is_kept_and_said():
    spec = ModelSpec.from_mapping(
        {"targets": {"phase": {"kind": "categorical", "classes": ["fcc", "bcc"]}}}
    )
    data = read_alloys(ROWS, spec=spec)
    assert data.targets == ("phase",)
    roles = data.columns_report["role"].to_dict()
    assert {name for name, role in roles.items() if role == "kept"} == set(ROWS) - {
        "formula",
        "Phase",
    }
    assert (
        data.columns_report.loc["Hardness (HV)", "reason"] == "no target or condition of the spec"
    )
    assert "Hardness (HV)" in data.reports


@pytest.mark.parametrize(
    ("header", "unit", "weights"),
    [
        ("{}", None, False),
        ("{} (at.%)", None, False),
        ("{} at%", None, False),
        ("{}", "wt", True),
        ("{} (wt.%)", None, True),
        ("{} [wt%]", "wt", True),
        ("{} (mass %)", None, True),
        ("{} (mol%)", "at", False),
        ("{} (%)", None, False),
        ("{}_wt", None, True),
        ("Wt.% {}", None, True),
        ("mass_fraction_{}", None, True),
        ("At.% {}", None, False),
        ("x_{}", None, False),
        ("X({})", None, False),
        ("%{}", None, False),
    ],
)
def test_fractions_are_read_from_columns_of_elements(header, unit, weights):
    rows = pd.DataFrame({header.format("Ti"): [90, 50], header.format("Al"): ["6", 50]})
    rows[header.format("V")] = [4, None]
    data = read_alloys(rows.assign(alloy=["x", "y"], No=[1, 2]), unit=unit)
    expected = parse_composition("Ti-6Al-4V", unit="wt" if weights else "at")
    assert data.fractions.iloc[0].to_dict() == pytest.approx(expected)
    assert set(data.columns_report["role"][:3]) == {"composition"}
    assert len(data) == 2


def test_a_word_that_begins_like_an_element_is_no_fraction():
    rows = pd.DataFrame({"formula": ["FeNi", "CoNi"], "Cat": [1.5, 2], "Iron": [3, 4.5]})
    rows = rows.assign(**{"Fe-Ni distance": [1, 2.5], "T (C)": [20.5, 30], "C2": [1, 2.5]})
    assert read_alloys(rows).targets == ("cat", "iron", "fe_ni_distance", "c2")


def test_formulas_in_weights_are_one_alloy_with_the_same_in_atoms():
    data = read_alloys(pd.DataFrame({"formula": ["Ti-6Al-4V"], "x": [1.5]}), unit="wt")
    assert data.fractions.iloc[0].to_dict() == pytest.approx(parse_composition("Ti-6Al-4V", "wt"))
    assert data.reports["reported_formula"].tolist() == ["Ti-6Al-4V"]
    assert parse_composition(data.formulas[0])["Al"] == pytest.approx(0.102, abs=1e-3)
    formulas = read_formulas(pd.DataFrame({"Ti": [90], "Al": [6], "V": [4]}), unit="wt")
    assert formulas == data.formulas


def test_columns_of_elements_beside_formulas_are_said_to_be_unused():
    rows = ROWS.assign(V=2.0, W=1.0)
    with pytest.warns(TableWarning, match="columns V, W, named like elements, are no fractions"):
        data = read_alloys(rows)
    assert data.elements == read_alloys(ROWS).elements


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ({"Fe (at.%)": [50], "Ni (wt.%)": [50]}, DataError, r"in at and wt\.%; give all of them"),
        ({"Fe": ["much"], "Ni": [1]}, DataError, r"column 'Fe', row 1: 'much' is no amount"),
        ({"Fe": [1, None], "Ni": [1, None]}, FormulaError, "Row 2: the amounts add up to 0"),
        ({"Fe": [-1], "Ni": [2]}, FormulaError, "Row 1: .* is negative"),
        ({"Fe": [1], "Fe (at.%)": [2]}, FormulaError, "'Fe' stands twice"),
        ({"x": [1]}, DataError, "no column 'formula' and none of an element.*Columns: x"),
        ({"formula": ["FeNi", "Xx"]}, FormulaError, "table: column 'formula': Row 2: 'Xx'"),
        ({"formula": ["FeNi"], "value": [1]}, DataError, r"'value' would hide .*columns=\{'value'"),
        (
            {"formula": ["FeNi"] * 3, "HV": ["200", "2OO", "210"]},
            DataError,
            "column 'HV', row 2: '2OO' is not a number, as 2 other cells are",
        ),
        ({"formula": ["Fe\0Ni"]}, DataError, r"row 1: 'Fe\\x00Ni' holds a NUL byte"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(rows, error, message):
    with pytest.raises(error, match=message):
        read_alloys(pd.DataFrame(rows))


def test_a_few_numbers_among_texts_are_classes_and_none_is_lost():
    rows = pd.DataFrame({"formula": ["FeNi", "CoNi", "NiTi"] * 2, "kind": ["a", "b", "1"] * 2})
    assert read_alloys(rows).reports["value"].tolist() == ["a", "b", "1"] * 2


@pytest.mark.parametrize("cell", ["0x10", "1_0", "٣", "1,5", "nan", "inf", "1e999", "--"])
def test_a_number_is_written_in_decimals(cell):
    rows = pd.DataFrame({"formula": ["FeNi", "CoNi", "NiTi"], "HV": ["200", "210", cell]})
    with pytest.raises(DataError, match=r"column 'HV', row 3: .* is not a number"):
        read_alloys(rows)


def test_rows_that_do_not_add_up_like_the_others_are_counted():
    rows = pd.DataFrame({"Fe": [50, 60, 40.0, 70], "Ni": [50, 40, 60.2, 20]})
    with pytest.warns(TableWarning, match=r"1 rows do not add up to 100.*\(row 4: 90\)"):
        read_alloys(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_alloys(rows.iloc[:3])
        read_alloys(pd.DataFrame({"Fe": [1, 2, 3], "Ni": [2, 2, 1]}))  # amounts of any scale


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("formula,x\nFe\0Ni,1\n", "line 2: .* NUL byte"),
        ("formula,x\nFeNi,5\x000\n", "line 2: .* NUL byte"),
        ("formula,x,x\nFeNi,1,2\n", "two columns are called 'x'"),
        ("formula,x, x \nFeNi,1,2\n", "two columns are called 'x'"),
        ("formula,formula\nFeNi,CoCr\n", "two columns are called 'formula'"),
        ("formula,x\nFeNi,1,2\n", "row 1: cannot be read as a table: 3 cells for 2 columns; quote"),
        ("formula,x\nFeNi,1\n\nFe,1,\n", "row 2: .* 3 cells for 2 columns"),
        ('formula,x\nFeNi,"1\n', "line 2: cannot be read as a table: unexpected end"),
        ("", "it is empty"),
        ("\n \n,,\n", "it is empty"),
        ("formula\n" + "x" * 200_000, "field larger than field limit"),
        (",".join(f"c{i}" for i in range(10**5)) + "\n", "100000 columns; at most 2000 are read"),
    ],
)
def test_a_faulty_csv_is_refused_by_name_and_at_once(tmp_path, text, message):
    (tmp_path / "mine.csv").write_bytes(text.encode())
    start = time.process_time()
    with pytest.raises(DataError, match=message) as caught:
        read_alloys(tmp_path / "mine.csv")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
    assert time.process_time() - start < 1


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "shift-jis"])
def test_another_encoding_is_refused_with_what_to_save(tmp_path, encoding):
    (tmp_path / "mine.csv").write_bytes("formula,Härte\nFeNi,1\n".encode(encoding, "replace"))
    if encoding == "shift-jis":
        (tmp_path / "mine.csv").write_bytes("formula,硬さ\nFeNi,1\n".encode(encoding))
    with pytest.raises(DataError, match=r"is not UTF-8; save it as .CSV UTF-8|NUL byte"):
        read_alloys(tmp_path / "mine.csv")


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".csv.gz", gzip.compress), (".csv.bz2", bz2.compress), (".csv.xz", lzma.compress)],
)
@pytest.mark.parametrize(
    "damage", [lambda b: b[:-8], lambda b: b"x" + b, lambda b: b[:20] + b"?" + b[21:]]
)
def test_a_damaged_compressed_file_is_refused(tmp_path, suffix, compress, damage):
    whole = compress(ROWS.to_csv(index=False).encode())
    (tmp_path / f"mine{suffix}").write_bytes(damage(whole))
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_alloys(tmp_path / f"mine{suffix}")


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
def test_a_damaged_binary_file_is_refused(tmp_path, suffix):
    path = written(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_alloys(path)


@pytest.mark.parametrize("suffix", [".xls", ".zip", ".tar", ".json"])
def test_another_kind_of_file_is_refused(tmp_path, suffix):
    (tmp_path / f"mine{suffix}").write_bytes(b"PK")
    with pytest.raises(DataError, match="save the table as CSV, Excel"):
        read_alloys(tmp_path / f"mine{suffix}")


def test_excel_without_openpyxl_says_what_to_install(tmp_path, monkeypatch):
    def excel_file(*args, **kwargs):
        raise ImportError("Missing optional dependency 'openpyxl'")

    monkeypatch.setattr(pd, "ExcelFile", excel_file)
    (tmp_path / "mine.xlsx").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"pyro-hea\[excel\]"):
        read_alloys(tmp_path / "mine.xlsx")


def test_further_sheets_and_names_that_excel_repeats_are_said(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "book.xlsx"
    with pd.ExcelWriter(path) as book:
        ROWS.to_excel(book, sheet_name="first", index=False)
        ROWS.to_excel(book, sheet_name="other", index=False)
    with pytest.warns(TableWarning, match="of the sheets first, other the first is read"):
        assert len(read_alloys(path)) == 6
    path = tmp_path / "twice.xlsx"
    pd.DataFrame([["formula", "x", "x"], ["FeNi", 1, 2]]).to_excel(path, index=False, header=False)
    with pytest.raises(DataError, match="two columns are called 'x'"):
        read_alloys(path)


def test_what_a_spreadsheet_leaves_around_a_table_is_no_matter(tmp_path):
    text = "\n,,,\n,formula,HV,\n0,FeNi,140,\n\n1,CoCrFeNi,150,\n,,,\n"
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
    data = read_alloys(tmp_path / "mine.csv")
    assert data.formulas == ["FeNi", "CoCrFeNi"]
    assert data.columns_report["role"].to_dict() == {
        "column 1": "kept",
        "formula": "composition",
        "HV": "target",
    }


def test_a_frame_is_not_changed_and_its_named_index_is_a_column():
    before = ROWS.copy()
    indexed = read_alloys(ROWS.set_index("formula"))
    pd.testing.assert_frame_equal(ROWS, before)
    pd.testing.assert_frame_equal(indexed.labels, read_alloys(ROWS).labels)


def test_a_balance_in_a_column_of_formulas_warns_once_a_row():
    with pytest.warns(FormulaWarning, match="pass unit='wt'"):
        read_alloys(pd.DataFrame({"formula": ["Ti-6Al-4V"] * 3, "x": [1.5, 2, 3]}))


def test_ten_thousand_rows_take_little_time():
    rng = np.random.default_rng(0)
    amounts = pd.DataFrame(rng.integers(1, 50, (10_000, 4)), columns=["Co", "Cr", "Fe", "Ni"])
    rows = amounts.assign(hardness=rng.normal(300, 20, 10_000))
    start = time.process_time()
    assert len(read_alloys(rows).reports) == 10_000
    assert time.process_time() - start < 5


def test_a_range_of_values_is_told_its_middle():
    rows = {"formula": ["CoCrFeNi", "Al", "Ni"], "hardness": ["350-400", "5", "6"]}
    with pytest.raises(DataError, match=r"write a number, as the middle of the range, 375, or"):
        read_alloys(pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("header", "name", "unit"),
    [
        ("Härte (HV)", "harte", "HV"),
        ("σ0.2 [MPa]", "sigma_0_2", "MPa"),
        ("ΔH/GPa", "delta_h", "GPa"),
        ("HV0.5", "hv0_5", "HV"),
        ("Hardness, HV", "hardness", "HV"),
    ],
)
def test_a_header_becomes_a_plain_name_and_a_unit(header, name, unit):
    data = read_alloys(pd.DataFrame({"formula": ["CoCrFeNi", "Al", "Ni"], header: [350, 5, 6]}))
    assert tuple(data.columns_report.loc[header, ["name", "unit"]]) == (name, unit)


@pytest.mark.parametrize(("cell", "write"), [("20 °C", "20"), ("RT", "one")])
def test_a_condition_with_its_unit_in_the_cell_is_told_what_to_write(cell, write):
    rows = {"formula": ["CoCrFeNi", "Al"], "hardness": [350, 5], "test_temperature_C": [25, cell]}
    with pytest.raises(DataError, match=rf"is '{cell}', which is no number; write {write}, or"):
        read_alloys(pd.DataFrame(rows))


@pytest.mark.parametrize("cells", [["~500", "500±20", ">510"], ["500 HV", "510 HV", "520 HV"]])
def test_a_column_of_numbers_with_more_in_their_cells_is_told(cells):
    rows = {"formula": ["CoCrFeNi", "Al", "Ni"], "hardness": cells, "single_phase": [1, 0, 1]}
    message = re.escape("column 'hardness' is no target, since 3 of its 3 cells are no plain")
    with pytest.warns(TableWarning, match=message):
        data = read_alloys(pd.DataFrame(rows))
    assert "hardness" not in data.labels


def test_other_text_is_kept_without_a_word():
    rows = {"formula": ["CoCrFeNi", "Al", "Ni"], "single_phase": [1, 0, 1]}
    read_alloys(pd.DataFrame(rows | {"where": ["10.1016/j.a.2021", "12 Main Street", "a"]}))
