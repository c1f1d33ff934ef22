"""How the explorer shows a target of each kind: colours, background, predictions as HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from pyro_hea.spec import Binary, Continuous

if TYPE_CHECKING:
    from pyro_hea.spec import Target


def default_value(target: Target, values: pd.Series) -> float:
    """Value with which alloys are first decoded: 1, the first class, or the median."""
    if isinstance(target, Continuous):
        return float(values.median())
    return 1.0 if isinstance(target, Binary) else 0.0


def colour_columns(
    target: Target, labels: pd.Series | None, predictions: pd.DataFrame
) -> dict[str, pd.Series]:
    """What alloys can be coloured by: labels, predictions and their uncertainty, (N,) each.

    The uncertainty of a class is the probability that it is another one than the most probable.
    """
    name = target.name
    if isinstance(target, Binary | Continuous):
        unit = f", {target.unit}" if isinstance(target, Continuous) and target.unit else ""
        labelled = {} if labels is None else {f"{name} (label{unit})": labels}
        return labelled | {
            f"{name} (predicted{unit})": predictions[name],
            f"{name} (uncertainty{unit})": predictions[f"{name}_sd"],
        }
    columns = {}
    for value in target.classes:
        if labels is not None:
            is_class = (labels == value).astype(float)
            columns[f"{name} = {value} (label)"] = is_class.where(labels.notna())
        columns[f"{name} = {value} (predicted)"] = predictions[f"{name}[{value}]"]
    probabilities = predictions[[f"{name}[{value}]" for value in target.classes]]
    return columns | {f"{name} (uncertainty)": 1 - probabilities.max(axis=1)}


def background_column(target: Target, value: float) -> tuple[str, str, bool]:
    """Column of the predictions behind the map, its title, and whether it is a probability."""
    name = target.name
    if isinstance(target, Continuous):
        return name, f"{name} ({target.unit})" if target.unit else name, False
    if isinstance(target, Binary):
        return name, name, True
    wanted = target.classes[int(value)]
    return f"{name}[{wanted}]", f"{name} = {wanted}", True


def prediction_html(target: Target, prediction: pd.Series) -> str:
    """A prediction with its interval, or with the probability of each class, as HTML."""
    name, value = escape(target.name), prediction[target.name]
    if isinstance(target, Binary | Continuous):
        unit = f" {escape(target.unit)}" if isinstance(target, Continuous) else ""
        number = ".2f" if isinstance(target, Binary) else ".4g"
        low, high = prediction[f"{target.name}_low"], prediction[f"{target.name}_high"]
        return f"{name}: <b>{value:{number}}</b>{unit} (94 %: {low:{number}}–{high:{number}})"
    each = sorted(((prediction[f"{target.name}[{c}]"], c) for c in target.classes), reverse=True)
    shares = ", ".join(f"{escape(c)} {p:.2f}" for p, c in each)
    return f"{name}: <b>{escape(str(value))}</b> ({shares})"
