"""How features are spelled in a figure."""

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
