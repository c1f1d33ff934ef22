"""What predictions rest on: importances, all alloys at once, one alloy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from pyro_hea.plots._labels import feature_label, label_width, target_label, tick_labels
from pyro_hea.plots._style import (
    BLACK,
    BLUE,
    LIGHT_GREY,
    REFERENCE,
    VERMILION,
    label_rows,
    legend_above,
    require_columns,
    styled_axes,
)

MOST_PLAYERS = 20
"""Features drawn, the most important first; the waterfall sums up the rest."""


def importance_bars(
    importance: pd.DataFrame, ax: Axes | None = None, *, unit: str = "probability"
) -> Axes:
    """Draw the mean size of each feature's attribution with its interval over the members.

    Parameters
    ----------
    importance : DataFrame
        As `Attributions.importance` gives it: `mean`, `low`, `high` by feature or group. With a
        column `published`, as `compare_with_published` adds it, that is drawn beside.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    unit : str
        Of what is explained.

    Examples
    --------
    >>> table = pd.DataFrame({"mean": [0.2], "low": [0.1], "high": [0.3]}, index=["omega"])
    >>> importance_bars(table).get_xlabel()
    'mean |SHAP| (probability; 94 % of the members)'
    """
    require_columns(importance, ("mean", "low", "high"))
    shown = importance.sort_values("mean", ascending=False).head(MOST_PLAYERS)
    names, rows = [feature_label(name) for name in shown.index], np.arange(len(shown))
    with styled_axes(ax, (4.5 + label_width(names), 1.1 + 0.27 * len(shown))) as ax:
        ax.barh(rows, shown["mean"], 0.62, color=BLUE, label="this model")
        ax.hlines(rows, shown["low"], shown["high"], color=BLACK, linewidth=1.3)
        if "published" in shown:
            ax.plot(
                shown["published"],
                rows,
                "D",
                markerfacecolor="white",
                markeredgecolor=VERMILION,
                markersize=6,
                label="published model (arXiv:2409.06740)",
            )
            legend_above(ax)
        ax.set(xlabel=f"mean |SHAP| ({unit}; 94 % of the members)", xlim=(0, None))
        label_rows(ax, names)
    return ax


def beeswarm(
    means: pd.DataFrame,
    features: pd.DataFrame,
    ax: Axes | None = None,
    *,
    unit: str = "probability",
) -> Axes:
    """Draw the attribution of every alloy to every feature, shaded by the feature's value.

    Parameters
    ----------
    means : DataFrame, shape (alloys, players)
        As `Attributions.means` gives it.
    features : DataFrame, shape (alloys, F)
        The features' values; a player that is none of them (a group) is not shaded.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    unit : str
        Of what is explained.

    Examples
    --------
    >>> means = pd.DataFrame({"omega": [0.1, -0.2]}, index=["CoNi", "AlNi"])
    >>> beeswarm(means, means).get_xlabel()
    'SHAP value (probability, mean over the members)'
    """
    order = means.abs().mean().sort_values(ascending=False).index[:MOST_PLAYERS]
    names = [feature_label(name) for name in order]
    widest = max(float(means.abs().to_numpy().max()), 1e-9)
    shades = colormaps["cividis"]
    with styled_axes(ax, (5.6 + label_width(names), 1.3 + 0.3 * len(order))) as ax:
        ax.axvline(0, **REFERENCE)
        for row, name in enumerate(order):
            x = means[name].to_numpy(float)
            colour: str | npt.NDArray[np.float64] = "0.6"
            if name in features:
                colour = shades((features[name].rank(method="average") - 1) / max(len(x) - 1, 1))
            ax.scatter(
                x,
                row + _spread(x / widest),
                s=11,
                c=colour,
                edgecolors="0.25",
                linewidths=0.25,
            )
        ax.set_xlabel(f"SHAP value ({unit}, mean over the members)")
        label_rows(ax, names)
        if any(name in features for name in order):
            bar = ax.figure.colorbar(ScalarMappable(cmap=shades), ax=ax, ticks=[0, 1], pad=0.02)
            bar.ax.set_yticklabels(["lowest", "highest"])
            bar.set_label("value of the feature (rank)", labelpad=-28)
    return ax


def waterfall(
    table: pd.DataFrame,
    base: float,
    alloy: str,
    target: str,
    ax: Axes | None = None,
    *,
    unit: str = "probability",
) -> Axes:
    """Draw how one alloy's prediction comes about, from the background's to its own.

    Parameters
    ----------
    table : DataFrame
        As `Attributions.of` gives it: `value`, `mean`, `low`, `high` by feature, strongest first.
    base : float
        Mean of the background, where the bars start.
    alloy, target : str
        For the labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    unit : str
        Of what is explained.

    Returns
    -------
    matplotlib.axes.Axes
        From base (top) to prediction (bottom); the lines are the 94 % of the members around where
        each bar ends.

    Examples
    --------
    >>> table = pd.DataFrame({"value": [1.5], "mean": [0.2], "low": [0.1], "high": [0.3]},
    ...                      index=["omega"])
    >>> ax = waterfall(table, 0.5, "CoNi", "single_phase")
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['omega = 1.5']
    """
    require_columns(table, ("value", "mean", "low", "high"))
    shown, rest = table.head(MOST_PLAYERS), table.iloc[MOST_PLAYERS:]
    labels = [
        feature_label(name) + (f" = {value:.4g}" if np.isfinite(value) else "")
        for name, value in shown["value"].items()
    ]
    steps = shown[["mean", "low", "high"]]
    if len(rest):
        labels.append(f"{len(rest)} others")
        others = rest["mean"].sum()
        last = pd.DataFrame({"mean": others, "low": others, "high": others}, index=["others"])
        steps = pd.concat([steps, last])
    ends = base + steps["mean"].cumsum().to_numpy()
    starts, rows = np.append(base, ends[:-1]), np.arange(len(steps))
    digits = ".2f" if unit == "probability" else ".4g"
    with styled_axes(ax, (5.0 + label_width(labels), 1.6 + 0.27 * len(steps))) as ax:
        up = (steps["mean"] >= 0).to_numpy()
        for rising, face, hatch, label in (
            (True, BLUE, "", "raises"),
            (False, "white", "///", "lowers"),
        ):
            chosen = up == rising
            ax.barh(
                rows[chosen],
                steps["mean"].to_numpy()[chosen],
                0.66,
                left=starts[chosen],
                facecolor=face,
                edgecolor=BLUE if rising else VERMILION,
                hatch=hatch,
                linewidth=0.8,
                label=label,
            )
        ax.hlines(
            rows,
            starts + steps["low"].to_numpy(),
            starts + steps["high"].to_numpy(),
            color=BLACK,
            linewidth=1.1,
        )
        ax.use_sticky_edges = False
        ax.margins(x=0.05)
        ax.vlines(ends[:-1], rows[:-1] - 0.33, rows[1:] + 0.33, color=LIGHT_GREY, linewidth=0.8)
        ax.axvline(base, **REFERENCE)
        ax.axvline(ends[-1], color=BLACK, linewidth=1, linestyle="--")
        ax.set_xlabel(
            f"{target_label(target, unit)}, from {base:{digits}} (background, dotted)\n"
            f"to {ends[-1]:{digits}} ({tick_labels([alloy])[0]}, dashed)"
        )
        label_rows(ax, labels)
        legend_above(ax)
    return ax


def _spread(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Offsets across a row so that near points lie side by side, in (-0.4, 0.4)."""
    slot = np.round(60 * x).astype(int)
    offset = np.zeros(len(x))
    for value in np.unique(slot):
        rows = np.flatnonzero(slot == value)
        place = np.arange(len(rows))
        offset[rows] = np.where(place % 2, 1, -1) * ((place + 1) // 2)
    return 0.4 * offset / max(np.abs(offset).max(), 8.0)
