"""JSON Schema of a spec's YAML, by which editors complete it and check it while it is typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from pyro_hea.spec.declaration import FrozenMapping, declarations_in
from pyro_hea.spec.notes import notes, summary

_SCHEMA = "https://json-schema.org/draft/2020-12/schema"

_TAGS = ("kind", "dist", "rule")
"""Keys that tell the declarations of a union apart."""

_UNTAGGED = ("Binary", "Multinomial")
"""What a target and a likelihood are without a `kind`."""


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        return super().encode_default(dict(dft) if isinstance(dft, FrozenMapping) else dft)


def json_schema_of(spec: type[BaseModel]) -> dict[str, Any]:
    """The schema of what a spec is written as, with what the docstrings say of each key.

    Parameters
    ----------
    spec : type
        `ModelSpec`.
    """
    schema = spec.model_json_schema(schema_generator=_Generator)
    definitions, properties = schema["$defs"], schema["properties"]
    for kind in {spec, *_within(spec)}:
        _explain(kind, schema if kind is spec else definitions[kind.__name__])
    if "targets" not in properties:
        return {"$schema": _SCHEMA, **schema}
    for target in declarations_in(spec.model_fields["targets"].annotation):
        definition = definitions[target.__name__]
        definition["properties"].pop("name")  # which is the key
        definition["required"].remove("name")
        definition["properties"]["given"]["type"] = ["array", "string"]  # one needs no list
    targets = properties["targets"]
    properties["targets"] = {
        "description": targets.get("description", ""),
        "type": "object",
        "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"},
        "additionalProperties": {"anyOf": [targets["items"], {"type": "null"}]},
        "minProperties": 1,
    }
    return {"$schema": _SCHEMA, **schema}


def _within(declaration: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Every declaration within one, at any depth."""
    for field in declaration.model_fields.values():
        for inner in declarations_in(field.annotation):
            yield inner
            yield from _within(inner)


def _explain(kind: type[BaseModel], body: dict[str, Any]) -> None:
    said, properties = notes(kind), body.get("properties", {})
    body["description"] = summary(kind)
    for key, value in properties.items():
        value.pop("title", None)
        if key in said and said[key].text:
            value["description"] = said[key].text
    tags = [key for key in _TAGS if key in properties and kind.__name__ not in _UNTAGGED]
    required = dict.fromkeys([*tags, *body.get("required", ())])
    if required:
        body["required"] = list(required)
