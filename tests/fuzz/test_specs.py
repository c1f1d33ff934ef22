"""Mutated specs and constraints: read, or refused by name, and in no time.

A few cases run with the tests; `CASES=100000 pytest tests/fuzz/test_specs.py` runs many.
"""

import copy
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyro_hea
from pyro_hea.design.serialization import (
    constraints_from_list,
    constraints_to_list,
    read_constraints,
)
from pyro_hea.errors import ConstraintError, SpecError
from pyro_hea.spec import ModelSpec

from .limits import in_time

CASES = int(os.environ.get("CASES", "150"))
SECONDS = 1.0
"""That no case may take."""

SHIPPED = Path(pyro_hea.__file__).parent / "spec" / "shipped"
SPECS = [path.read_text(encoding="utf-8") for path in sorted(SHIPPED.glob("*.yaml"))]
CONSTRAINTS = """
- max_elements: 5
- required_elements: [Fe]
- element_bounds: {element: Co, low: 0.0, high: 0.05}
- sum_bounds: {elements: [Co, noble], high: 0.1}
- soft: {constraint: {feature_bounds: {feature: mixing_enthalpy, low: -15}}, weight: 2}
- density: {low: 5, high: 8}
"""

tokens = st.sampled_from(
    [
        *("{", "}", "[", "]", ": ", ", ", "- ", "? ", "&a ", "*a", "!!int ", "!!set ", "<<: *a"),
        *("null", "true", "yes", "0x1f", "1e400", "-.inf", ".nan", "1:30:00", "2024-13-45", "\t"),
        *("\n", "\n  ", "#", "|\n", ">\n", "'", '"', "%", "@", "`", "\x00", "é", "𝛿", "\u2028"),
        *("!!python/object/apply:os.abort []", "dist", "kind", "name", "only", "given", "prior"),
    ]
)
odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0, 2**63, float("nan"), float("inf"), 1e-320, 1e308])
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["nan", "novelty", "z", "type", "Normal", "Flow", "<b>", "=1", "a_sd", ""])
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["dist", "kind", "loc", "scale", "rule", "only", "given", "sources"])
            | st.text(max_size=4)
            | st.integers(-1, 9)
            | st.none(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@st.composite
def mutated_text(draw, texts):
    """A file with some pieces cut out, doubled or replaced."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 30))
        piece = draw(tokens | st.text(max_size=4) | st.just(text[at : at + length] * 2))
        text = text[:at] + piece + text[at + length :]
    return text


@st.composite
def mutated_values(draw, texts):
    """The values of a file with some of them deleted, renamed or replaced, at any depth."""
    values = copy.deepcopy(yaml.safe_load(draw(st.sampled_from(texts))))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = None, None
        inner = values
        while isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            holder, key = inner, draw(st.sampled_from(keys))
            inner = holder[key]
        if holder is None:
            return draw(odd)
        what = draw(st.sampled_from(["replace", "delete", "rename"]))
        if what == "replace":
            holder[key] = draw(odd)
        elif what == "delete":
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=5) | st.integers(-1, 5) | st.none())] = holder.pop(key)
    return values


fuzz = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
pytestmark = pytest.mark.filterwarnings("ignore::pyro_hea.errors.FormerKeyWarning")


def read_or_refused(read, given, error, where=""):
    """What was read in time, None where it was refused in a message of bounded length."""
    found, refusal = in_time(lambda: read(given), error, SECONDS)
    assert found is not None or where in refusal
    assert len(refusal) < 20_000
    return found


def assert_reads_back(spec):
    again = ModelSpec.from_mapping(spec.to_mapping())
    assert again == spec
    assert hash(again) == hash(spec)


@fuzz
@given(text=mutated_text(SPECS))
def test_any_text_is_a_spec_or_is_refused(text, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    spec = read_or_refused(ModelSpec.from_yaml, path, SpecError, str(path))
    if spec is not None:
        assert_reads_back(spec)


@fuzz
@given(values=mutated_values(SPECS))
def test_any_values_are_a_spec_or_are_refused(values):
    spec = read_or_refused(ModelSpec.from_mapping, values, SpecError)
    if spec is not None:
        assert_reads_back(spec)


@fuzz
@given(text=mutated_text([CONSTRAINTS]) | mutated_values([CONSTRAINTS]).map(yaml.safe_dump))
def test_any_text_is_constraints_or_is_refused(text, tmp_path):
    path = tmp_path / "constraints.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    constraints = read_or_refused(read_constraints, path, ConstraintError, str(path))
    if constraints is not None:
        assert constraints_from_list(constraints_to_list(constraints)) == constraints
