"""Compositions: how well they are reconstructed, and what the designed ones are made of."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.evaluate.measures import composition_metrics
from pyro_hea.plots._elements import element_style
from pyro_hea.plots._labels import label_width, readable, tick_labels
from pyro_hea.plots._style import BLACK, BLUE, REFERENCE, legend_above, require_columns, styled_axes

MOST_BARS = 20
"""Alloys drawn by `composition_bars`, from the first row of its table on."""

_LABEL_BOX = {"boxstyle": "round,pad=0.12", "facecolor": "white", "linewidth": 0, "alpha": 0.85}
_LABELLED = 4.0
"""at.%; a segment narrower than this holds no element symbol."""


def reconstruction(true: pd.DataFrame, reconstructed: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw reconstructed against true amounts, for each element present in each alloy.

    Parameters
    ----------
    true, reconstructed : DataFrame
        Atomic fractions, one row per alloy (in the same order) and one column per element. An
        element without a column is absent from that table's alloys.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on. The mean absolute errors written there (at.%) are over all elements
        and over those present.

    Examples
    --------
    >>> true = pd.DataFrame({"Co": [0.5, 0.2], "Ni": [0.5, 0.8]}, index=["CoNi", "CoNi4"])
    >>> reconstruction(true, true).get_xlabel()
    'true amount (at.%)'
    """
    elements = true.columns.union(reconstructed.columns)
    true = true.reindex(columns=elements, fill_value=0.0)
    reconstructed = reconstructed.reindex(columns=elements, fill_value=0.0)
    errors = composition_metrics(true, reconstructed)
    present = true.to_numpy() > 0
    left, right = 100 * true.to_numpy()[present], 100 * reconstructed.to_numpy()[present]
    with styled_axes(ax, (4.6, 4.6)) as ax:
        ax.axline((0, 0), slope=1, label="identity", **REFERENCE)
        ax.scatter(
            left,
            right,
            s=12,
            facecolor="none",
            edgecolor=BLUE,
            linewidths=0.8,
            alpha=0.55,
            label=f"elements present ({present.sum()})",
        )
        ax.set(
            xlabel="true amount (at.%)",
            ylabel="reconstructed amount (at.%)",
            aspect="equal",
            xlim=(0, 102),
            ylim=(0, 102),
        )
        ax.text(
            0.97,
            0.03,
            f"MAE {errors['mae_at_pct']:.2f} at.% over {len(elements)} elements\n"
            f"{errors['mae_present_at_pct']:.2f} at.% over those present",
            ha="right",
            va="bottom",
            transform=ax.transAxes,
        )
        ax.legend(loc="upper left")
    return ax


def composition_bars(
    fractions: pd.DataFrame, ax: Axes | None = None, probability: pd.DataFrame | None = None
) -> Axes:
    """Draw what alloys are made of, one stacked bar each, the first at the top.

    Parameters
    ----------
    fractions : DataFrame
        Atomic fractions, indexed by formula, best alloy first; the first `MOST_BARS` are drawn.
        An element has the same look in every figure.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    probability : DataFrame, optional
        Written beside the bars: the first column of a table as `predict` gives it, with the
        interval from the columns of the same name that end in ``_low`` and ``_high`` if they are
        there. Its rows are those of `fractions`.

    Examples
    --------
    >>> designs = pd.DataFrame({"Co": [0.5, 0.2], "Ni": [0.5, 0.8]}, index=["CoNi", "CoNi4"])
    >>> composition_bars(designs).get_xlabel()
    'amount (at.%)'
    """
    shown = 100 * fractions.iloc[:MOST_BARS]
    rows = range(len(shown))
    names = tick_labels(shown.index)
    width = (6.0 if probability is None else 7.5) + label_width(names)
    with styled_axes(ax, (width, 1.1 + 0.27 * len(shown))) as ax:
        left = 0 * shown.iloc[:, 0]
        for element, amount in shown.items():
            if not amount.any():
                continue
            look = element_style(str(element))
            ax.barh(
                rows,
                amount,
                left=left,
                height=0.8,
                facecolor=look.tint,
                edgecolor="0.45",
                linewidth=0.5,
                hatch=look.hatch,
                label=str(element),
            )
            for row in rows:
                if amount.iloc[row] >= _LABELLED:
                    ax.text(
                        left.iloc[row] + amount.iloc[row] / 2,
                        row,
                        str(element),
                        ha="center",
                        va="center",
                        fontsize=8,
                        color=BLACK,
                        bbox=_LABEL_BOX,
                    )
            left = left + amount
        count = len(fractions)
        ax.set(
            xlabel="amount (at.%)",
            xlim=(0, 100),
            ylim=(len(shown) - 0.5, -0.5),
            ylabel="alloy" + (f" (first {MOST_BARS} of {count})" if count > MOST_BARS else ""),
        )
        ax.set_yticks(rows, names)
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False)
        legend_above(ax, 10, handlelength=1.4, handletextpad=0.4, columnspacing=1.0)
        if probability is not None:
            _beside(ax, probability.iloc[:MOST_BARS])
    return ax


def _beside(ax: Axes, probability: pd.DataFrame) -> None:
    name = str(probability.columns[0])
    low, high = f"{name}_low", f"{name}_high"
    label = f"probability of\n{readable(name)}"
    texts = [f"{value:.2f}" for value in probability[name]]
    if low in probability:
        require_columns(probability, [high])
        label += "\n(94 % interval)"
        ends = zip(texts, probability[low], probability[high], strict=True)
        texts = [f"{text} ({a:.2f}–{b:.2f})" for text, a, b in ends]
    for row, text in enumerate(texts):
        ax.text(1.015, row, text, va="center", transform=ax.get_yaxis_transform())
    ax.annotate(label, (1.015, 0), (0, -18), "axes fraction", "offset points", va="top")
