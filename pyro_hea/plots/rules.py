"""Rules beside each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.plots._labels import label_width
from pyro_hea.plots._style import (
    BLUE,
    REFERENCE,
    VERMILION,
    label_rows,
    legend_above,
    require_columns,
    styled_axes,
)


def rules_plot(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how often each rule is right and how often it agrees with the head.

    Parameters
    ----------
    table : DataFrame
        As `compare_rules` gives it.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> table = pd.DataFrame({"balanced_accuracy": [0.6], "fidelity": [0.7]}, index=["Ω > 1.1"])
    >>> [text.get_text() for text in rules_plot(table).get_legend().get_texts()]
    ['balanced accuracy against labels', 'agreement with the head']
    """
    require_columns(table, ("balanced_accuracy", "fidelity"))
    names, rows = [str(name) for name in table.index], np.arange(len(table))
    with styled_axes(ax, (5.2 + label_width(names), 1.3 + 0.3 * len(table))) as ax:
        ax.plot(
            table["balanced_accuracy"],
            rows,
            "o",
            color=BLUE,
            markersize=7,
            label="balanced accuracy against labels",
        )
        ax.plot(
            table["fidelity"],
            rows,
            "s",
            markerfacecolor="none",
            markeredgecolor=VERMILION,
            markersize=8,
            label="agreement with the head",
        )
        ax.axvline(0.5, zorder=0, **REFERENCE)
        ax.set(xlabel="share of the alloys", xlim=(0.4, 1.02))
        label_rows(ax, names)
        legend_above(ax)
    return ax
