"""A spec as a YAML file that explains itself, by the docstrings of the declarations."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import yaml

from pyro_hea.spec.declaration import Declaration, declarations_in
from pyro_hea.spec.display import targets_in_short
from pyro_hea.spec.model import ProgramSpec
from pyro_hea.spec.notes import Note, notes

_WIDTH = 100
"""Of a line of comment."""

_HEAD = """\
A model of pyro_hea. Every key that is left out keeps the value that `pyro-hea spec init` writes.
Check with `pyro-hea spec check`, look at the model with `pyro-hea spec show`."""


def annotated_yaml(spec: ProgramSpec) -> str:
    """YAML of every key of a spec, each under a comment; reads back as the same spec."""
    head = "".join(f"# {line}\n" for line in _HEAD.splitlines())
    return head + "".join(f"{line}\n" for line in _lines(spec))


def targets_yaml(spec: ProgramSpec) -> str:
    """YAML of the targets of a spec alone, without keys that have their default.

    Examples
    --------
    >>> from pyro_hea.spec import Continuous, ModelSpec
    >>> print(targets_yaml(ModelSpec(targets=(Continuous("hardness", unit="HV"),))))
    targets:
      hardness:
        kind: continuous
        unit: HV
    <BLANKLINE>
    """
    targets = targets_in_short(spec)
    return yaml.safe_dump({"targets": targets}, sort_keys=False, allow_unicode=True)


def _lines(declared: Declaration, among: str = "") -> Iterator[str]:
    """Lines of one declaration; `among` names every kind that could stand in its place."""
    said, top = notes(type(declared)), isinstance(declared, ProgramSpec)
    for key, written in declared.model_dump(mode="json", exclude={"name"}).items():
        value = getattr(declared, key)
        if top:
            yield ""
        comment = among if key == "kind" else _comment(said.get(key, Note("", "")))
        yield from (f"# {line}" for line in textwrap.wrap(comment, _WIDTH - 2))
        kinds = _kinds_of(type(declared), key)
        if top and key == "targets":
            yield f"{key}:"
            for target in value:
                yield f"  {_flow(target.name)}:"
                yield from (f"    {line}" for line in _lines(target, kinds) if line)
        elif isinstance(value, Declaration) and "dist" not in type(value).model_fields:
            yield f"{key}:"
            yield from (f"  {line}" for line in _lines(value, kinds))
        else:
            yield f"{key}: {_flow(written)}"


def _comment(note: Note) -> str:
    kind = note.kind.replace("None", "null") if " or " in note.kind else ""
    text = note.text.replace("None", "null")
    return f"{text} ({kind})" if text and kind else text or kind


def _kinds_of(declaration: type[Declaration], key: str) -> str:
    """The `kind` of each declaration that may stand at a key."""
    declared = declarations_in(declaration.model_fields[key].annotation)
    tags = [k.model_fields["kind"].default for k in declared if "kind" in k.model_fields]
    return " or ".join(filter(None, [", ".join(tags[:-1]), *tags[-1:]]))


def _flow(value: Any) -> str:
    """A value on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("...\n").rstrip("\n")
