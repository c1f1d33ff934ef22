"""The grammar of formulas: what it derives, what it refuses and where, and how long it takes."""

import string
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_hea.errors import DataError, FormulaError, FormulaWarning, UnknownElementError
from pyro_hea.materials.alloys.amounts import parse_composition
from pyro_hea.materials.alloys.composition import format_formula, fraction_table
from pyro_hea.materials.alloys.formula import MAX_LENGTH, SYMBOLS

# Each text led the earlier reader to another exception than a FormulaError, to a formula that
# could not be read back, or to a composition that was not written.
REFUSED = [
    ("U-10.001.001FeNbMoTaW", 1),
    ("(Fe64.9Niinf35.1)-1..", 9),
    ("1.532+iN-9.10.0eF", 0),
    ("Co-.Cr", 2),
    ("Co-1.2.3Cr", 2),
    ("SFre0", 3),
    ("CNdm0", 3),
    ("Fe 2 3", 5),
    ("C o", 2),
    ("(W)1e999", 3),
    ("Fe\0Ni", 2),
    ("Al0.5.2Fe", 5),
    ("CoFe)2", 4),
    ("(CoFe", 0),
    ("(Co(Fe)", 0),
    ("CoFe()", 5),
    ("(2CoFe)", 1),
    ("Fe3+", 3),
    ("Fe1e", 3),
    ("Al50%Fe", 4),
    ("FeNi²", 4),
    ("Ti-60Al-40V", 2),
    ("Ti-6Al-4Al", 8),
    ("Ti-6Al-0V", 8),
    ("U-0Fe", 3),
    ("U-0FeNi", 1),
]


@pytest.mark.parametrize(("text", "position"), REFUSED)
def test_what_the_grammar_does_not_derive_is_refused_at_its_position(text, position):
    with pytest.raises(FormulaError, match=rf"character {position + 1}\b|in all leave") as caught:
        parse_composition(text)
    assert abs(caught.value.position - position) <= 1
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["NbMo1e308W", "Fe1e11NiSr", "Ni0.000000001Al", "Fe(W)1e22"])
def test_an_amount_too_small_to_be_named_is_refused(text):
    with pytest.raises(FormulaError, match="a formula names no fraction below 1e-08"):
        parse_composition(text)


def test_small_amounts_in_a_mapping_are_kept_and_left_out_of_its_formula():
    fractions = parse_composition({"Ni": 1.0, "Al": 1e-12})
    assert fractions["Al"] == pytest.approx(1e-12)
    assert format_formula(fractions) == "Ni"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Al₀.₅CoCrFeNi", "Al0.5CoCrFeNi"),
        ("Ni₃Al", "Ni3Al"),
        (" Ni 3 Al ", "Ni3Al"),
        ("(W)1e22", "W"),
        ("Fe1.e+1Ni10", "FeNi"),
        ("((((Fe))))2Ni2", "FeNi"),
    ],
)
def test_is_read_as_its_plain_spelling(text, plain):
    assert parse_composition(text) == parse_composition(plain)


@pytest.mark.parametrize(
    "text", ["Ti-6Al-4V", "Ti–6Al–4V", "Ti\u20116Al\u20114V", " Ti-6.0Al-4V\n"]
)
def test_the_first_element_of_a_balance_makes_up_the_rest(text):
    atoms = parse_composition(text, unit="at")
    assert atoms == pytest.approx({"Al": 0.06, "Ti": 0.9, "V": 0.04})
    weights = parse_composition(text, unit="wt")
    moles = {"Ti": 90 / 47.867, "Al": 6 / 26.9815, "V": 4 / 50.9415}  # IUPAC atomic masses
    expected = {element: n / sum(moles.values()) for element, n in moles.items()}
    assert weights == pytest.approx(expected, rel=1e-4)


def test_a_balance_without_its_unit_warns_that_it_is_read_in_atomic_percent():
    message = r"'Ti-6Al-4V' is read in atomic percent \(Ti 90, Al 6, V 4\); pass unit='wt'"
    with pytest.warns(FormulaWarning, match=message):
        assert parse_composition("Ti-6Al-4V")["Ti"] == pytest.approx(0.9)


