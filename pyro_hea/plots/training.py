"""How the losses fell while the ensemble was trained."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.plots._style import BLUE, VERMILION, Panels, house_style, new_panels, require_columns


def training_curve(history: pd.DataFrame, ax: Sequence[Axes] | None = None) -> Panels:
    """Draw the losses by epoch: the median over members, and a band from least to greatest.

    Parameters
    ----------
    history : DataFrame
        One row per epoch and member: `epoch`, `member`, `loss` and `validation_elbo_loss` (nats
        per alloy), `validation_log_loss` (nats per label). A validation loss is NaN on epochs
        without an evaluation. A column `best` (bool), if there is one, marks each member's best
        epoch.
    ax : sequence of two matplotlib.axes.Axes, optional
        Where to draw the ELBO losses and the log loss.

    Returns
    -------
    Panels
        The loss and below it the log loss; the loss alone where the log loss is constant, as it is
        where distillation has trained the heads beforehand.

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [0, 1], "member": 0, "loss": [9.0, 7.0],
    ...     "validation_elbo_loss": [9.5, 8.0], "validation_log_loss": [0.6, 0.4]})
    >>> training_curve(history)[1].get_ylabel()
    'log loss (nats per label)'
    """
    require_columns(
        history, ("epoch", "member", "loss", "validation_elbo_loss", "validation_log_loss")
    )
    constant = (history.groupby("member")["validation_log_loss"].nunique() == 1).all()
    with house_style():
        if ax is not None:
            panels = Panels(ax)
        elif constant:
            panels = new_panels((6.0, 3.4))
        else:
            panels = new_panels((6.0, 5.0), 2, sharex=True, height_ratios=(3, 2))
        upper = panels[0]
        _band(upper, history, "loss", "training", BLUE, "-", "//")
        _band(upper, history, "validation_elbo_loss", "validation", VERMILION, "--", "\\\\")
        upper.set_ylabel("loss (nats per alloy)")
        for lower in panels[1:]:
            _band(lower, history, "validation_log_loss", "validation", VERMILION, "--", "\\\\")
            lower.set_ylabel("log loss (nats per label)")
        panels[-1].set_xlabel("epoch (passes over the training alloys)")
        for panel in panels:
            panel.margins(x=0.02)
            if panel.get_legend_handles_labels()[0]:
                panel.legend(loc="upper right")
            else:
                panel.set_yticks([])
                panel.text(0.5, 0.5, "not evaluated", ha="center", transform=panel.transAxes)
    return panels


def _band(
    ax: Axes, history: pd.DataFrame, column: str, label: str, colour: str, line: str, hatch: str
) -> None:
    rows = history.dropna(subset=[column])
    if rows.empty:
        return
    spread = rows.groupby("epoch")[column].agg(["median", "min", "max"])
    members = rows["member"].nunique()
    if members > 1:
        label = f"{label}, median and range of {members} members"
        ax.fill_between(
            spread.index,
            spread["min"],
            spread["max"],
            facecolor=colour,
            edgecolor=colour,
            alpha=0.22,
            hatch=hatch,
            linewidth=0,
        )
    ax.plot(spread.index, spread["median"], line, color=colour, label=label)
    if "best" in rows and column.startswith("validation"):
        best = rows[rows["best"].astype(bool)]
        ax.plot(
            best["epoch"],
            best[column],
            "o",
            markersize=4.5,
            markerfacecolor="white",
            color="0.35",
            markeredgewidth=0.8,
            label="best epoch of a member",
        )
