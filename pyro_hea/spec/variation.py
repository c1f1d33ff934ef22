"""Specs that differ from another in a few keys."""

from __future__ import annotations

from typing import Any

from pyro_hea.errors import SpecError, nearest
from pyro_hea.spec.declaration import Declaration


def changed(mapping: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A spec's mapping with other values at some places.

    Parameters
    ----------
    mapping : dict
        Plain, as `ModelSpec.to_mapping` makes it.
    changes : dict of str to value or Declaration
        Places; a double underscore leads into what is nested.

    Raises
    ------
    SpecError
        For a place that leads through something that is not there.

    Examples
    --------
    >>> changed({"latent": {"dim": 8}}, {"latent__dim": 4})
    {'latent': {'dim': 4}}
    """
    for place, value in changes.items():
        *path, last = place.split("__")
        mapping = _set(mapping, path, last, _plain(value), place)
    return mapping


def _set(mapping: Any, path: list[str], last: str, value: Any, place: str) -> dict[str, Any]:
    if not path:
        return {**mapping, last: value}
    key, *rest = path
    if key not in mapping:
        raise SpecError(
            f"{place}: unknown key '{key}'.{nearest(key, mapping)} Allowed: {', '.join(mapping)}"
        )
    if not isinstance(mapping[key], dict):
        whole = place.partition(f"__{last}")[0]
        raise SpecError(f"{place}: '{key}' is {mapping[key]}, with nothing within; set {whole}")
    return {**mapping, key: _set(mapping[key], rest, last, value, place)}


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, Declaration) else value
