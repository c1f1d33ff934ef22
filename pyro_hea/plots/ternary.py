"""Maps over ternary and pseudo-ternary systems."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.tri import Triangulation

from pyro_hea.errors import DataError
from pyro_hea.plots._labels import readable
from pyro_hea.plots._style import require_columns, styled_axes

Corner = str | Sequence[str]
"""An element, or several that share a corner equally."""

_HEIGHT = np.sqrt(3) / 2


def ternary_compositions(corners: Sequence[Corner], step: float = 0.05) -> pd.DataFrame:
    """Fractions on a grid over a triangle, to be predicted and then mapped.

    Parameters
    ----------
    corners : sequence of three elements, or of tuples of elements
        A tuple makes the system pseudo-ternary: its elements have equal shares.
    step : float
        Between grid points, in atomic fraction of a corner.

    Returns
    -------
    DataFrame
        One column per element.

    Raises
    ------
    DataError
        For other than three corners, or an element in two of them.

    Examples
    --------
    >>> ternary_compositions(["Al", "Co", ("Fe", "Ni")], 0.5).iloc[0].to_dict()
    {'Al': 0.0, 'Co': 0.0, 'Fe': 0.5, 'Ni': 0.5}
    """
    groups = _groups(corners)
    n = round(1 / step)
    amounts = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n
    columns = {
        element: amounts[:, corner] / len(group)
        for corner, group in enumerate(groups)
        for element in group
    }
    return pd.DataFrame(columns)


def ternary_map(
    fractions: pd.DataFrame,
    values: pd.Series,
    corners: Sequence[Corner],
    ax: Axes | None = None,
    unit: str = "probability",
) -> Axes:
    """Draw a quantity over a triangle of compositions: a mean, or its standard deviation.

    Parameters
    ----------
    fractions : DataFrame
        As `ternary_compositions` makes them.
    values : Series
        One value per row, in that order; its name is the label.
    corners : sequence of three elements, or of tuples of elements
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    unit : str

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on: a triangle with 20 at.% grid lines, filled by value.

    Examples
    --------
    >>> grid = ternary_compositions(["Al", "Co", ("Fe", "Ni")], 0.25)
    >>> ax = ternary_map(grid, grid["Al"].rename("single_phase"), ["Al", "Co", ("Fe", "Ni")])
    >>> [text.get_text() for text in ax.texts[:2]]
    ['Al', 'Co']
    """
    groups = _groups(corners)
    require_columns(fractions, [element for group in groups for element in group])
    amounts = np.stack([fractions[list(group)].sum(axis=1) for group in groups], 1)
    x, y = amounts[:, 1] + amounts[:, 2] / 2, amounts[:, 2] * _HEIGHT
    with styled_axes(ax, (5.4, 4.6)) as ax:
        levels = np.linspace(0, 1, 11) if unit == "probability" and values.max() > 0.5 else 10
        filled = ax.tricontourf(
            Triangulation(x, y), values.to_numpy(float), levels=levels, cmap="cividis"
        )
        label = f"{readable(str(values.name))} ({unit})"
        ax.figure.colorbar(filled, ax=ax, label=label, shrink=0.85)
        for part in np.arange(0.2, 1.0, 0.2):
            for corner in range(3):
                ends = np.zeros((2, 3))
                ends[:, corner] = part
                ends[0, corner - 1], ends[1, corner - 2] = 1 - part, 1 - part
                line_x, line_y = ends[:, 1] + ends[:, 2] / 2, ends[:, 2] * _HEIGHT
                ax.plot(line_x, line_y, color="white", linewidth=0.5, alpha=0.6)
        ax.plot([0, 1, 0.5, 0], [0, 0, _HEIGHT, 0], color="0.2", linewidth=1)
        at = ((0, -0.04, "right", "top"), (1, -0.04, "left", "top"))
        places = (*at, (0.5, _HEIGHT + 0.03, "center", "bottom"))
        for group, (left, up, horizontal, vertical) in zip(groups, places, strict=True):
            name = ", ".join(group) + ("\nequally" if len(group) > 1 else "")
            ax.text(left, up, name, ha=horizontal, va=vertical)
        ax.text(0.5, -0.06, "grid lines every 20 at.%", ha="center", va="top", fontsize=8)
        ax.set(aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.14, _HEIGHT + 0.16))
        ax.axis("off")
    return ax


def _groups(corners: Sequence[Corner]) -> list[tuple[str, ...]]:
    groups = [(corner,) if isinstance(corner, str) else tuple(corner) for corner in corners]
    elements = [element for group in groups for element in group]
    if len(groups) != 3 or len(set(elements)) < len(elements):
        raise DataError(
            f"a triangle has three corners and each element is in one of them, not {corners!r}"
        )
    return groups
