import re

import pytest

from pyro_hea.design import (
    constraints_from_list,
    constraints_to_list,
    read_constraints,
    read_prices,
    write_constraints,
)
from pyro_hea.design.constraints.base import Constraints
from pyro_hea.errors import ConstraintError, DataError, MissingFileError, OutputError

from .test_constraints import ONE_OF_EACH


def test_every_constraint_comes_back_from_yaml(tmp_path):
    write_constraints(ONE_OF_EACH, tmp_path / "wishes.yaml")
    read = read_constraints(tmp_path / "wishes.yaml")
    assert isinstance(read, Constraints)
    assert list(read) == ONE_OF_EACH


@pytest.mark.parametrize("constraint", ONE_OF_EACH, ids=repr)
def test_every_constraint_comes_back_from_plain_values(constraint):
    assert constraints_from_list(constraints_to_list([constraint])) == (constraint,)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"max_elements": 5}, "constraints are a list, not dict"),
        (["max_elements"], "entry 1: 'max_elements' is no mapping"),
        ([{"max_elements": 5, "min_elements": 2}], "is no mapping of one constraint"),
        ([{"max_element": 5}], "no constraint 'max_element'. Did you mean 'max_elements'?"),
        ([{"max_elements": 5}, {"max_elements": 0}], "entry 2: max_elements: MaxElements(count=0)"),
        ([{"element_bounds": {"element": "Co", "hihg": 1}}], "'hihg'. Did you mean 'high'?"),
        ([{"element_bounds": {"low": 1}}], "element_bounds: missing: element"),
        (
            [{"soft": {"constraint": {"max_elemens": 3}, "weight": 1}}],
            "no constraint 'max_elemens'",
        ),
    ],
)
def test_faults_are_named(entries, message):
    with pytest.raises(ConstraintError, match=re.escape(message)):
        constraints_from_list(entries)


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        read_constraints(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("[")
    with pytest.raises(ConstraintError, match=r"bad\.yaml: not YAML"):
        read_constraints(tmp_path / "bad.yaml")
    with pytest.raises(OutputError, match="cannot write"):
        write_constraints([], tmp_path / "missing" / "wishes.yaml")


def test_prices_are_read_by_element_and_faults_named(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("element,price\nFe,0.5\nCo, 33\n")
    assert read_prices(path) == {"Fe": 0.5, "Co": 33.0}
    path.write_text("element,price\nFe,cheap\n")
    with pytest.raises(DataError, match="row 1: price 'cheap' is no number"):
        read_prices(path)
    path.write_text("metal,price\nFe,1\n")
    with pytest.raises(DataError, match="no column 'element', only metal, price"):
        read_prices(path)
    with pytest.raises(MissingFileError, match="does not exist"):
        read_prices(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("element,price\nFe,1\nFe,2\n", "row 2: Fe has a price already"),
        ("element,price,price\nFe,1,2\n", "price"),
        ("element,price\nFe,1,3\n", "row 1"),
        ("element,price\nFe\0Co,1\n", "NUL byte"),
        ("element,price\nFe,nan\n", "row 1"),
        ("element,price\nFe,inf\n", "row 1: price 'inf'"),
        ("element,price\nFe,-1\n", "row 1: price '-1'"),
        ("element,price\n,1\n", "row 1: '' is no element"),
        ("element,price\nIron,1\n", "row 1: 'Iron' is no element"),
        ("element,price\nFe,\n", "row 1: price None"),
        ("", "empty"),
    ],
)
def test_a_faulty_table_of_prices_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_prices(path)
    path.write_bytes(b"element,price\nF\xff,1\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_prices(path)
