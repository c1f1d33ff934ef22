"""How features and predictions are spelled in a figure."""

from __future__ import annotations

from pyro_hea.plots._style import words


def feature_label(name: object) -> str:
    """Spell a feature, a group of them or one column of several levels for a reader.

    Examples
    --------
    >>> feature_label("valence_electron_concentration_range")
    'VEC range'
    >>> feature_label(("family", "noble"))
    'noble'
    """
    last = name[-1] if isinstance(name, tuple) else name
    return words(str(last)).replace("valence electron concentration", "VEC")


def measured(target: str, unit: str = "probability") -> str:
    """Spell what is predicted of a target, with its unit.

    Examples
    --------
    >>> measured("single_phase"), measured("phase[fcc]"), measured("hardness", "HV")
    ('probability of single phase', 'probability of phase = fcc', 'hardness (HV)')
    """
    name = words(target)
    if unit != "probability":
        return f"{name} ({unit})"
    if name.endswith("]"):
        name = name[:-1].replace("[", " = ", 1)
    return f"{unit} of {name}"
