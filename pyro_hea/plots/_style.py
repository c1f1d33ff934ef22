"""The house style: one palette, one set of rcParams, applied only while a figure is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pyro_hea.errors import DataError, nearest
from pyro_hea.files import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLUE, ORANGE, GREEN, SKY = "#0072B2", "#E69F00", "#009E73", "#56B4E9"
VERMILION, PURPLE, YELLOW, BLACK = "#D55E00", "#CC79A7", "#F0E442", "#222222"
"""The palette of Okabe and Ito, which colour-blind readers can tell apart."""

LIGHT_GREY = "0.72"
"""Of what is context and not data, such as unlabelled alloys."""

REFERENCE: dict[str, Any] = {"color": "0.45", "linewidth": 1.0, "linestyle": ":"}
"""Look of a reference line: chance, zero, the identity."""

LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vP*X"
"""Lines and markers in turn, so that series can be told apart in grey."""


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


def _save(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure, whole or not at all, in the format of the suffix.

    Raises
    ------
    OutputError
        Where the file cannot be written.
    """
    with replacing(Path(path)) as file:
        figure.savefig(file)


class HouseFigure(Figure):
    """A figure that a notebook shows without a plotting backend."""

    def _repr_png_(self) -> bytes:
        image = BytesIO()
        self.savefig(image, format="png", dpi=self.dpi)
        return image.getvalue()


class HouseAxes(Axes):
    """Axes that a notebook shows as the figure that they are in."""

    figure: HouseFigure

    def save(self, path: str | PathLike[str]) -> None:
        """Write the whole figure; the suffix gives the format (.png, .pdf, .svg)."""
        _save(self.figure, path)

    def _repr_png_(self) -> bytes:
        return self.figure._repr_png_()


class Panels(tuple[Axes, ...]):
    """The axes of one figure, which a notebook shows as that figure."""

    @property
    def figure(self) -> Figure:
        """The figure that the panels are in."""
        return cast("Figure", self[0].figure)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the whole figure; the suffix gives the format (.png, .pdf, .svg)."""
        _save(self.figure, path)

    def _repr_png_(self) -> bytes:
        return cast("HouseAxes", self[0])._repr_png_()


@contextmanager
def styled_axes(ax: Axes | None, size: tuple[float, float]) -> Iterator[Axes]:
    """Give the axes to draw on, with the house style in force inside the block.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        The caller's axes; a figure of our own if None.
    size : tuple of float
        Width and height of a figure of our own, inches.
    """
    with house_style():
        yield new_panels(size)[0] if ax is None else ax


def new_panels(
    size: tuple[float, float], rows: int = 1, columns: int = 1, **settings: Any
) -> Panels:
    """Axes side by side in a figure of their own, row by row; `size` in inches.

    Call it within `house_style`. The settings are those of `Figure.subplots`.
    """
    figure = HouseFigure(figsize=size, layout="constrained")
    settings["subplot_kw"] = {"axes_class": HouseAxes}
    return Panels(figure.subplots(rows, columns, squeeze=False, **settings).ravel())


def legend_above(ax: Axes, columns: int = 2, **settings: Any) -> None:
    """Put the legend above the axes, at their left edge."""
    settings = {"borderaxespad": 0.2} | settings
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, **settings)


def legend_right(ax: Axes) -> None:
    """Put the legend to the right of the axes."""
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def error_bars(rows: pd.DataFrame) -> NDArray[np.float64]:
    """How far the columns `low` and `high` are from `mean`, (2, N), never negative."""
    sides = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
    return np.maximum(np.array(sides, float), 0.0)


def label_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows of a figure that has one for each, the first on top."""
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(range(len(names)), names)
    ax.grid(visible=False, axis="y")


def require_columns(table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse a table that lacks one of `columns`.

    Examples
    --------
    >>> require_columns(pd.DataFrame({"epoch": [0]}), ["epochs"])
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
