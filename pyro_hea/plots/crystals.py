"""A picture of a crystal's cell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.figure import Figure

from pyro_hea.materials.crystals import atoms_to_draw
from pyro_hea.plots._style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW, house_style

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
            ax.scatter(
                *at.T,
                s=160,
                color=_COLOURS[k % len(_COLOURS)],
                edgecolor="0.2",
                linewidth=0.6,
                label=name,
                depthshade=False,
            )
        corners = np.array(list(product((0, 1), repeat=3)))
        for start, end in product(corners, corners):
            if (end - start).sum() == 1 and (end >= start).all():
                ax.plot(*(np.array([start, end]) @ lattice).T, color="0.4", linewidth=0.8)
        ax.set_box_aspect(np.ptp(corners @ lattice, axis=0))
        ax.set_axis_off()
        ax.legend(loc="upper left")
    return ax
