import json

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyro_hea.spec import ModelSpec


@pytest.fixture(scope="module")
def schema():
    return ModelSpec.json_schema()


@pytest.fixture(scope="module")
def validator(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(spec=st.from_type(ModelSpec))
def test_every_spec_is_valid(spec, validator):
    validator.validate(json.loads(json.dumps(spec.to_mapping())))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"targets": {"a": None}},
        {"targets": {"a": {}, "b": {"given": "a"}}},
        {"latent": {"flow": None}},
    ],
)
def test_what_may_be_left_out_is_valid(data, validator):
    validator.validate(data)
    ModelSpec.from_mapping(data)


@pytest.mark.parametrize(
    "data",
    [
        {"latnt": {}},
        {"latent": {"dims": 2}},
        {"latent": {"dim": 0}},
        {"latent": {"prior": {"dist": "Norml", "loc": 0, "scale": 1}}},
        {"latent": {"prior": {"dist": "Normal", "loc": 0}}},
        {"latent": {"prior": {"components": 3}}},
        {"latent": {"prior": {"dist": "Mixture", "layers": 3}}},
        {"likelihood": {"kind": "dirichlet", "total_count": 3}},
        {"targets": {}},
        {"targets": {"Hardness": {}}},
        {"targets": {"hardness": {"name": "hardness"}}},
        {"targets": {"phase": {"kind": "categorical", "classes": ["fcc"]}}},
        {"targets": {"a": {"prior": {"delta_max": 6.6}}}},
        {"targets": {"a": {"prior": {"rule": "hume_rothery", "delta": 6.6}}}},
        {"targets": {"a": {"prior": {"logistic": {}}}}},
        {"targets": {"a": {"prior": {"logistic": {"entropy": 1}}}}},
        {"targets": {"a": {"prior": {"logistic": {"omega": "much"}}}}},
        {"features": {"names": ["entropy"]}},
        {"training": {"members": 0}},
    ],
)
def test_what_the_reader_refuses_is_not_valid(data, validator):
    assert not validator.is_valid(data)
    with pytest.raises(ValueError, match="spec: "):
        ModelSpec.from_mapping(data)


def test_says_what_each_key_means(schema):
    dim = schema["$defs"]["Latent"]["properties"]["dim"]
    assert dim["description"] == "Coordinates of z; an even number where there is a flow."
    assert schema["$defs"]["Hurdle"]["description"].endswith("counted by element.")
    assert "Attributes" not in json.dumps(schema)
