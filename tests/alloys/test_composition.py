import math
import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_hea import load_alloys
from pyro_hea.errors import DataError, FormulaError, FormulaWarning, UnknownElementError
from pyro_hea.materials.alloys.amounts import parse_composition
from pyro_hea.materials.alloys.composition import (
    SYMBOLS,
    _format,
    format_formula,
    fraction_table,
)
from pyro_hea.materials.alloys.element_tables import PROPERTY_UNITS, load_tables

AMOUNTS = st.dictionaries(
    st.sampled_from(sorted(SYMBOLS)),
    st.one_of(
        st.sampled_from([0.1, 0.2, 0.5, 1.0, 1.5, 2.0]),
        st.floats(1e-3, 1e3, allow_nan=False),
        st.integers(1, 200).map(lambda n: n / 2),
    ),
    min_size=1,
    max_size=9,
)


class TestParse:
    @pytest.mark.parametrize(
        ("alloy", "expected"),
        [
            ("NiTi", {"Ni": 0.5, "Ti": 0.5}),
            ("Al0.5CoCrFeNi", {"Al": 1 / 9, "Co": 2 / 9, "Cr": 2 / 9, "Fe": 2 / 9, "Ni": 2 / 9}),
            ("  Ni3 Al\n", {"Al": 0.25, "Ni": 0.75}),
            ("Fe.5Co1.Ni1e-1", {"Co": 10 / 16, "Fe": 5 / 16, "Ni": 1 / 16}),
            ("FeNiFe", {"Fe": 2 / 3, "Ni": 1 / 3}),
            ("AlCoCrFeMo0Ni", dict.fromkeys(["Al", "Co", "Cr", "Fe", "Ni"], 0.2)),
            ("((CoFe)2Al)3Ni", {"Al": 3 / 16, "Co": 6 / 16, "Fe": 6 / 16, "Ni": 1 / 16}),
            ({"Ti": 30, "Ni": 10, "Cr": 0}, {"Ni": 0.25, "Ti": 0.75}),
            ({"Ni": np.float32(1), "Ti": np.int64(1)}, {"Ni": 0.5, "Ti": 0.5}),
            ("NNa", {"N": 0.5, "Na": 0.5}),
        ],
    )
    def test_gives_fractions_in_alphabetical_order(self, alloy, expected):
        parsed = parse_composition(alloy)
        assert list(parsed) == sorted(expected)
        assert parsed == pytest.approx(expected, rel=1e-12)

    def test_bracket_multiplies_each_amount_inside_it(self):
        with pytest.warns(FormulaWarning, match=r"counts 380 in all; .* 95 in all, write 23\.75"):
            parsed = parse_composition("(CoCrFeNi)95Al5")
        assert parsed["Al"] == pytest.approx(5 / 385)
        assert parse_composition("(CoCrFeNi)23.75Al5")["Al"] == pytest.approx(0.05)

    @pytest.mark.parametrize(
        "formula", ["(CoCrFeNi)2Al5", "Al0.348CoCrFeNi", "((CoFe)2Al)3", "HfNbTaTiZr", "Fe1e-3Co"]
    )
    def test_agrees_with_pymatgen_on_plain_formulas(self, formula):
        composition = pytest.importorskip("pymatgen.core").Composition(formula)
        expected = composition.fractional_composition.get_el_amt_dict()
        assert parse_composition(formula) == pytest.approx(expected)
        assert parse_composition(composition) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("alloy", "message"),
        [
            ("XxFe2", "'Xx' in 'XxFe2' is not an element"),
            ("AlSu", "'Su' in 'AlSu' is not an element"),
            ("D2O", "'D' in 'D2O' is not an element"),
            ({"ni": 1}, r"'ni' in \{'ni': 1\} is not an element. Did you mean 'Ni'\?"),
            ({"Fe2+": 1}, r"'Fe2\+' in .* is not an element"),
            ({26: 1}, "'26' in .* is not an element"),
        ],
    )
    def test_refuses_what_is_no_element(self, alloy, message):
        with pytest.raises(UnknownElementError, match=message):
            parse_composition(alloy)

    def test_refuses_species_of_pymatgen(self):
        core = pytest.importorskip("pymatgen.core")
        for composition in (core.Composition({"Fe2+": 1}), core.Composition("QFe")):
            with pytest.raises(UnknownElementError, match="is not an element"):
                parse_composition(composition)

    @pytest.mark.parametrize(
        ("alloy", "message"),
        [
            ("", r"missing \(it is ''\)"),
            ("  ", "missing"),
            ("NaN", r"missing \(it is 'NaN'\).*'NNa'"),
            (" nan ", "missing"),
            ("None", "missing"),
            (math.nan, r"missing \(it is nan\)"),
            (np.float64("nan"), "missing"),
            (None, r"missing \(it is None\)"),
            (pd.NA, r"missing \(it is <NA>\)"),
            ("cocrfeni", r"'cocrfeni' cannot be read at 'cocrfeni' \(character 1\).*Write element"),
            ("Al0.5.2Fe", "'Al0.5.2Fe' cannot be read"),
            ("Fe3+", "cannot be read"),
            ("Fe+2", "cannot be read"),
            ("CoFe@", "cannot be read at '@'"),
            ("Al-Fe", "cannot be read"),
            ("Fe,Co", "cannot be read at ',Co'"),
            ("Al50%Fe", "cannot be read at '%Fe'"),
            ("Feinf", "cannot be read"),
            ("CoFe)2", "cannot be read"),
            ("(CoFe", "cannot be read"),
            ("CoFe()", "cannot be read"),
            ("12", "cannot be read"),
            ("Al-0.5FeCo", r"amount in 'Al-0.5FeCo' is negative \(-0.5, character 3\)"),
            ("Al1e999Fe", "too large"),
            ("Al0Fe0.0", "'Al0Fe0.0' holds no atoms"),
            ("Al1e308Fe1e308", "too large to add up"),
            ({}, "holds no atoms"),
            ({"Fe": -1.0}, "'Fe' in .* is negative"),
            ({"Fe": math.inf}, "'Fe' in .* is infinite"),
            ({"Fe": math.nan}, "'Fe' in .* is missing"),
            ({"Fe": "1"}, "is no number: '1'"),
            ({"Fe": None}, "is no number: None"),
            (3.5, r"not float \(3.5\)"),
            (b"FeNi", "not bytes"),
        ],
    )
    def test_refuses_what_is_no_composition(self, alloy, message):
        with pytest.raises(FormulaError, match=message):
            parse_composition(alloy)


