"""The house style: one palette, one set of rcParams, applied only while a figure is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyro_hea.errors import DataError, nearest

BLUE, ORANGE, GREEN, SKY = "#0072B2", "#E69F00", "#009E73", "#56B4E9"
VERMILION, PURPLE, YELLOW, BLACK = "#D55E00", "#CC79A7", "#F0E442", "#222222"
"""The palette of Okabe and Ito, which colour-blind readers can tell apart."""

FAINT = "0.72"
"""Grey of what is context and not data: reference lines, unlabelled alloys."""

_LONGEST = 32
"""Characters of the longest tick label."""


def house_style() -> AbstractContextManager[None]:
    """Put the house style in force inside a ``with`` block, and only there."""
    return rc_context(
        {
            "font.size": 9.0,
            "axes.labelsize": 9.0,
            "axes.titlesize": 10.0,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "0.35",
            "axes.labelcolor": "0.1",
            "axes.axisbelow": True,
            "axes.grid": True,
            "grid.color": "0.92",
            "grid.linewidth": 0.8,
            "xtick.color": "0.35",
            "ytick.color": "0.35",
            "xtick.labelcolor": "0.1",
            "ytick.labelcolor": "0.1",
            "legend.frameon": False,
            "legend.fontsize": 8.5,
            "lines.linewidth": 1.7,
            "hatch.linewidth": 0.6,
            "figure.dpi": 110.0,
            "savefig.dpi": 160.0,
        }
    )


@contextmanager
def drawn_on(ax: Axes | None, size: tuple[float, float]) -> Iterator[Axes]:
    """Give the axes to draw on, with the house style in force inside the block.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        The caller's axes; a figure of our own if None.
    size : tuple of float
        Width and height of a figure of our own, inches.
    """
    with house_style():
        yield Figure(figsize=size, layout="constrained").subplots() if ax is None else ax


def words(name: str) -> str:
    """Spell a column's name for a reader.

    Examples
    --------
    >>> words("single_phase")
    'single phase'
    """
    return name.replace("_", " ")


def shortened(index: pd.Index) -> list[str]:
    """Spell formulas as tick labels: a long one is cut, so that it leaves room for the data.

    Examples
    --------
    >>> shortened(pd.Index(["CoNi", "Al14.5Co30Cr9.5Cu16.5Fe2Mn2.5Ni7.5Ti5V12.5"]))
    ['CoNi', 'Al14.5Co30Cr9.5Cu16.5Fe2Mn2.5Ni…']
    """
    names = [str(formula) for formula in index]
    return [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]


def room(labels: Iterable[str]) -> float:
    """Width of the longest tick label, inches.

    Examples
    --------
    >>> room(["CoNi", "CoCrFeMnNi"])
    0.8
    """
    return 0.08 * max(map(len, labels), default=0)


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows of a figure that has one for each, the first on top."""
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(range(len(names)), names)
    ax.grid(visible=False, axis="y")


def require(table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse a table that lacks one of `columns`.

    Examples
    --------
    >>> require(pd.DataFrame({"epoch": [0]}), ["epochs"])
    Traceback (most recent call last):
        ...
    pyro_hea.errors.DataError: The table has no column 'epochs', only: epoch. Did you mean 'epoch'?
    """
    for column in columns:
        if column not in table.columns:
            present = [str(name) for name in table.columns]
            raise DataError(
                f"The table has no column '{column}', only: {', '.join(present)}."
                f"{nearest(column, present)}"
            )
