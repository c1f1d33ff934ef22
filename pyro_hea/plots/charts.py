"""Charts of a manifold, their responsibilities, and a descent on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.errors import DataError
from pyro_hea.plots._style import (
    BLACK,
    BLUE,
    GREEN,
    LIGHT_GREY,
    MARKERS,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    HouseFigure,
    Panels,
    house_style,
    legend_right,
    new_panels,
    require_columns,
    styled_axes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, BLACK)


def atlas_charts(
    points: NDArray[np.float64],
    responsibilities: NDArray[np.float64],
    names: Sequence[str],
    ax: Axes | None = None,
) -> Axes:
    """Draw points in two or three dimensions, each with the chart that is most responsible for it.

    Points that no chart is responsible for with a probability of 0.9 are drawn open.

    Parameters
    ----------
    points : ndarray, shape (N, 2) or (N, 3)
    responsibilities : ndarray, shape (N, K)
    names : sequence of str
        Of the coordinates, with their unit where they have one.
    ax : Axes, optional
        With projection "3d" for three dimensions.

    Examples
    --------
    >>> atlas_charts(np.eye(2), np.array([[0.95, 0.05], [0.2, 0.8]]), ["x", "y"]).get_xlabel()
    'x'
    """
    with house_style():
        ax = _axes(points, names, ax)
        chart, sure = responsibilities.argmax(1), responsibilities.max(1) > 0.9
        for k in np.unique(chart):
            colour, marker = _COLOURS[k % len(_COLOURS)], MARKERS[k % len(MARKERS)]
            for rows, face in ((chart == k) & sure, colour), ((chart == k) & ~sure, "none"):
                if rows.any():
                    cast("Any", ax).scatter(
                        *points[rows].T,
                        s=9,
                        marker=marker,
                        facecolors=face,
                        edgecolors=colour,
                        linewidths=0.5,
                        label=f"chart {k}" if face != "none" else None,
                    )
        legend_right(ax)
    return ax


def atlas_responsibilities(
    points: NDArray[np.float64], responsibilities: NDArray[np.float64], names: Sequence[str]
) -> Panels:
    """Draw how responsible each chart is over points in two dimensions, a panel for each.

    Parameters
    ----------
    points : ndarray, shape (N, 2)
    responsibilities : ndarray, shape (N, K)
    names : sequence of str
    """
    count = responsibilities.shape[1]
    columns = min(count, 3)
    rows = -(-count // columns)
    with house_style():
        size = (2.4 * columns + 0.8, 2.3 * rows)
        panels = new_panels(size, rows, columns, sharex=True, sharey=True)
        for k, panel in enumerate(panels):
            if k >= count:
                panel.set_axis_off()
                continue
            x, y = points.T
            drawn = panel.scatter(
                x, y, c=responsibilities[:, k], s=6, cmap="cividis", vmin=0, vmax=1
            )
            panel.set_title(f"chart {k}")
            panel.set_aspect("equal")
            panel.set_xlabel(names[0])
            panel.set_ylabel(names[1])
        panels.figure.colorbar(drawn, ax=list(panels), label="responsibility")
    return panels


_NAMED = 8
"""Families that a map tells apart."""


def alloy_families(
    fractions: pd.DataFrame, family: Sequence[int] | NDArray[np.int64], ax: Axes | None = None
) -> Axes:
    """Draw alloys by family, on the two principal axes of the square roots of their fractions.

    The largest families have a colour and a marker each, and are called by the elements that most
    of their alloys hold; the others are grey.

    Parameters
    ----------
    fractions : DataFrame, shape (N, E)
    family : array of int, shape (N,)
    ax : Axes, optional

    Examples
    --------
    >>> table = pd.DataFrame({"Co": [0.5, 0.4, 0.0], "Ni": [0.5, 0.6, 0.0], "Ti": [0.0, 0.0, 1.0]})
    >>> ax = alloy_families(table, [3, 3, 1])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['3: Co Ni (2)', '1: Ti (1)']
    """
    code = np.asarray(family)
    if code.shape != (len(fractions),):
        raise DataError(f"{len(fractions)} alloys have {code.size} families; each has one")
    roots = np.sqrt(fractions.to_numpy(float))
    away = roots - roots.mean(0)
    place = away @ np.linalg.svd(away, full_matrices=False)[2][:2].T
    found, size = np.unique(code, return_counts=True)
    order = np.argsort(-size, kind="stable")
    with styled_axes(ax, (6.4, 4.0)) as ax:
        others = np.isin(code, found[order[_NAMED:]])
        if others.any():
            about = f"{len(order) - _NAMED} other families ({others.sum()})"
            x, y = place[others].T
            ax.scatter(x, y, s=6, color=LIGHT_GREY, label=about)
        for k, one in enumerate(order[:_NAMED]):
            rows = code == found[one]
            held = (fractions[rows] > 0).mean()
            name = " ".join(map(str, held.index[held > 0.5])) or "of various elements"
            x, y = place[rows].T
            ax.scatter(
                x,
                y,
                s=12,
                color=_COLOURS[k % len(_COLOURS)],
                marker=MARKERS[k % len(MARKERS)],
                label=f"{found[one]}: {name} ({size[one]})",
            )
        ax.set_xlabel("first principal axis of √fraction")
        ax.set_ylabel("second principal axis")
        legend_right(ax)
    return ax


def descent_trail(
    trail: pd.DataFrame,
    points: NDArray[np.float64],
    names: Sequence[str],
    ax: Axes | None = None,
) -> Axes:
    """Draw the way of each start over points of the manifold.

    Parameters
    ----------
    trail : DataFrame
        As of a `Descent`: `start`, `step` and the coordinates.
    points : ndarray, shape (N, 2) or (N, 3)
        Of the manifold, in grey.
    names : sequence of str
        Columns of the coordinates in the trail.
    ax : Axes, optional
    """
    require_columns(trail, ("start", "step", *names))
    with house_style():
        ax = _axes(points, names, ax)
        anything = cast("Any", ax)
        anything.scatter(*points.T, s=2, color=LIGHT_GREY, zorder=1)
        for start, way in trail.groupby("start"):
            colour = _COLOURS[int(cast("int", start)) % len(_COLOURS)]
            at = way.sort_values("step")[list(names)].to_numpy(float)
            anything.plot(*at.T, color=colour, linewidth=1.2, zorder=2)
            anything.scatter(*at[:1].T, s=22, marker="o", color=colour, zorder=3)
            anything.scatter(*at[-1:].T, s=36, marker="X", color=colour, zorder=3)
        anything.scatter([], [], marker="o", color=BLACK, label="start")
        anything.scatter([], [], marker="X", color=BLACK, label="end")
        legend_right(ax)
    return ax


def descent_values(trail: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the objective by step, a line for each start.

    Parameters
    ----------
    trail : DataFrame
        As of a `Descent`: `start`, `step` and `value`.
    ax : Axes, optional

    Examples
    --------
    >>> trail = pd.DataFrame({"start": 0, "step": [0, 1], "value": [2.0, 1.0]})
    >>> descent_values(trail).get_ylabel()
    'objective'
    """
    require_columns(trail, ("start", "step", "value"))
    with styled_axes(ax, (5.0, 3.2)) as ax:
        for start, way in trail.groupby("start"):
            colour = _COLOURS[int(cast("int", start)) % len(_COLOURS)]
            ax.plot(way["step"], way["value"], color=colour, linewidth=1.2)
        ax.set_xlabel("step")
        ax.set_ylabel("objective")
    return ax


def _axes(points: NDArray[np.float64], names: Sequence[str], ax: Axes | None) -> Axes:
    """Axes for points in two or three dimensions, with equal scales."""
    dims = points.shape[1]
    if dims not in (2, 3) or len(names) != dims:
        raise DataError(f"points of {dims} coordinates cannot be drawn: give two or three of them")
    if ax is None and dims == 2:
        ax = new_panels((5.0, 4.0))[0]
    elif ax is None:
        figure = HouseFigure(figsize=(5.5, 4.2), layout="constrained")
        ax = cast("Axes", figure.add_subplot(projection="3d"))
    if dims == 2:
        ax.set_aspect("equal", adjustable="datalim")
    else:
        three = cast("Any", ax)
        three.set_box_aspect(np.ptp(points, axis=0) + 1e-9)
        three.set_zlabel(names[2])
        three.locator_params(nbins=4)
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    return ax