class TestFormat:
    @pytest.mark.parametrize(
        ("fractions", "formula"),
        [
            (dict.fromkeys(["Ni", "Fe", "Cr", "Co"], 0.25), "CoCrFeNi"),
            ("NiFeCrCoAl.5", "Al0.5CoCrFeNi"),
            ({"Al": 0.1, "Co": 0.3, "Ni": 0.3, "Ti": 0.3}, "Al10Co30Ni30Ti30"),
            ("NiTi3", "Ni25Ti75"),
            ({"Al": 0.085, "Co": 0.235, "Cr": 0.245, "Ni": 0.435}, "Al8.5Co23.5Cr24.5Ni43.5"),
            ({"Cu": 0.2, "Ni": 0.8}, "Cu0.25Ni"),
            ({"Fe": 7}, "Fe"),
            ("AlCo0.667Cr0.667", "Al1.49925CoCr"),
        ],
    )
    def test_spells_as_documented(self, fractions, formula):
        assert format_formula(fractions) == formula

    @given(AMOUNTS)
    def test_reads_back_as_the_same_fractions(self, amounts):
        before, after = (parse_composition(a) for a in (amounts, format_formula(amounts)))
        assert after == pytest.approx(before, abs=1e-5)

    @given(AMOUNTS)
    def test_is_spelled_as_itself(self, amounts):
        formula = format_formula(amounts)
        assert format_formula(formula) == formula

    @given(AMOUNTS, st.randoms(), st.sampled_from([0.125, 3.0, 100.0]))
    def test_order_and_scale_of_the_amounts_do_not_matter(self, amounts, random, scale):
        shuffled = random.sample(list(amounts.items()), len(amounts))
        moved = parse_composition({element: scale * amount for element, amount in shuffled})
        assert moved == pytest.approx(parse_composition(amounts), rel=1e-12)
        assert list(moved) == sorted(amounts)


