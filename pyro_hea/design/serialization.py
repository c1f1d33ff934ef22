"""Constraints as plain lists and mappings, and in YAML files.

Examples
--------
>>> constraints_from_list([{"max_elements": 5}, {"element_bounds": {"element": "Co", "low": 0.1}}])
(MaxElements(count=5), ElementBounds(element='Co', low=0.1, high=1.0))
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from pyro_hea.design import constraints as kinds
from pyro_hea.design.constraints.base import Constraint, Constraints
from pyro_hea.errors import ConstraintError, DataError, nearest
from pyro_hea.materials.alloys.dataset.files import read_table
from pyro_hea.materials.alloys.formula import SYMBOLS
from pyro_hea.spec.yaml_files import read_yaml, write_yaml

_KINDS: dict[str, Any] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind
    for kind in vars(kinds).values()
    if isinstance(kind, type)
    and issubclass(kind, Constraint)
    and kind is not Constraint
    and not kind.__name__.startswith("_")
}
"""Each constraint by its name in a file, such as `element_bounds`."""


def constraints_from_list(entries: Any, where: str = "constraints") -> Constraints:
    """Read constraints from plain values.

    Parameters
    ----------
    entries : list of mappings of one key
        The name of a constraint, and what it takes: a mapping of its fields, or a list or value
        where it has one field.
    where : str
        What was read, for messages.

    Raises
    ------
    ConstraintError
        Naming the entry, what is allowed there and the nearest known name.
    """
    if not isinstance(entries, list):
        raise ConstraintError(f"{where}: constraints are a list, not {type(entries).__name__}")
    return Constraints(_read(entry, f"{where}, entry {i + 1}") for i, entry in enumerate(entries))


def constraints_to_list(constraints: Iterable[Constraint]) -> list[dict[str, Any]]:
    """The same as plain values, which `constraints_from_list` reads back."""
    return [_write(constraint) for constraint in constraints]


def read_constraints(path: str | Path) -> Constraints:
    """Read constraints from a YAML file.

    Raises
    ------
    MissingFileError, ConstraintError
    """
    entries = read_yaml(path, "constraints", ConstraintError)
    return constraints_from_list(entries, str(path))


def write_constraints(constraints: Iterable[Constraint], path: str | Path) -> None:
    """Write constraints to a YAML file; `read_constraints` reads the same back."""
    write_yaml(path, constraints_to_list(constraints))


def read_prices(path: str | Path) -> dict[str, float]:
    """Read prices per kilogram, by element, from a table with the columns `element` and `price`.

    CSV, Excel or Parquet, as `read_alloys` reads it.

    Raises
    ------
    MissingFileError, DataError
    """
    table, _ = read_table(path)
    for column in ("element", "price"):
        if column not in table:
            there = ", ".join(map(str, table))
            raise DataError(f"{path}: there is no column '{column}', only {there}")
    prices: dict[str, float] = {}
    for row, (element, price) in enumerate(zip(table["element"], table["price"], strict=True), 1):
        where = f"{path}, row {row}"
        element = str(element or "").strip()
        if element not in SYMBOLS:
            raise DataError(f"{where}: '{element}' is no element.{nearest(element, SYMBOLS)}")
        if element in prices:
            raise DataError(f"{where}: {element} has a price already; each element is named once")
        number = pd.to_numeric(pd.Series([price], dtype=object), errors="coerce").iloc[0]
        if isinstance(price, bool) or not 0 <= number < float("inf"):
            raise DataError(f"{where}: price {price!r} is no number, 0 or more")
        prices[element] = float(number)
    return prices


def _read(entry: Any, where: str) -> Constraint:
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise ConstraintError(
            f"{where}: {reprlib.repr(entry)} is no mapping of one constraint to its values"
        )
    ((name, given),) = entry.items()
    if name not in _KINDS:
        raise ConstraintError(
            f"{where}: there is no constraint '{name}'.{nearest(str(name), _KINDS)} Allowed: "
            f"{', '.join(sorted(_KINDS))}"
        )
    kind = _KINDS[name]
    takes = [f.name for f in fields(kind)]
    try:
        if kind in _OF_ELEMENTS:
            return kind(*given) if isinstance(given, list) else kind(given)
        if not isinstance(given, Mapping):
            given = {takes[0]: given}
        for key in given:
            if key not in takes:
                raise ConstraintError(
                    f"unknown key '{key}'.{nearest(str(key), takes)} Allowed: {', '.join(takes)}"
                )
        missing = [f.name for f in fields(kind) if f.default is MISSING and f.name not in given]
        if missing:
            raise ConstraintError(f"missing: {', '.join(missing)}")
        given = {key: _checked(key, value, kind, where) for key, value in given.items()}
        made: Constraint = kind(**given)
        return made
    except (ConstraintError, TypeError) as error:
        raise ConstraintError(f"{where}: {name}: {error}") from None


def _checked(key: str, value: Any, kind: type[Constraint], where: str) -> Any:
    """A value of the type that the constraint declares for its key."""
    if kind is kinds.Soft and key == "constraint":
        return _read(value, where)
    declared = get_type_hints(kind)[key]
    if isinstance(value, bool):
        raise ConstraintError(f"{key}: a boolean is not allowed")
    try:
        return TypeAdapter(declared).validate_python(value)
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise ConstraintError(f"{key}: {fault} (given: {reprlib.repr(value)})") from None


def _write(constraint: Constraint) -> dict[str, Any]:
    (name,) = [name for name, kind in _KINDS.items() if type(constraint) is kind]
    if type(constraint) in _OF_ELEMENTS:
        return {name: list(vars(constraint)["elements"])}
    values = {field: _plain(value) for field, value in vars(constraint).items()}
    return {name: next(iter(values.values())) if len(values) == 1 else values}


_OF_ELEMENTS = (kinds.AllowedElements, kinds.ForbiddenElements, kinds.RequiredElements)


def _plain(value: Any) -> Any:
    if isinstance(value, Constraint):
        return _write(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
