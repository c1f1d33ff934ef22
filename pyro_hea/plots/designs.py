"""Designs: how they were reached, how sure and how new they are, and what a judge says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from pyro_hea.errors import DataError
from pyro_hea.plots._elements import element_style
from pyro_hea.plots._labels import readable
from pyro_hea.plots._style import (
    BLACK,
    BLUE,
    GREEN,
    LIGHT_GREY,
    LINES,
    ORANGE,
    REFERENCE,
    VERMILION,
    legend_right,
    require_columns,
    styled_axes,
)
from pyro_hea.plots.draws import draw_rank_differences

if TYPE_CHECKING:
    import arviz as az

_CHAINS = (BLUE, VERMILION, GREEN, ORANGE, BLACK)

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

    Examples
    --------
    >>> trail = pd.DataFrame({"step": [0, 1], "Co": [0.5, 0.2], "Ni": [0.5, 0.8]})
    >>> design_trail(trail, ["Co", "Ni"]).get_ylabel()
    'amount (at.%)'
    """
    require_columns(trail, ["step", *elements])
    present = [element for element in elements if trail[element].max() >= _SHOWN]
    with styled_axes(ax, (6.0, 3.6)) as ax:
        for element in present:
            look = element_style(element)
            ax.plot(
                trail["step"],
                100 * trail[element],
                linestyle=look.line,
                marker=look.marker,
                color=look.ink,
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
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_right(ax)
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

    Examples
    --------
    >>> table = pd.DataFrame({"novelty": [0.1], "all_wishes": [0.9]})
    >>> table = table.assign(all_wishes_low=0.8, all_wishes_high=0.95)
    >>> design_novelty(table).get_xlabel()
    'atoms that differ from the nearest known alloy (at.%)'
    """
    low, high = f"{target}_low", f"{target}_high"
    require_columns(table, ["novelty", target, low, high])
    y = table[target].to_numpy()
    error = np.maximum(np.abs(np.stack([y - table[low], table[high] - y])), 0)
    with styled_axes(ax, (5.0, 3.6)) as ax:
        ax.axhline(0.5, **REFERENCE)
        ax.errorbar(
            100 * table["novelty"].to_numpy(),
            y,
            error,
            fmt="o",
            markersize=4,
            color=BLUE,
            ecolor=LIGHT_GREY,
            elinewidth=0.8,
        )
        ax.set(
            xlabel="atoms that differ from the nearest known alloy (at.%)",
            ylabel=f"probability of {readable(target)}",
            ylim=(0, 1.02),
        )
    return ax


def design_pareto(
    table: pd.DataFrame, x: str, y: str, best: ArrayLike, ax: Axes | None = None
) -> Axes:
    """Draw two objectives of designs against each other, with their intervals.

    Parameters
    ----------
    table : DataFrame
        As of a `DesignResult`, with a column for each objective.
    x, y : str
        Columns of the objectives; `_low` and `_high` of them are drawn where there are any.
    best : array_like of bool, shape (N,)
        The Pareto set.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Examples
    --------
    >>> table = pd.DataFrame({"hardness": [500.0, 600.0], "density": [6.0, 7.0]})
    >>> design_pareto(table, "hardness", "density", [True, True]).get_ylabel()
    'density'
    """
    require_columns(table, [x, y])
    best = np.asarray(best, bool)
    units = table.attrs.get("units", {})
    with styled_axes(ax, (5.0, 3.8)) as ax:
        for rows, color, label in (
            (~best, LIGHT_GREY, "other designs"),
            (best, BLUE, "Pareto set"),
        ):
            if rows.any():
                error = {"xerr": _interval(table[rows], x), "yerr": _interval(table[rows], y)}
                ax.errorbar(
                    table.loc[rows, x],
                    table.loc[rows, y],
                    **error,
                    fmt="o" if label == "Pareto set" else "s",
                    markersize=4,
                    color=color,
                    elinewidth=0.6,
                    label=label,
                )
        front = table[best].sort_values(x)
        ax.plot(front[x], front[y], color=BLUE, linewidth=1)
        named = {name: f"{readable(name)} ({units[name]})" for name in (x, y) if units.get(name)}
        ax.set(xlabel=named.get(x, readable(x)), ylabel=named.get(y, readable(y)))
        legend_right(ax)
    return ax


def _interval(table: pd.DataFrame, name: str) -> Any:
    """Distances to the ends of the interval, (2, N), or None where the column has none."""
    low, high = f"{name}_low", f"{name}_high"
    if low not in table:
        return None
    return np.maximum(np.stack([table[name] - table[low], table[high] - table[name]]), 0)


def design_judgement(
    predicted: ArrayLike, judged: ArrayLike, ax: Axes | None = None, bins: int = 10
) -> Axes:
    """Draw what the model predicts of designs against what a judge says, and their means.

    Parameters
    ----------
    predicted, judged : array_like, shape (N,)
        Probability of each design by the model that made it and by one that never met it.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    bins : int
        Groups of equal size by prediction, of which the means are drawn.

    Raises
    ------
    DataError
        Where there are not as many judgements as predictions, or none.

    Examples
    --------
    >>> design_judgement([0.9, 0.5], [0.8, 0.4]).get_ylabel()
    'probability by the judge'
    """
    x, y = np.asarray(predicted, float), np.asarray(judged, float)
    if x.shape != y.shape or x.ndim != 1 or not len(x):
        raise DataError(f"one judgement for each prediction is needed, not {y.shape} of {x.shape}")
    order = np.argsort(x, kind="stable")
    groups = np.array_split(order, min(bins, len(order)))
    means = np.array([[x[rows].mean(), y[rows].mean()] for rows in groups])
    with styled_axes(ax, (4.2, 4.2)) as ax:
        ax.axline((0, 0), slope=1, label="agreement", **REFERENCE)
        ax.plot(x, y, "o", markersize=3, color=LIGHT_GREY, label="designs")
        ax.plot(*means.T, "s-", color=BLUE, label="means of equal groups")
        ax.set(
            xlabel="probability by the model",
            ylabel="probability by the judge",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
        )
        ax.legend(loc="upper left")
    return ax


def design_chains(
    idata: az.InferenceData,
    member: int = 0,
    latent: str = "z0",
    kind: Literal["rank", "trace"] = "rank",
    ax: Axes | None = None,
) -> Axes:
    """Draw one coordinate of the chains that designs come from.

    Parameters
    ----------
    idata : InferenceData
        Of designs by NUTS.
    member : int
    latent : str
    kind : {"rank", "trace"}
        How the ranks among all draws are spread in each chain, near 0 throughout where chains
        have mixed (Vehtari et al., Bayesian Analysis 16 (2021) 667); or draw by draw.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Raises
    ------
    DataError
        For designs without Markov chains.
    """
    if idata["posterior"].attrs.get("inference") != "nuts":
        raise DataError("these designs have no Markov chains: ask for them with method='nuts'")
    z = idata["posterior"]["z"].sel(member=member, latent=latent).to_numpy()
    with styled_axes(ax, (5.4, 3.4)) as ax:
        if kind == "rank":
            draw_rank_differences(ax, z, "chain")
            ax.set_xlabel(f"rank of {latent} of member {member} among all draws (share)")
            return ax
        for i, chain in enumerate(z):
            colour, line = _CHAINS[i % len(_CHAINS)], LINES[i % len(LINES)]
            ax.plot(chain, line, color=colour, linewidth=1.0, label=f"chain {i}")
        ax.set(xlabel="draw", ylabel=f"{latent} of member {member} (no unit)")
        legend_right(ax)
    return ax
