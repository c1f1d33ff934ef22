"""A picture of a crystal's cell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pyro_hea.materials.crystals import atoms_to_draw
from pyro_hea.plots._style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW, house_style

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ABOVE = 1000
"""Order in which names of atoms are drawn: after all atoms."""

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
