"""Latents in which clusters lie apart: before and after, edits, interpolations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError
from pyro_hea.plots._style import (
    LIGHT_GREY,
    Panels,
    house_style,
    legend_right,
    new_panels,
    require_columns,
)
from pyro_hea.plots.compositions import composition_bars
from pyro_hea.plots.latent import class_styles, principal_components

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


def separation_panels(
    before: pd.DataFrame, after: pd.DataFrame, clusters: Sequence[str], none: str = "none"
) -> Panels:
    """Draw alloys in the latent of a model and in that where clusters lie apart, side by side.

    Each in its first two principal components. A cluster has a colour and a marker, in both.

    Parameters
    ----------
    before, after : DataFrame, shape (N, d)
        The same alloys in both.
    clusters : sequence of str, shape (N,)
        Cluster of each.
    none : str
        What alloys in no cluster are called; they are light grey.

    Returns
    -------
    Panels
        Before and after, of a figure of their own.

    Raises
    ------
    DataError
        For tables of different lengths.

    Examples
    --------
    >>> z = pd.DataFrame({"w0": [0.0, 1, 2], "w1": [0.0, 0, 1]})
    >>> separation_panels(z, z, ["fcc", "bcc", "fcc"])[1].get_title(loc="left")
    'after T'
    """
    names = np.asarray(clusters, dtype=object)
    if not len(before) == len(after) == len(names):
        raise DataError(
            f"there are {len(before)} alloys before, {len(after)} after and {len(names)} clusters; "
            "give the same alloys"
        )
    with house_style():
        panels = new_panels((9.2, 4.2), columns=2)
        for panel, table, title in zip(panels, (before, after), ("before", "after T"), strict=True):
            points, share = principal_components(table.to_numpy(float))
            _draw(panel, points, names, none)
            panel.set_title(title, loc="left")
            panel.set_xlabel(f"first principal component (no unit, {100 * share[0]:.0f} %)")
            panel.set_ylabel(f"second principal component (no unit, {100 * share[1]:.0f} %)")
            panel.set_aspect("equal", adjustable="datalim")
        legend_right(panels[1])
    return panels


def _draw(ax: Axes, points: NDArray[np.float64], names: NDArray[np.object_], none: str) -> None:
    other = names == none
    if other.any():
        ax.scatter(*points[other].T, s=9, color=LIGHT_GREY, linewidths=0, label="in no cluster")
    for name, (marker, face, edge) in class_styles(sorted(set(names[~other]))).items():
        rows = names == name
        ax.scatter(
            *points[rows].T,
            s=17,
            marker=marker,
            facecolor=face,
            edgecolor=edge,
            linewidths=0.9,
            alpha=0.8,
            label=f"{name} ({rows.sum()})",
        )


def edit_bars(trail: pd.DataFrame, elements: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw what an alloy was made of before an edit, and what after it.

    Parameters
    ----------
    trail : DataFrame
        Of a `DesignResult`: the fractions of each element, the start first.
    elements : sequence of str
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Examples
    --------
    >>> trail = pd.DataFrame({"Al": [0.0, 0.1], "Ni": [1.0, 0.9]})
    >>> [text.get_text() for text in edit_bars(trail, ["Al", "Ni"]).get_yticklabels()]
    ['start', 'edit']
    """
    require_columns(trail, elements)
    ends = trail[list(elements)].iloc[[0, -1]].set_axis(["start", "edit"])
    return composition_bars(ends.loc[:, (ends > 0).any()], ax)


def interpolation_strips(
    fractions: pd.DataFrame, clusters: Sequence[str], ax: Axes | None = None
) -> Axes:
    """Draw the alloys between two others as bars, each with its cluster.

    Parameters
    ----------
    fractions : DataFrame
        By position from 0 to 1, as an `Interpolation` holds them.
    clusters : sequence of str
        Of each.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Examples
    --------
    >>> fractions = pd.DataFrame({"Co": [0.5, 0.2], "Ni": [0.5, 0.8]}, index=[0.0, 1.0])
    >>> axes = interpolation_strips(fractions, ["fcc", "bcc"])
    >>> [text.get_text() for text in axes.get_yticklabels()]
    ['fcc, 0.0', 'bcc, 1.0']
    """
    labels = [f"{c}, {p:.1f}" for c, p in zip(clusters, fractions.index, strict=True)]
    shown = fractions.loc[:, (fractions > 0).any()].set_axis(labels)
    return composition_bars(shown, ax)
