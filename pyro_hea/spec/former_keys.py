"""Keys of a spec that had another name in an earlier release."""

from __future__ import annotations

from typing import Any

from pyro_hea.errors import FormerKeyWarning, SpecError, warn

FORMER_KEYS = {
    "training.teacher": "distillation",
    "training.distillation.alloys": "synthetic_alloys",
    "training.sleep": "wake_sleep",
    "training.middles": "augmentation",
}
"""Path of each former key, with the keys above it named as they are now, and its name now."""


def renamed(mapping: dict[str, Any], where: str | None = None) -> dict[str, Any]:
    """A spec's mapping with every former key under its present name.

    Saved models of schema 3 and 4 hold former keys, and so may the YAML file of a user.

    Parameters
    ----------
    mapping : dict
        Plain, as `ModelSpec.to_mapping` makes it. It is left as it is.
    where : str, optional
        The file or object that was read: gives a `FormerKeyWarning` for each former key. None
        gives none, as for a saved model, whose file the user did not write.

    Raises
    ------
    SpecError
        Where a former key stands beside its present name.

    Examples
    --------
    >>> renamed({"training": {"sleep": 0, "teacher": {"alloys": 10}}})
    {'training': {'wake_sleep': 0, 'distillation': {'synthetic_alloys': 10}}}
    """
    for path, new in FORMER_KEYS.items():
        current = _rename(mapping, path.split("."), new, path)
        if where and current is not mapping:
            warn(
                f"{where}: {path} is called '{new}' now; rename it, for a later release refuses it",
                FormerKeyWarning,
            )
        mapping = current
    return mapping


def _rename(mapping: Any, keys: list[str], new: str, path: str) -> Any:
    first, *rest = keys
    if not isinstance(mapping, dict) or first not in mapping:
        return mapping
    if rest:
        inner = _rename(mapping[first], rest, new, path)
        return mapping if inner is mapping[first] else {**mapping, first: inner}
    if new in mapping:
        raise SpecError(f"{path} is the former name of '{new}', which is given too; remove it")
    return {new if key == first else key: value for key, value in mapping.items()}
