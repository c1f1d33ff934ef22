"""Any bytes as a table: refused by name, or read cell by cell as the csv module reads it.

A few cases run with the tests; `make fuzz CASES=100000` runs many.
"""

import csv
import io
import math
import os
import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyro_hea.errors import PyroHEAError, PyroHEAWarning
from pyro_hea.materials.alloys.amounts import parse_composition
from pyro_hea.materials.alloys.dataset import AlloyDataset, read_alloys

from .limits import in_time

CASES = int(os.environ.get("CASES", "150"))
SECONDS = 1.0
"""That no case may take."""

CORPUS = sorted((Path(__file__).parent / "corpus" / "tables").iterdir())
"""Every table that an earlier reader got wrong."""

fuzz = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=CASES <= 1000,
    database=None,
)

formulas = st.sampled_from(["NiTi", "TiNi", "Al0.5CoCrFeNi", "CoCrFeNi", "(CoCr)2Fe", "Ti-6Al-4V"])
numbers = st.sampled_from(
    ["1", "0", "5.5", " 300 ", "1e3", "-2", "1_0", "0x1", "nan", "inf", "٣", "1,5"]
)
texts = st.sampled_from(
    ["fcc", "bcc", "", " ", "a,b", 'say "x"', "é", "=1+1", "two\nlines", "\0", "<b>"]
)
names = st.sampled_from(
    [
        *("hardness", "HV", "Yield (MPa)", "phase", "source", "note", "Al", "Fe (wt.%)", "é", ""),
        *("Ni (at.%)", "test_temperature_C", "value", "target", "formula", "a b", "A B"),
        "reported_formula",
    ]
)


@st.composite
def tables(draw):
    """Rows of a table with a formula column, sometimes of wrong length."""
    header = ["formula", *draw(st.lists(names, max_size=4))]
    other = st.sampled_from([numbers, texts, numbers | texts])
    kinds = [formulas, *(draw(other) for _ in header[1:])]
    rows = [[draw(kind) for kind in kinds] for _ in range(draw(st.integers(0, 6)))]
    if rows and draw(st.integers(0, 9)) == 0:
        draw(st.sampled_from(rows)).append("more")
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


@st.composite
def mutated(draw):
    """Bytes of a table with some pieces cut out, doubled or replaced."""
    content = draw(tables()).encode()
    for _ in range(draw(st.integers(0, 3))):
        at, length = draw(st.integers(0, len(content))), draw(st.integers(0, 5))
        piece = draw(
            st.sampled_from(
                [b",", b'"', b"\n", b"\r", b";", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf"]
            )
            | st.binary(max_size=3)
        )
        content = content[:at] + piece + content[at + length :]
    return content


def read(path: Path) -> AlloyDataset | None:
    """The alloys of a file, None where it is refused by name; both in no time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyroHEAWarning)
        data, refusal = in_time(lambda: read_alloys(path), PyroHEAError, SECONDS)
    assert len(refusal) < 1000 + len(str(path))
    return data


def check(content: bytes, path: Path) -> None:
    """Compare what is read with what the csv module and `float` read."""
    path.write_bytes(content)
    data = read(path)
    if data is None:
        return
    assert b"\0" not in content
    text = content.decode("utf-8-sig")  # or it would have been refused
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header, *body = [row for row in lines if any(cell.strip() for cell in row)]
    assert all(len(row) <= len(header) for row in body)
    named = [name.strip() for name in header if name.strip()]
    assert len(named) == len(set(named))
    roles = data.columns_report["role"]
    for column, name in enumerate(header):
        name = name.strip() or f"column {column + 1}"
        if name not in roles or roles[name] != "target":
            continue
        target = data.columns_report.loc[name, "name"]
        cells = [row[column].strip() for row in body if len(row) > column and row[column].strip()]
        values = data.reports.loc[data.reports["target"] == target, "value"].tolist()
        if any(isinstance(value, str) for value in values):
            assert Counter(values) == Counter(cells)
        else:
            assert Counter(values) == Counter(float(cell) for cell in cells)
            assert all(math.isfinite(value) for value in values)
    if roles.get("formula") == "composition" and "target" not in header:
        column = [name.strip() for name in header].index("formula")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PyroHEAWarning)
            expected = [parse_composition(row[column]) for row in body]
        for fractions in expected:
            row = data.fractions[list(fractions)]
            assert ((row - list(fractions.values())).abs().max(axis=1) < 2e-5).any()
    html = data._repr_html_()
    assert "<b>" not in html


@pytest.fixture(scope="module", autouse=True)
def _warm(tmp_path_factory):
    """Import what reading a table imports, so that no case is timed with it."""
    check(b"formula,hardness\nFeNi,2\n", tmp_path_factory.getbasetemp() / "warm.csv")


@fuzz
@given(content=mutated())
def test_mutated_tables(content, tmp_path_factory):
    check(content, tmp_path_factory.getbasetemp() / "fuzzed.csv")


@fuzz
@given(
    content=st.binary(max_size=60),
    suffix=st.sampled_from([".csv", ".csv.gz", ".csv.xz", ".parquet"]),
)
def test_any_bytes(content, suffix, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    read(path)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(path, tmp_path):
    check(path.read_bytes(), tmp_path / "mine.csv")
