"""Predictions over a condition, such as the temperature of a test."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.plots._labels import readable, target_label, tick_labels
from pyro_hea.plots._style import (
    BLUE,
    GREEN,
    LINES,
    ORANGE,
    PURPLE,
    VERMILION,
    legend_right,
    require_columns,
    styled_axes,
)

_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)

MOST_CURVES = 5
"""Alloys drawn, the first of the table."""


def condition_curve(
    table: pd.DataFrame,
    target: str,
    condition: str,
    ax: Axes | None = None,
    *,
    unit: str = "probability",
) -> Axes:
    """Draw a target of alloys against a condition, with the band of its 94 % interval.

    Parameters
    ----------
    table : DataFrame
        By formula, as `predict(alloys, conditions={condition: [...]})` gives it: columns
        `condition`, `target`, and `target` with ``_low`` and ``_high``.
    target, condition : str
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    unit : str
        Of the target.

    Examples
    --------
    >>> rows = {"test_temperature_C": [25, 800], "hardness": [520.0, 310.0]}
    >>> table = pd.DataFrame(rows, index=["AlCoCrFeNi"] * 2)
    >>> table = table.assign(hardness_low=table["hardness"] - 50, hardness_high=600.0)
    >>> condition_curve(table, "hardness", "test_temperature_C", unit="HV").get_xlabel()
    'test temperature (°C)'
    """
    low, high = f"{target}_low", f"{target}_high"
    require_columns(table, (condition, target, low, high))
    formulas = list(dict.fromkeys(table.index))
    names = tick_labels(formulas)
    with styled_axes(ax, (6.4, 3.8)) as ax:
        for i, formula in enumerate(formulas[:MOST_CURVES]):
            rows = table.loc[[formula]].sort_values(condition)
            x = rows[condition].to_numpy(float)
            colour = _COLOURS[i % len(_COLOURS)]
            ax.fill_between(
                x, rows[low].to_numpy(float), rows[high].to_numpy(float), color=colour, alpha=0.18
            )
            line = LINES[i % len(LINES)]
            ax.plot(x, rows[target], line, color=colour, label=f"{names[i]}, 94 % interval")
        if condition.endswith("_C"):
            label = f"{readable(condition.removesuffix('_C'))} (°C)"
        else:
            label = readable(condition)
        left_out = len(formulas) - MOST_CURVES
        if left_out > 0:
            ax.set_title(f"first {MOST_CURVES} of {len(formulas)} alloys", fontsize=9)
        ax.set(xlabel=label, ylabel=target_label(target, unit))
        legend_right(ax)
    return ax
