"""A crystal's cell, and temperatures of its vibrations by two models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pyro_hea.materials.crystals import atoms_to_draw
from pyro_hea.plots._style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    REFERENCE,
    SKY,
    VERMILION,
    YELLOW,
    house_style,
    legend_right,
    require_columns,
    styled_axes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ABOVE = 1000
"""Order in which names of atoms are drawn: after all atoms."""

_MARKERS = ("o", "s", "D", "^", "v")

_COLOURS = (ORANGE, BLUE, VERMILION, GREEN, PURPLE, SKY, YELLOW)


def unit_cell(
    lattice: NDArray[np.float64],
    positions: NDArray[np.float64],
    elements: Sequence[str],
    ax: Any = None,
) -> Any:
    """Draw the atoms of a cell and its edges, atoms on faces and edges repeated.

    Parameters
    ----------
    lattice : ndarray, shape (3, 3)
        Rows are the axes, in Å.
    positions : ndarray, shape (N, 3)
        Fractional.
    elements : sequence of str, length N
    ax : Axes3D, optional
        Axes with projection "3d"; a figure of their own by default.
    """
    with house_style():
        if ax is None:
            ax = cast("Any", Figure(figsize=(4, 4))).add_subplot(projection="3d")
        shown, names = atoms_to_draw(positions, elements)
        for k, name in enumerate(dict.fromkeys(elements)):
            at = shown[[n == name for n in names]] @ lattice
            colour = _COLOURS[k % len(_COLOURS)]
            ax.scatter(
                *at.T,
                s=160,
                color=colour,
                edgecolor="0.2",
                linewidth=0.6,
                label=name,
                depthshade=False,
            )
            light = np.dot(to_rgb(colour), [0.3, 0.6, 0.1]) > 0.5
            style = {"ha": "center", "va": "center", "fontsize": 6, "zorder": _ABOVE}
            for x, y, z in at:  # told apart in grey too
                ax.text(x, y, z, name, color="black" if light else "white", **style)
        corners = np.array(list(product((0, 1), repeat=3)))
        for start, end in product(corners, corners):
            if (end - start).sum() == 1 and (end >= start).all():
                ax.plot(*(np.array([start, end]) @ lattice).T, color="0.4", linewidth=0.8)
        ax.set_box_aspect(np.ptp(corners @ lattice, axis=0))
        ax.set_axis_off()
        ax.legend(loc="upper left")
    return ax


def acoustic_temperatures(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw acoustic Debye temperatures by a potential against those that are expected.

    Parameters
    ----------
    table : DataFrame
        One row a crystal: `group`, `expected` and `scaled` in K, and `minimum`, whether it has no
        soft mode.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    require_columns(table, ["group", "expected", "scaled", "minimum"])
    with styled_axes(ax, (4.6, 4.2)) as ax:
        ax.axline((100, 100), (200, 200), label="agreement", **REFERENCE)
        for k, (group, of) in enumerate(table.groupby("group", sort=False)):
            for soft, rows in of.groupby(~of["minimum"]):
                ax.plot(
                    *rows[["expected", "scaled"]].to_numpy().T,
                    _MARKERS[k],
                    markersize=4,
                    color=_COLOURS[k],
                    fillstyle="none" if soft else "full",
                    label=f"{group}, {'soft modes' if soft else 'none soft'}",
                )
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="acoustic Debye temperature, expected (K)",
            ylabel="by the potential, scaled (K)",
        )
        legend_right(ax)
    return ax
