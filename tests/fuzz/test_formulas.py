"""Any text as a formula: refused by name, or read as an independent reading of the grammar does.

A few cases run with the tests; `make fuzz CASES=1000000` runs many.
"""

import json
import os
import random
import re
import warnings
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from pyro_hea.errors import FormulaError, FormulaWarning, UnknownElementError
from pyro_hea.materials.alloys.amounts import parse_composition
from pyro_hea.materials.alloys.composition import format_formula
from pyro_hea.materials.alloys.formula import LEAST_FRACTION, SYMBOLS

from .limits import in_time

CASES = int(os.environ.get("CASES", "300"))
SECONDS = 1.0
"""That no case may take."""

CORPUS = json.loads((Path(__file__).parent / "corpus" / "formulas.json").read_text("utf-8"))
"""Every text that an earlier reader got wrong."""

fuzz = settings(
    max_examples=min(CASES, 10_000),  # more are drawn by `test_many_formulas`, in less time
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=CASES <= 1000,
    database=None,
)

COMMON = ["Al", "Co", "Fe", "Ni", "Ti"]
ELEMENTS = [*sorted(SYMBOLS), *COMMON * 20]
AMOUNTS = ["", "", "2", "0.5", "25", ".5", "1.", "1e-3", "12e0", "0", "0.333333"]
PIECES = [
    *"()+-.eE0123456789 [],%@\t\0₂−²é",
    *("e9", "1e308", "1e-320", "inf", "nan", "NaN", "Xx"),
]

elements = st.sampled_from(sorted(SYMBOLS)) | st.sampled_from(COMMON)
amounts = st.sampled_from(AMOUNTS)
terms = st.recursive(
    st.tuples(elements, amounts).map("".join),
    lambda inner: st.tuples(
        st.just("("), st.lists(inner, min_size=1, max_size=3).map("".join), st.just(")"), amounts
    ).map("".join),
    max_leaves=8,
)
formulas = st.lists(terms, min_size=1, max_size=6).map("".join)
balances = st.tuples(
    elements, st.lists(st.tuples(amounts, elements).map("".join), min_size=1, max_size=4)
).map(lambda parts: "-".join([parts[0], *parts[1]]))
pieces = st.sampled_from(PIECES)


@st.composite
def mutated(draw):
    """A formula with some pieces cut out, doubled or put in."""
    text = draw(formulas | balances | st.sampled_from(CORPUS))
    for _ in range(draw(st.integers(0, 3))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 4))
        piece = draw(pieces | st.just("") | st.text(max_size=2) | st.just(text[at : at + 3] * 2))
        text = text[:at] + piece + text[at + length :]
    return text