class TestFractionTable:
    def test_keeps_the_callers_spelling_and_spells_the_rest(self):
        table = fraction_table(["NiTi", {"Ti": 3, "Ni": 1}, "Fe50Ni50"])
        assert table.index.name == "formula"
        assert list(table.index) == ["NiTi", "Ni25Ti75", "Fe50Ni50"]
        assert list(table.columns) == ["Fe", "Ni", "Ti"]
        assert table.to_numpy() == pytest.approx(
            np.array([[0, 0.5, 0.5], [0, 0.25, 0.75], [0.5, 0.5, 0]])
        )

    @pytest.mark.parametrize("alloy", ["NiTi", {"Ni": 1, "Ti": 1}])
    def test_takes_one_alloy(self, alloy):
        assert fraction_table(alloy).to_dict("index") == {"NiTi": {"Ni": 0.5, "Ti": 0.5}}

    def test_takes_a_series_a_generator_and_nothing(self):
        assert fraction_table(pd.Series(["NiTi"])).shape == (1, 2)
        assert fraction_table(f for f in ("NiTi", "Fe")).shape == (2, 3)
        assert fraction_table([], elements=["Fe"]).shape == (0, 1)

    def test_has_the_columns_asked_for(self):
        table = fraction_table(["NiTi0"], elements=["Ni", "Co"])
        assert list(table.columns) == ["Ni", "Co"]
        assert table.to_numpy().tolist() == [[1.0, 0.0]]

    def test_normalises_a_table_of_amounts(self):
        table = fraction_table(pd.DataFrame({"Ti": [30, 1], "Ni": [70, 0], "Co": [0, 0]}))
        assert table.to_dict("index") == {
            "Ni70Ti30": {"Ni": 0.7, "Ti": 0.3},
            "Ti": {"Ni": 0.0, "Ti": 1.0},
        }

    def test_reads_its_own_result_as_itself(self):
        table = fraction_table(["TiNi", "Fe2Co"])
        pd.testing.assert_frame_equal(fraction_table(table), table)

    @pytest.mark.parametrize(
        ("alloys", "elements", "error", "message"),
        [
            (["NiTi", "NiXx"], None, UnknownElementError, "Row 2: 'Xx' in 'NiXx' is not"),
            (["NiTi", math.nan], None, FormulaError, "Row 2: .*missing"),
            (["NiTi", "FeNi"], ["Ni", "Ti"], UnknownElementError, "Row 2: 'Fe' in 'FeNi' is out"),
            (5, None, FormulaError, "not int"),
            ([5], None, FormulaError, "Row 1: .*not int"),
            (["Ni"], ["Ni", "Ni"], FormulaError, "'Ni' stands twice"),
        ],
    )
    def test_names_the_row_it_refuses(self, alloys, elements, error, message):
        with pytest.raises(error, match=message):
            fraction_table(alloys, elements)

    @pytest.mark.parametrize(
        ("columns", "error", "message"),
        [
            ({"ni": [1]}, UnknownElementError, "Column 'ni' is not an element. Did you mean 'Ni'"),
            ({"Ni": [1], "hardness": [300]}, UnknownElementError, "Column 'hardness' is not"),
            ({"Ni": [1, np.nan]}, FormulaError, "Row 2: .*'Ni' .* is missing .*Write 0"),
            ({"Ni": [1], "Ti": [-1]}, FormulaError, "Row 1: .*'Ti' .* is negative"),
            ({"Ni": [1, 0]}, FormulaError, "Row 2: the amounts add up to 0"),
            ({"Ni": ["much"]}, FormulaError, "numbers only"),
        ],
    )
    def test_names_the_fault_of_a_table(self, columns, error, message):
        with pytest.raises(error, match=message):
            fraction_table(pd.DataFrame(columns))

    def test_names_the_row_of_a_table_with_an_element_outside(self):
        table = pd.DataFrame({"Ni": [1, 1], "Ti": [0, 1]})
        with pytest.raises(UnknownElementError, match="Row 2: 'Ti' in 'NiTi' is outside"):
            fraction_table(table, elements=["Ni"])

    def test_reads_a_whole_literature_table_in_half_a_second(self):
        formulas = [f"Al{i / 1000}CoCrCu0.5FeMnNiTi" for i in range(1400)]
        start = time.process_time()
        fraction_table(formulas)
        assert time.process_time() - start < 0.5


