"""How columns, formulas, features and predictions are written in a figure."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 32
"""Characters of the longest tick label."""


def readable(name: str) -> str:
    """Write a column's name with spaces; the package's own stays as it is.

    Examples
    --------
    >>> readable("single_phase"), readable("pyro_hea")
    ('single phase', 'pyro_hea')
    """
    return name if name == "pyro_hea" else name.replace("_", " ")


def tick_labels(names: Iterable[object]) -> list[str]:
    """Write formulas as tick labels, the long ones cut to leave room for the data.

    Examples
    --------
    >>> tick_labels(["CoNi", "Al14.5Co30Cr9.5Cu16.5Fe2Mn2.5Ni7.5Ti5V12.5"])
    ['CoNi', 'Al14.5Co30Cr9.5Cu16.5Fe2Mn2.5Ni…']
    """
    labels = [str(name) for name in names]
    return [label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…" for label in labels]


def label_width(labels: Iterable[str]) -> float:
    """Width of the longest tick label, inches.

    Examples
    --------
    >>> label_width(["CoNi", "CoCrFeMnNi"])
    0.8
    """
    return 0.08 * max(map(len, labels), default=0)


def feature_label(name: object) -> str:
    """Write a feature, a group of features or one column of a MultiIndex.

    Examples
    --------
    >>> feature_label("valence_electron_concentration_range")
    'VEC range'
    >>> feature_label(("family", "noble"))
    'noble'
    """
    last = name[-1] if isinstance(name, tuple) else name
    return readable(str(last)).replace("valence electron concentration", "VEC")


def target_label(target: str, unit: str = "probability") -> str:
    """Write what is predicted of a target, with its unit.

    Examples
    --------
    >>> target_label("single_phase"), target_label("phase[fcc]"), target_label("hardness", "HV")
    ('probability of single phase', 'probability of phase = fcc', 'hardness (HV)')
    """
    name = readable(target)
    if unit != "probability":
        return f"{name} ({unit})"
    if name.endswith("]"):
        name = name[:-1].replace("[", " = ", 1)
    return f"{unit} of {name}"
