"""YAML files of a user, read as plain values: for specs and for constraints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from pyro_hea.errors import MissingFileError, PyroHEAError
from pyro_hea.files import write_text

_MAX_CHARACTERS = 200_000
"""In a file. A spec has some thousand."""

_MAX_VALUES = 10_000
"""In a file, aliases written out: aliases within aliases make a few lines fill any memory."""


_MAX_DEPTH = 50
"""Of mappings and lists within each other."""


def read_yaml(path: str | Path, what: str, error: type[PyroHEAError]) -> Any:
    """Read a YAML file as plain values: mappings, lists, text, numbers, booleans and null.

    A date is read as text. No tag of Python is followed.

    Parameters
    ----------
    path : path
    what : str
        What the file is, for messages, such as "spec".
    error : type
        Raised where the file is no such YAML.

    Raises
    ------
    MissingFileError
    PyroHEAError
        `error`, for what is not YAML, for a key that stands twice, for nesting too deep to be read
        and for aliases that stand for too many values.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{what} file '{path}' does not exist")
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > _MAX_CHARACTERS:
            raise error(
                f"{path}: {len(text)} characters are too long for a {what} file; at most "
                f"{_MAX_CHARACTERS} are read"
            )
        return yaml.load(text, _Loader)
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror or fault}") from None
    except (
        yaml.YAMLError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as fault:
        raise error(f"{path}: not YAML: {str(fault)[:500]}") from None


def write_yaml(path: str | Path, values: Any) -> None:
    """Write plain values to a YAML file, in their order.

    Raises
    ------
    OutputError
    """
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


class _Loader(yaml.SafeLoader):
    """Plain values only, with no key that stands twice and no date."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested deeper than {_MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"key '{key.value}' stands twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_document(self, node: yaml.Node) -> Any:
        if _number_of_values(node, {}) > _MAX_VALUES:
            raise yaml.YAMLError(
                f"more than {_MAX_VALUES} values, or one that holds itself, by aliases"
            )
        return super().construct_document(node)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _number_of_values(node: yaml.Node, known: dict[yaml.Node, float]) -> float:
    """How many values a node stands for, aliases written out; infinitely many in a cycle."""
    if node not in known:
        known[node] = math.inf
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
        known[node] = 1 + sum(_number_of_values(part, known) for part in parts)
    return known[node]
