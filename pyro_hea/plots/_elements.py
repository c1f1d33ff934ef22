"""One look for each element in every figure."""

from __future__ import annotations

from typing import NamedTuple

from pyro_hea.plots._style import LINES, MARKERS

_TINTS = ("#a6d4f2", "#f3c566", "#7fcbb0", "#f7f1a0", "#e3b9d2", "#7fb2d8", "#eb9a66", "#d6d6d6")
_INKS = ("#0072B2", "#B57A00", "#009E73", "#5E5A00", "#B25C93", "#22517A", "#D55E00", "#555555")
"""Light and dark of the same hue, so that a bar and a line of an element look related."""

_HATCHES = ("", "///", "...", "\\\\\\", "xx", "--", "||", "++", "o")

# By how often alloys hold them: those that meet in one alloy differ in hue, later ones in hatch.
_ORDER = (
    "Co Cr Fe Ni Al Mn Cu Ti "
    "Nb V Mo Ta Zr W Hf Si "
    "Pd Ag Au Pt Mg Zn Sn C "
    "B N O Re Ru Rh Ir Os "
    "Sc Y La Ce Nd Gd Dy Er "
    "Be Ca Li Na K Ga Ge In"
).split()


class ElementStyle(NamedTuple):
    """How an element is drawn."""

    tint: str
    """Of a bar or band, on which black text can be read."""
    hatch: str
    ink: str
    """Of a line."""
    line: str
    marker: str


def element_style(element: str) -> ElementStyle:
    """The look of an element, the same in every figure and whatever else is drawn.

    Examples
    --------
    >>> element_style("Co").tint == element_style("Nb").tint
    True
    >>> element_style("Co").hatch == element_style("Nb").hatch
    False
    """
    if element in _ORDER:
        place = _ORDER.index(element)
    else:  # rare: by its letters, so that it stays the same too
        place = len(_ORDER) + sum(map(ord, element)) % (len(_TINTS) * len(_HATCHES))
    turn, hue = divmod(place, len(_TINTS))
    return ElementStyle(
        _TINTS[hue],
        _HATCHES[(hue + 2 * turn) % len(_HATCHES)],
        _INKS[hue],
        LINES[(hue + turn) % len(LINES)],
        MARKERS[(hue + turn) % len(MARKERS)],
    )