def exact(text: str) -> dict[str, Fraction] | None:
    """Amounts of a formula by the grammar, in exact numbers; None for other text."""
    table = {ord(c): str(i) for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")}
    plain = text.translate(table | dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-"))
    number = r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
    if re.fullmatch(rf"[A-Z][a-z]?(?:-{number}[A-Z][a-z]?)+", plain.strip(), re.ASCII):
        base, *rest = plain.strip().split("-") if "e-" not in plain else [None]
        if base is None:
            return {}  # an exponent in a balance; left to the other checks
        found = {re.sub(number, "", t): Fraction(re.match(number, t)[0]) for t in rest}
        short = len(found) < len(rest) or base in found or 0 in found.values()
        short = short or not {base, *found} <= SYMBOLS
        total = sum(found.values())
        return None if short or total >= 100 else {base: 100 - total, **found}
    tokens = re.findall(rf"\s+|[A-Z][a-z]?|[()]|{number}|.", plain, re.ASCII | re.DOTALL)
    amounts, rest = _terms(
        [token for token in tokens if token.strip() or not token.isspace()], number
    )
    return amounts if not rest and amounts else None


def _terms(tokens: list[str], number: str) -> tuple[dict[str, Fraction], list[str]]:
    found: dict[str, Fraction] = {}
    while tokens:
        if tokens[0] == "(":
            inner, tokens = _terms(tokens[1:], number)
            if not inner or tokens[:1] != [")"]:
                return {}, ["fault"]
        elif tokens[0] in SYMBOLS:
            inner = {tokens[0]: Fraction(1)}
        else:
            break
        tokens = tokens[1:]
        times = Fraction(1)
        if tokens and re.fullmatch(number, tokens[0], re.ASCII):
            times, tokens = Fraction(tokens[0]), tokens[1:]
        for element, amount in inner.items():
            found[element] = found.get(element, Fraction(0)) + amount * times
    return found, tokens


def check(text: str) -> None:
    """Refuse text by name and in no time, or agree with the exact reading and round-trip."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FormulaWarning)
        found, message = in_time(lambda: parse_composition(text), FormulaError, SECONDS)
    amounts = exact(text) if len(text) < 200 and "e" not in re.sub("[A-Z][a-z]?", "", text) else {}
    if found is None:
        assert len(message) < 500
        if (
            amounts and sum(amounts.values()) > 0 and text.strip() != "NaN"
        ):  # derived, so refused for its amounts only
            smallest = min(a for a in amounts.values() if a) / sum(amounts.values())
            assert smallest < LEAST_FRACTION * 1.001
        return
    if amounts != {}:
        assert amounts is not None, f"{text!r} is not derived but read as {found}"
        total = sum(amounts.values())
        expected = {element: float(a / total) for element, a in amounts.items() if a}
        assert found == pytest.approx(expected, rel=1e-9)
    formula = format_formula(found)
    again = parse_composition(formula, "at")
    for element in {*found, *again}:
        assert abs(again.get(element, 0.0) - found.get(element, 0.0)) < 1e-5
    assert format_formula(formula) == formula


def random_formula(rng: random.Random) -> str:
    """Terms in brackets or a balance, and some pieces cut out, doubled or put in."""
    terms = [rng.choice(ELEMENTS) + rng.choice(AMOUNTS) for _ in range(rng.randint(1, 7))]
    for _ in range(rng.randint(0, 2)):
        at, to = sorted(rng.choices(range(len(terms) + 1), k=2))
        terms[at:to] = ["(" + "".join(terms[at:to]) + ")" + rng.choice(AMOUNTS)]
    text = "".join(terms)
    if rng.random() < 0.2:
        text = rng.choice(ELEMENTS) + "".join(
            f"-{rng.choice(AMOUNTS)}{rng.choice(ELEMENTS)}" for _ in range(rng.randint(1, 5))
        )
    elif rng.random() < 0.2:
        text = rng.choice(CORPUS)
    for _ in range(rng.choice([0, 1, 1, 2, 3, 5])):
        at, length = rng.randint(0, len(text)), rng.randint(0, 4)
        piece = rng.choice([rng.choice(PIECES), chr(rng.randrange(1, 0x3000)), text[at : at + 3]])
        text = text[:at] + piece + text[at + length :]
    return text


def test_many_formulas():
    for number in range(CASES):
        check(random_formula(random.Random(number)))


@fuzz
@given(mutated())
def test_mutated_formulas(text):
    check(text)


@fuzz
@given(st.text(max_size=12) | st.lists(pieces | elements, max_size=12).map("".join))
@example("")
def test_any_text(text):
    check(text)


@pytest.mark.parametrize("text", CORPUS, ids=ascii)
def test_corpus(text):
    check(text)


@fuzz
@given(formulas)
def test_plain_formulas_are_read_as_pymatgen_reads_them(text):
    core = pytest.importorskip("pymatgen.core")
    assume(not re.search(r"\)[0-9.]+e", text))  # of which pymatgen reads no exponent
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = parse_composition(text)
    except UnknownElementError:
        raise
    except FormulaError:
        return  # for its amounts; see `check`
    composition = core.Composition(text).fractional_composition.get_el_amt_dict()
    assert found == pytest.approx({e: a for e, a in composition.items() if a}, rel=1e-6, abs=1e-8)


@fuzz
@given(
    st.dictionaries(
        elements | st.text(max_size=3) | st.integers() | st.none(),
        st.floats()
        | st.integers()
        | st.text(max_size=2)
        | st.none()
        | st.booleans()
        | st.just(10**400),
        max_size=5,
    )
)
def test_any_mapping_is_refused_by_name_or_round_trips(amounts):
    refused = ""
    try:
        found = parse_composition(amounts)
    except FormulaError as error:
        refused = str(error)
    if refused:
        assert len(refused) < 500
        return
    again = parse_composition(format_formula(found))
    for element in {*found, *again}:
        assert abs(again.get(element, 0.0) - found.get(element, 0.0)) < 1e-5
