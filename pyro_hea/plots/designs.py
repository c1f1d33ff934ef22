"""Designs: how they were reached, and how sure and how new they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.plots._style import BLUE, FAINT, VERMILION, drawn_on, require, words

_SHOWN = 0.01
"""Elements that never reach this fraction along a trail are drawn together."""


def design_trail(trail: pd.DataFrame, elements: list[str], ax: Axes | None = None) -> Axes:
    """Draw how a composition changes along a trail, element by element.

    Parameters
    ----------
    trail : DataFrame
        As of a `DesignResult`: one row per step, a column per element (atomic fractions).
    elements : list of str
        Which of its columns are elements.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Examples
    --------
    >>> trail = pd.DataFrame({"step": [0, 1], "Co": [0.5, 0.2], "Ni": [0.5, 0.8]})
    >>> design_trail(trail, ["Co", "Ni"]).get_ylabel()
    'amount (at.%)'
    """
    require(trail, ["step", *elements])
    present = [element for element in elements if trail[element].max() >= _SHOWN]
    styles = ("-", "--", "-.", ":")
    with drawn_on(ax, (6.0, 3.6)) as ax:
        for i, element in enumerate(present):
            ax.plot(
                trail["step"],
                100 * trail[element],
                linestyle=styles[i % len(styles)],
                marker="osD^vP*X"[i % 8],
                markersize=4,
                label=element,
            )
        if "all_wishes" in trail:
            ax.plot(trail["step"], 100 * trail["all_wishes"], color="0.2", linewidth=2.5, alpha=0.5)
            ax.annotate(
                "probability (%)",
                (trail["step"].iloc[-1], 100 * trail["all_wishes"].iloc[-1]),
                (-4, 4),
                textcoords="offset points",
                ha="right",
                color="0.2",
            )
        ax.set(xlabel="step", ylabel="amount (at.%)", ylim=(0, 102))
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return ax


def design_novelty(table: pd.DataFrame, ax: Axes | None = None, target: str = "all_wishes") -> Axes:
    """Draw the probability of designs against their distance from the nearest known alloy.

    Parameters
    ----------
    table : DataFrame
        As of a `DesignResult`, with `novelty` and the target's interval.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    target : str
        The column of the probability.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Examples
    --------
    >>> table = pd.DataFrame({"novelty": [0.1], "all_wishes": [0.9]})
    >>> table = table.assign(all_wishes_low=0.8, all_wishes_high=0.95)
    >>> design_novelty(table).get_xlabel()
    'atoms that differ from the nearest known alloy (at.%)'
    """
    low, high = f"{target}_low", f"{target}_high"
    require(table, ["novelty", target, low, high])
    y = table[target].to_numpy()
    error = np.maximum(np.abs(np.stack([y - table[low], table[high] - y])), 0)
    with drawn_on(ax, (5.0, 3.6)) as ax:
        ax.axhline(0.5, color=VERMILION, linestyle="--", linewidth=1)
        ax.errorbar(
            100 * table["novelty"].to_numpy(),
            y,
            error,
            fmt="o",
            markersize=4,
            color=BLUE,
            ecolor=FAINT,
            elinewidth=0.8,
        )
        ax.set(
            xlabel="atoms that differ from the nearest known alloy (at.%)",
            ylabel=f"probability of {words(target)}",
            ylim=(0, 1.02),
        )
    return ax
