"""Held-out alloys of a cross-validation: predicted numbers, and the log loss of classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pyro_hea.plots._labels import readable
from pyro_hea.plots._style import (
    BLUE,
    REFERENCE,
    VERMILION,
    Panels,
    house_style,
    label_rows,
    new_panels,
    require_columns,
)

_COLUMNS = 3


def cross_validation_panels(
    table: pd.DataFrame, predictions: pd.DataFrame, units: Mapping[str, str]
) -> Panels:
    """Draw each target of a cross-validation in a panel of its own.

    Parameters
    ----------
    table, predictions : DataFrame
        As of `CrossValidation`; the first model of each target is drawn in full.
    units : mapping of str to str
        Unit of each number.

    Returns
    -------
    Panels
        Of a number its predictions against the labels, with the 94 % intervals, blue where they
        hold. Of a class the log loss of each model with its standard error.

    Examples
    --------
    >>> index = pd.MultiIndex.from_tuples([("hardness", "a")], names=["target", "model"])
    >>> table = pd.DataFrame({"n": [2], "mae": [5.0], "r2": [0.9], "coverage": [1.0]}, index)
    >>> rows = {"label": [200.0, 300.0], "prediction": [205.0, 295.0]}
    >>> predictions = pd.DataFrame({"target": "hardness", "model": "a", **rows})
    >>> predictions = predictions.assign(low=150.0, high=350.0)
    >>> cross_validation_panels(table, predictions, {"hardness": "HV"})[0].get_xlabel()
    'hardness, measured (HV)'
    """
    require_columns(predictions, ("target", "model", "label", "prediction"))
    targets = list(dict.fromkeys(predictions["target"]))
    columns = min(len(targets), _COLUMNS)
    rows = -(-len(targets) // columns)
    with house_style():
        panels = new_panels((4.2 * columns, 3.9 * rows), rows, columns)
        for panel, target in zip(panels, targets, strict=False):
            of_target = predictions[predictions["target"] == target]
            if target in units:
                own = of_target[of_target["model"] == of_target["model"].iloc[0]]
                _draw_numbers(panel, own, f"{readable(target)}", units[target])
                panel.set_title(_scores(table.loc[target].iloc[0], units[target]), fontsize=9)
            else:
                _draw_log_losses(panel, of_target)
                panel.set_title(readable(target), fontsize=9)
        for panel in panels[len(targets) :]:
            panel.set_axis_off()
    return panels


def _draw_numbers(panel: Axes, rows: pd.DataFrame, name: str, unit: str) -> None:
    inside = rows["label"].between(rows["low"], rows["high"]).to_numpy()
    sides = np.abs(rows[["low", "high"]].sub(rows["prediction"], axis=0).to_numpy().T)
    for chosen, colour, label in (
        (inside, BLUE, "in its 94 % interval"),
        (~inside, VERMILION, "outside of it"),
    ):
        some = rows[chosen]
        panel.errorbar(
            some["label"],
            some["prediction"],
            sides[:, chosen],
            fmt="o" if colour == BLUE else "D",
            color=colour,
            ecolor=colour,
            elinewidth=0.6,
            markersize=3,
            alpha=0.7,
            label=f"{label} ({chosen.sum()})",
        )
    panel.axline((rows["label"].iloc[0],) * 2, slope=1, **REFERENCE)
    of_unit = f" ({unit})" if unit else ""
    panel.set(xlabel=f"{name}, measured{of_unit}", ylabel=f"{name}, predicted{of_unit}")
    panel.legend(loc="upper left")


def _scores(scores: pd.Series, unit: str) -> str:
    return (
        f"MAE {scores['mae']:.3g}{unit and ' ' + unit}, R² {scores['r2']:.2f}, "
        f"{100 * scores['coverage']:.0f} % in their 94 % interval"
    )


def _draw_log_losses(panel: Axes, rows: pd.DataFrame) -> None:
    losses = -np.log(rows["probability"].clip(np.finfo(float).eps))
    each = losses.groupby(rows["model"], sort=False).agg(["mean", "sem"]).dropna()
    at = np.arange(len(each))
    panel.errorbar(each["mean"], at, xerr=each["sem"], fmt="o", color=BLUE, capsize=3)
    panel.set_xlabel("log loss (nats per label), ± standard error")
    label_rows(panel, [readable(str(name)) for name in each.index])
