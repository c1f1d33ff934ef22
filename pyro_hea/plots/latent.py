"""Where the alloys lie in the latent space."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap

from pyro_hea.errors import DataError
from pyro_hea.plots._labels import readable
from pyro_hea.plots._style import (
    BLUE,
    GREEN,
    LIGHT_GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    legend_above,
    require_columns,
    styled_axes,
)

# Hollow and filled alternate, so that neighbours differ in grey too.
_CLASS_STYLES = (
    ("s", "none", VERMILION),
    ("o", BLUE, BLUE),
    ("^", "none", GREEN),
    ("D", ORANGE, ORANGE),
    ("v", "none", "0.2"),
    ("P", PURPLE, PURPLE),
)
_MOST_COUNTS = 15
"""Distinct whole numbers up to which each gets a colour of its own."""


def latent_map(latent: pd.DataFrame, colour: str, ax: Axes | None = None) -> Axes:
    """Draw the first two principal components of z, coloured by a property of the alloys.

    Each component points to where its largest weight is positive, so that equal tables make
    equal maps.

    Parameters
    ----------
    latent : DataFrame
        One row per alloy: `z0`, `z1`, … of one member (as `encode` gives them), and `colour`.
    colour : str
        A column of `latent`. Classes, or a target of 0 and 1, get a marker each; whole numbers a
        scale of steps; other numbers a continuous scale. Rows where it is NaN are light grey.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> latent = pd.DataFrame({"z0": [0.0, 1, 2], "z1": [0.0, 0, 0], "label": [0, 1, np.nan]})
    >>> latent_map(latent, "label").get_xlabel()
    'first principal component of z (no unit, 100 % of variance)'
    """
    require_columns(latent, [colour])
    names = [name for name in latent.columns if re.fullmatch(r"z\d+", str(name))]
    if not names:
        raise DataError("The table has no latent columns: they are called z0, z1, …, as in encode")
    points, share = principal_components(latent[names].to_numpy(dtype=float))
    values = latent[colour]
    known = values.notna().to_numpy()
    with styled_axes(ax, (6.2, 4.8)) as ax:
        if not known.all():
            ax.scatter(
                points[~known, 0],
                points[~known, 1],
                s=9,
                color=LIGHT_GREY,
                linewidths=0,
                label=f"unlabelled ({(~known).sum()})",
            )
        if known.any():
            _coloured(ax, points[known], values[known], readable(colour))
        for axis, order, part in zip((ax.xaxis, ax.yaxis), ("first", "second"), share, strict=True):
            axis.set_label_text(
                f"{order} principal component of z (no unit, {part:.0%} of variance)".replace(
                    "%", " %"
                )
            )
        ax.set_aspect("equal", adjustable="datalim")
        if ax.get_legend_handles_labels()[0]:
            legend_above(ax, 3, handletextpad=0.2, columnspacing=1.2)
    return ax


def principal_components(
    z: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scores (N, 2) of the rows of z (N, d) and the share of variance of each component (2,)."""
    centred = z - z.mean(0)
    _, scale, axes = np.linalg.svd(np.pad(centred, ((0, 1), (0, 1))), full_matrices=False)
    axes = axes[:2]
    axes *= np.where(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1) < 0, -1, 1)
    variance = np.square(scale)
    return centred @ axes[:, :-1].T, variance[:2] / max(variance.sum(), np.finfo(float).tiny)


def class_styles(names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Marker, face and edge of each class, in the order of the names."""
    return {name: _CLASS_STYLES[i % len(_CLASS_STYLES)] for i, name in enumerate(names)}


def _coloured(ax: Axes, points: npt.NDArray[np.float64], values: pd.Series, label: str) -> None:
    distinct = sorted(values.unique())
    numeric = pd.api.types.is_numeric_dtype(values)
    if not numeric or set(distinct) <= {0, 1}:
        for i, value in enumerate(distinct):
            marker, face, edge = _CLASS_STYLES[i % len(_CLASS_STYLES)]
            rows = (values == value).to_numpy()
            shown = f"{label} = {value:.0f}" if numeric else f"{value}"
            ax.scatter(
                points[rows, 0],
                points[rows, 1],
                s=17,
                marker=marker,
                facecolor=face,
                edgecolor=edge,
                linewidths=0.9,
                alpha=0.8,
                label=f"{shown} ({rows.sum()})",
            )
        return
    numbers = values.to_numpy(dtype=float)
    shades, norm, ticks = colormaps["cividis"], None, None
    if (numbers == numbers.round()).all() and np.ptp(numbers) < _MOST_COUNTS:
        ticks = np.arange(numbers.min(), numbers.max() + 1)
        shades = ListedColormap(shades(np.linspace(0, 1, len(ticks))))
        norm = BoundaryNorm(np.append(ticks - 0.5, ticks[-1] + 0.5), len(ticks))
    drawn = ax.scatter(
        points[:, 0],
        points[:, 1],
        c=numbers,
        cmap=shades,
        norm=norm,
        s=17,
        edgecolors="0.25",
        linewidths=0.35,
    )
    ax.figure.colorbar(drawn, ax=ax, label=label, ticks=ticks)
