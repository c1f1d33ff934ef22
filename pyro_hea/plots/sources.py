"""How often sources are right."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.plots._labels import label_width, readable
from pyro_hea.plots._style import BLACK, BLUE, VERMILION, label_rows, require_columns, styled_axes

_STYLES = (("o", BLACK), ("s", BLUE), ("^", VERMILION), ("D", "0.45"))


def source_reliability(table: pd.DataFrame, target: str, ax: Axes | None = None) -> Axes:
    """Draw the probability that each source is right, by the true class, with its 94 % interval.

    Parameters
    ----------
    table : DataFrame
        As `DisentangledVAE.reliability` gives it.
    target : str
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> table = pd.DataFrame({"target": "single_phase", "source": ["a", "a"], "true": ["0", "1"],
    ...     "right": [0.9, 0.8], "right_low": [0.8, 0.7], "right_high": [0.95, 0.9]})
    >>> [tick.get_text() for tick in source_reliability(table, "single_phase").get_yticklabels()]
    ['a: single phase = 0', 'a: single phase = 1']
    """
    require_columns(table, ("target", "source", "true", "right", "right_low", "right_high"))
    rows = table[table["target"] == target].reset_index(drop=True)
    names = [f"{r['source']}: {readable(target)} = {r['true']}" for _, r in rows.iterrows()]
    classes = list(dict.fromkeys(rows["true"]))
    with styled_axes(ax, (4.4 + label_width(names), 0.9 + 0.32 * len(rows))) as ax:
        for i, name in enumerate(classes):
            marker, colour = _STYLES[i % len(_STYLES)]
            at = np.flatnonzero(rows["true"] == name)
            of_class = rows.iloc[at]
            ax.hlines(at, of_class["right_low"], of_class["right_high"], color=colour)
            ax.plot(of_class["right"], at, marker, color=colour, markersize=5.5)
        ax.set(
            xlabel="probability that a report is right (mean and 94 % interval)",
            xlim=(min(0.5, rows["right_low"].min()) - 0.02, 1.02),
        )
        label_rows(ax, names)
    return ax
