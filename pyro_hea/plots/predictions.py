"""What is predicted for single alloys, and how surely."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.plots._labels import label_width, readable, tick_labels
from pyro_hea.plots._style import BLACK, BLUE, REFERENCE, require_columns, styled_axes

MOST_NAMES = 60
"""Alloys up to which each one's formula is written at its row."""


def predictions_forest(
    table: pd.DataFrame, target: str, ax: Axes | None = None, unit: str = "probability"
) -> Axes:
    """Draw the mean and the 94 % interval of a target for each alloy, the greatest mean on top.

    Parameters
    ----------
    table : DataFrame
        Indexed by formula, as `predict` gives it: the columns `target`, and `target` with
        ``_low`` and ``_high``.
    target : str
        A binary or a continuous target.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    unit : str
        The target's unit, for the label. The axis of a "probability" goes from 0 to 1.

    Examples
    --------
    >>> table = pd.DataFrame({"hardness": [210.0, 640.0], "hardness_low": [150.0, 500.0],
    ...                       "hardness_high": [280.0, 800.0]}, index=["CoCrFeNi", "AlCoCrFeNi"])
    >>> ax = predictions_forest(table, "hardness", unit="HV")
    >>> ax.get_xlabel(), [label.get_text() for label in ax.get_yticklabels()]
    ('hardness (HV; mean and 94 % interval)', ['AlCoCrFeNi', 'CoCrFeNi'])
    """
    low, high = f"{target}_low", f"{target}_high"
    require_columns(table, (target, low, high))
    ranked = table.sort_values(target, ascending=False, kind="stable")
    rows, named = range(len(ranked)), len(ranked) <= MOST_NAMES
    names = tick_labels(ranked.index) if named else []
    size = (5.0 + label_width(names), 0.9 + 0.22 * len(ranked) if named else 6.0)
    with styled_axes(ax, size) as ax:
        ax.hlines(
            rows,
            ranked[low],
            ranked[high],
            color=BLUE,
            linewidth=1.6 if named else 0.8,
            alpha=1.0 if named else 0.6,
        )
        ax.plot(ranked[target], rows, "o", color=BLACK, markersize=4.5 if named else 2)
        ax.set(
            xlabel=f"{readable(target)} ({unit}; mean and 94 % interval)",
            ylabel="alloy",
            ylim=(len(ranked) - 0.4, -0.6),
        )
        if unit == "probability":
            ax.set_xlim(-0.02, 1.02)
            ax.axvline(0.5, zorder=0, **REFERENCE)
        if named:
            ax.set_yticks(rows, names)
        else:
            ax.set(ylabel=f"alloy (rank, 0 to {len(ranked) - 1})")
        ax.grid(visible=False, axis="y")
    return ax
