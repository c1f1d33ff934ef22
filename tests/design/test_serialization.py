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
