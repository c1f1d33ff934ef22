import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pyro_hea.errors import OutputError
from pyro_hea.evaluate.report import write_report

VOID = {"meta", "img"}


class Page(HTMLParser):
    """What a page holds; fails where a tag is left open or closed out of turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def figure():
    ax = Figure(layout="constrained").subplots()
    ax.plot([0, 1], [1, 0])
    ax.set(xlabel="epoch", ylabel="loss (nats per alloy)")
    return ax.figure


def contents():
    table = pd.DataFrame(
        {"AUC": [0.91234, np.nan], "alloys": [138, 72], "right": [True, False]},
        index=pd.Index(["CoCrFeNi", "<script>alert(1)</script>"], name="formula"),
    )
    return {
        "title": "Run <1> & more",
        "summary": {"seed": 0, "log loss (nats per label)": 0.32156, "device": "cpu"},
        "tables": {"Measures": table},
        "figures": {"Training": figure()},
        "notes": {"Measures": "On the test part.", "Labels": "Reports are <noisy>."},
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "report.html"


def test_the_page_is_whole_and_loads_nothing(path):
    write_report(path, **contents())
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert "http" not in text
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in page.all("img"))
    assert not re.search(r"url\(|@import", text)


def test_it_says_what_it_is_given(path):
    write_report(path, **contents())
    text = "|".join(filter(str.strip, Page(path.read_text(encoding="utf-8")).text))
    assert "Run <1> & more" in text
    assert "seed|0|" in text
    assert "log loss (nats per label)|0.322|" in text
    assert "formula|AUC|alloys|right|" in text
    assert "CoCrFeNi|0.912|138|yes|" in text
    assert "Measures|On the test part.|" in text
    assert "Labels|Reports are <noisy>." in text


def test_a_formula_cannot_smuggle_in_markup(path):
    write_report(path, **contents())
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert '<th scope="row">&lt;script&gt;alert(1)&lt;/script&gt;</th><td class="number">–' in text


def test_names_cannot_break_out_of_an_attribute(path):
    write_report(
        path,
        title='"',
        summary={},
        tables={'a"><b': pd.DataFrame({"<i>": ["'"]})},
        figures={'x" onerror="y': figure()},
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert not {"b", "i"} & {tag for tag, _ in page.tags}
    (image,) = page.all("img")
    assert set(image) == {"width", "alt", "src"}


def test_those_who_cannot_see_are_told(path):
    write_report(path, **contents())
    page = Page(path.read_text(encoding="utf-8"))
    (image,) = page.all("img")
    assert image["alt"] == ("Training: horizontal axis epoch, vertical axis loss (nats per alloy)")
    assert page.all("html") == [{"lang": "en"}]
    assert {attrs["scope"] for attrs in page.all("th")} == {"col", "row"}
    assert all(attrs["aria-label"] for attrs in page.all("div") if attrs.get("role") == "region")


def test_each_entry_of_the_contents_leads_somewhere(path):
    write_report(path, **contents())
    page = Page(path.read_text(encoding="utf-8"))
    targets = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    links = [attrs["href"] for attrs in page.all("a")]
    assert sorted(links) == sorted(f"#{target}" for target in targets)
    assert len(set(targets)) == len(targets) == 6


def test_equal_inputs_give_equal_bytes(path):
    given = contents()
    write_report(path, **given)
    first = path.read_bytes()
    write_report(path, **given)  # the same figure again, which matplotlib lays out anew
    again = path.read_bytes()
    write_report(path, **contents())
    assert first == again == path.read_bytes()


def test_parts_without_content_are_left_out(path):
    write_report(path, title="Empty", summary={}, tables={}, figures={})
    assert Page(path.read_text(encoding="utf-8")).all("h2") == []


def test_rows_without_names_have_no_column_of_numbers(path):
    table = pd.DataFrame({"alloy": ["CoNi"], "hardness (HV)": [512.25]})
    write_report(path, title="T", summary={}, tables={"A": table}, figures={})
    assert '<tr><td>CoNi</td><td class="number">512</td></tr>' in path.read_text()


def test_two_levels_of_rows_are_both_row_headings(path):
    index = pd.MultiIndex.from_tuples([("random", 0)], names=["protocol", "fold"])
    table = pd.DataFrame({"AUC": [0.9]}, index=index)
    write_report(path, title="T", summary={}, tables={"A": table}, figures={})
    page = Page(path.read_text(encoding="utf-8"))
    assert [attrs["scope"] for attrs in page.all("th")].count("row") == 2


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    place = tmp_path / "missing" / "report.html"
    with pytest.raises(OutputError, match=r"missing.report\.html.*folder that exists") as caught:
        write_report(place, title="T", summary={}, tables={}, figures={})
    assert isinstance(caught.value, OSError)


def test_a_write_that_fails_leaves_what_was_there_and_no_debris(tmp_path):
    (tmp_path / "report.html").mkdir()  # cannot be replaced by a file
    with pytest.raises(OutputError):
        write_report(tmp_path / "report.html", title="T", summary={}, tables={}, figures={})
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