class TestTables:
    def test_field_tables_cover_seventy_elements(self):
        tables = load_tables("field")
        assert len(tables.elements) >= 70
        assert set(tables.elements) <= SYMBOLS
        assert list(tables.properties.columns) == list(PROPERTY_UNITS)

    def test_published_tables_have_the_thirty_elements_and_no_density(self):
        tables = load_tables("published")
        assert len(tables.elements) == 30
        assert list(tables.properties.columns) == list(PROPERTY_UNITS)[:6]

    @pytest.mark.parametrize("name", ["field", "published"])
    def test_pairs_are_symmetric_and_complete(self, name):
        tables = load_tables(name)
        enthalpy = tables.mixing_enthalpy.to_numpy()
        assert list(tables.properties.index) == list(tables.elements) == sorted(tables.elements)
        assert list(tables.mixing_enthalpy.index) == list(tables.elements)
        assert list(tables.mixing_enthalpy.columns) == list(tables.elements)
        assert np.array_equal(enthalpy, enthalpy.T)
        assert not np.diag(enthalpy).any()
        assert np.isfinite(enthalpy).all()
        assert tables.properties.notna().all(axis=None)

    @pytest.mark.parametrize(
        ("name", "a", "b", "expected"),
        [
            ("field", "Al", "Fe", -11),
            ("field", "Fe", "Ti", -17),
            ("field", "Ni", "Al", -22),
            ("field", "Cu", "Fe", 13),
            ("published", "Fe", "Al", -32.1),
            ("published", "Fe", "Ti", -25.1),
        ],
    )
    def test_mixing_enthalpy(self, name, a, b, expected):
        assert load_tables(name).mixing_enthalpy.loc[a, b] == pytest.approx(expected, abs=0.05)

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("field", {"W": 6, "Ta": 5, "Hf": 4, "Re": 7, "Al": 3, "Sn": 4, "Zn": 12, "La": 3}),
            ("published", {"W": 20, "Ta": 19, "Hf": 18, "Re": 21, "Al": 3, "Sn": 14, "Zn": 12}),
        ],
    )
    def test_valence_electron_concentration(self, name, expected):
        column = load_tables(name).properties["valence_electron_concentration"]
        assert column[list(expected)].to_dict() == expected

    def test_tables_are_shared_and_cannot_be_written(self):
        tables = load_tables("field")
        assert load_tables("field") is tables
        for frame in (tables.properties, tables.mixing_enthalpy):
            with pytest.raises(ValueError, match="read-only"):
                frame.iloc[0, 0] = 1.0

    def test_unknown_tables_are_refused(self):
        with pytest.raises(DataError, match=r"'feild'.*'field', 'published'.*mean 'field'"):
            load_tables("feild")


def test_import_loads_nothing_heavy():
    code = (
        "import sys; import pyro_hea.materials.alloys.composition; "
        "print({'torch', 'pyro', 'pymatgen'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_percentages_of_many_elements_do_not_drift(monkeypatch):
    calls = []

    def counted(*fractions, **how):
        calls.append(how)
        return _format(*fractions, **how)

    monkeypatch.setattr("pyro_hea.materials.alloys.composition._format", counted)
    amounts = np.random.default_rng(115).dirichlet(np.ones(30))  # drifted for 748 repetitions
    elements = load_alloys("zeng2024").fractions.columns
    formula = format_formula(dict(zip(elements, amounts, strict=True)))
    assert len(calls) < 40
    assert format_formula(formula) == formula
    read = parse_composition(formula, "at")
    assert [read[e] for e in elements] == pytest.approx(amounts, abs=1e-5)


@pytest.mark.parametrize(
    ("formula", "end", "unit"),
    [
        ("Fe-20Cr-10Ni (wt.%)", "(wt.%)", "wt"),
        ("Ni–20Cr wt%", "wt%", "wt"),
        ("Fe50Mn30Co10Cr10 [at %]", "[at %]", "at"),
        ("FeNi %at.", "%at.", "at"),
    ],
)
def test_a_unit_in_a_formula_is_told_apart_from_an_amount(formula, end, unit):
    with pytest.raises(FormulaError, match=re.escape(f"leave '{end}' out and say unit='{unit}'")):
        format_formula(formula)


def test_every_row_that_cannot_be_read_is_named():
    with pytest.raises(FormulaError, match=r"Row 2: .* Nor can the rows 4, 5 be read\."):
        fraction_table(["CoCrFeNi", "Co2x", "Al", "Fe-", "(Ni"])
    with pytest.raises(UnknownElementError, match=r"Row 1: .*'Xx'.*[^d]\.$"):
        fraction_table(["Xx", "Al"])