def test_weights_are_converted_for_formulas_mappings_and_tables():
    expected = parse_composition("Fe70Ni30", unit="wt")
    assert expected["Ni"] == pytest.approx(30 / 58.6934 / (30 / 58.6934 + 70 / 55.845), rel=1e-4)
    assert parse_composition({"Fe": 0.7, "Ni": 0.3}, unit="wt") == pytest.approx(expected)
    table = fraction_table(["Fe70Ni30"], unit="wt")
    assert table.iloc[0].to_dict() == pytest.approx(expected)
    again = fraction_table(table.assign(Fe=70.0, Ni=30.0), unit="wt")
    assert again.iloc[0].to_dict() == pytest.approx(expected)


def test_weights_of_an_element_without_a_mass_and_another_unit_are_refused():
    with pytest.raises(UnknownElementError, match="'Og' has no atomic mass in the tables"):
        parse_composition("OgFe", unit="wt")
    with pytest.raises(DataError, match="unit is 'mol'; allowed: 'at'"):
        parse_composition("Fe", unit="mol")


@pytest.mark.parametrize(
    ("text", "warns"),
    [
        ("(CoCrFeNi)95Al5", True),
        ("(CoCrFeNi)0.95Al0.05", True),
        ("(CoCr)40(FeNiAl)60", True),
        ("(Fe0.5Ni0.5)95Al5", False),  # both readings agree
        ("(CoCr)50(FeNi)50", False),
        ("(CoCrFeNi)23.75Al5", False),
        ("((CoFe)2Al)3Ni", False),
        ("(NiTi)100", False),
    ],
)
def test_a_group_that_may_share_its_percentage_warns(text, warns):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parse_composition(text)
    assert [w.category for w in caught] == [FormulaWarning] * warns


LONG = {
    "symbols": "Fe" * 500_000,
    "brackets": "(" * 200_000,
    "digits": "1" * 10**6,
    "spaces": "Fe" + " " * 10**6,
    "hyphens": "-" * 10**6,
    "longest": "Fe" * (MAX_LENGTH // 2),
    "longest amount": "Fe" + "9" * 9000,
    "longest balance": "Ti" + "-1Al" * 2000,
    "deepest": "(" * 4000 + "Fe" + ")2" * 1500,
}


@pytest.mark.parametrize("text", LONG.values(), ids=list(LONG))
def test_time_and_message_are_bounded(text):
    start = time.process_time()
    message = refusal(text)
    assert time.process_time() - start < 1
    assert len(message) < 300


def refusal(text: str) -> str:
    """The message with which a formula is refused, empty where it is read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FormulaWarning)
        try:
            parse_composition(text)
        except FormulaError as error:
            return str(error)
    return ""


def test_messages_of_mappings_are_bounded():
    for alloy in ({"X" * 10**6: 1}, {"Fe": "1" * 10**6}, dict.fromkeys(SYMBOLS, -1.0)):
        with pytest.raises(FormulaError) as caught:
            parse_composition(alloy)
        assert len(str(caught.value)) < 400


@given(
    st.text("".join(sorted(SYMBOLS)) + "()0123456789.e+-" + "₂ \t", max_size=12)
    | st.lists(
        st.sampled_from(sorted(SYMBOLS)[:9])
        | st.sampled_from(["(", ")", "2", "0.5", "-", "1e9", " ", ".", "0"]),
        max_size=10,
    ).map("".join)
    | st.text(string.printable, max_size=8)
)
def test_any_text_is_refused_by_name_or_round_trips(text):
    if message := refusal(text):
        assert len(message) < 300
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FormulaWarning)
        fractions = parse_composition(text)
    assert sum(fractions.values()) == pytest.approx(1)
    formula = format_formula(fractions)
    again = parse_composition(formula)
    for element in {*fractions, *again}:
        assert again.get(element, 0) == pytest.approx(fractions.get(element, 0), abs=1e-5)
    assert format_formula(formula) == formula
