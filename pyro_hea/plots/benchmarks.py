"""Measures with their intervals, side by side, and how they change with a size."""

from __future__ import annotations

from collections.abc import Hashable

import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.plots._labels import label_width, readable
from pyro_hea.plots._style import (
    BLACK,
    BLUE,
    GREEN,
    LINES,
    MARKERS,
    ORANGE,
    PURPLE,
    REFERENCE,
    SKY,
    VERMILION,
    YELLOW,
    Panels,
    error_bars,
    house_style,
    new_panels,
    require_columns,
)

_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW)
_LOOKS = tuple(zip(_COLOURS, MARKERS, LINES * 2, strict=True))
"""Colour, marker and line of each series."""


def interval_panels(table: pd.DataFrame, reference: float | None = None) -> Panels:
    """Draw means with their intervals, one panel a measure and one row a name.

    Parameters
    ----------
    table : DataFrame
        Columns `measure` (with its unit), `name`, `mean`, `low` and `high`. A measure whose names
        occur twice needs a column `group`, which tells them apart.
    reference : float, optional
        Where to draw a line, such as 0 for differences.

    Returns
    -------
    Panels
        A tuple of the matplotlib axes.

    Examples
    --------
    >>> table = pd.DataFrame({"measure": "AUC", "name": ["a", "b"], "mean": [0.8, 0.9],
    ...     "low": [0.7, 0.85], "high": [0.85, 0.95]})
    >>> [panel.get_xlabel() for panel in interval_panels(table)]
    ['AUC']
    """
    require_columns(table, ("measure", "name", "mean", "low", "high"))
    names = list(dict.fromkeys(table["name"]))
    measures = list(dict.fromkeys(table["measure"]))
    with house_style():
        width = 0.8 + label_width(names) + 2.6 * len(measures)
        panels = new_panels((width, 1.1 + 0.32 * len(names)), columns=len(measures), sharey=True)
        for panel, measure in zip(panels, measures, strict=True):
            rows = table[table["measure"] == measure]
            _draw_intervals(panel, rows, names)
            if reference is not None:
                panel.axvline(reference, **REFERENCE)
            panel.set_xlabel(measure)
            panel.locator_params(axis="x", nbins=4)  # labels of three digits beside each other
        panels[0].set_yticks(range(len(names)), [readable(str(name)) for name in names])
        panels[0].set_ylim(len(names) - 0.5, -0.5)
        if "group" in table:
            _shared_legend(panels, 3)
    return panels


def _draw_intervals(panel: Axes, rows: pd.DataFrame, names: list[Hashable]) -> None:
    groups = list(dict.fromkeys(rows["group"])) if "group" in rows else [None]
    for index, group in enumerate(groups):
        chosen = rows if group is None else rows[rows["group"] == group]
        colour, marker, _ = _LOOKS[index % len(_LOOKS)]
        offset = 0.22 * (index - (len(groups) - 1) / 2)
        panel.errorbar(
            chosen["mean"],
            [names.index(name) + offset for name in chosen["name"]],
            xerr=error_bars(chosen),
            fmt=marker,
            color=colour,
            markersize=4.5,
            linewidth=1.2,
            capsize=2.5,
            label=group,
        )


def curve_panels(table: pd.DataFrame, logarithmic: bool = False) -> Panels:
    """Draw measures against a size on a logarithmic axis, one panel a pair of labels.

    Parameters
    ----------
    table : DataFrame
        Columns `x_label` and `y_label` (with units), `name` of the line, `x` and `mean`; `low` and
        `high`, where there are any, are drawn as bars.
    logarithmic : bool
        The other axis too.

    Returns
    -------
    Panels
        A tuple of the matplotlib axes.

    Examples
    --------
    >>> table = pd.DataFrame({"x_label": "labels", "y_label": "AUC", "name": "forest",
    ...     "x": [25, 50], "mean": [0.83, 0.86]})
    >>> [panel.get_ylabel() for panel in curve_panels(table)]
    ['AUC']
    """
    require_columns(table, ("x_label", "y_label", "name", "x", "mean"))
    names = list(dict.fromkeys(table["name"]))
    pairs = list(table.groupby(["y_label", "x_label"], sort=False))
    sizes = table["x_label"].nunique()
    across = sizes if sizes > 1 and len(pairs) % sizes == 0 else len(pairs)
    down = len(pairs) // across
    with house_style():
        panels = new_panels((3.6 * across + 0.4, 3.0 * down + 0.5), down, across)
        for panel, ((y_label, x_label), rows) in zip(panels, pairs, strict=True):
            for index, name in enumerate(names):
                line = rows[rows["name"] == name].sort_values("x")
                if len(line):
                    colour, marker, style = _LOOKS[index % len(_LOOKS)]
                    panel.errorbar(
                        line["x"],
                        line["mean"],
                        yerr=error_bars(line) if "low" in line else None,
                        fmt=f"{marker}{style}",
                        color=colour,
                        markersize=4.5,
                        linewidth=1.3,
                        capsize=2,
                        label=readable(str(name)),
                    )
            panel.set_xscale("log")
            panel.set_xticks(sorted(rows["x"].unique()), minor=False)
            panel.set_xticks([], minor=True)
            panel.set_xticklabels([f"{value:,.0f}" for value in sorted(rows["x"].unique())])
            if logarithmic:
                panel.set_yscale("log")
            panel.set(xlabel=x_label, ylabel=y_label)
        if len(names) > 1:
            _shared_legend(panels, 2 * across)
    return panels


def _shared_legend(panels: Panels, columns: int) -> None:
    """One legend for all panels, above them."""
    handles = panels[0].get_legend_handles_labels()
    panels.figure.legend(*handles, loc="outside upper center", ncols=columns)
