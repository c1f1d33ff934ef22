"""Conditions of measurements: numbers, as a test temperature, and classes, as the processing.

The networks read a number as it is, and a class as columns of 0 and 1 of which there is none for
the first class: at zeros predictions are made, unless other conditions are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError, nearest
from pyro_hea.materials.alloys.dataset.gathering import (
    at_room_temperature,
    labels_of_reports,
    numeric_column,
)
from pyro_hea.materials.alloys.dataset.labels import Target, encode_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.dataset.table import AlloyDataset

    Floats: TypeAlias = NDArray[np.float64]

Reference: TypeAlias = float | tuple[str, ...]
"""A number's value at which predictions are made, or classes of which the first is meant."""


class ConditionedTarget(Target, Protocol):
    """A target whose label depends on conditions."""

    @property
    def conditions(self) -> Mapping[str, Reference]:
        """Each condition, with the value or the classes."""


def condition_key(text: Any) -> str:
    """What two spellings of a class have in common.

    Examples
    --------
    >>> condition_key("As-Cast"), condition_key("CAST"), condition_key("annealed")
    ('cast', 'cast', 'anneal')
    """
    words = re.sub(r"[\s_-]+", " ", str(text)).strip().casefold()
    return words.removeprefix("as ").removesuffix("ed")


def references(conditions: Mapping[str, Reference]) -> Floats:
    """The columns at which predictions are made, (C,).

    Examples
    --------
    >>> references({"temperature": 25.0, "processing": ("cast", "annealed", "rolled")})
    array([25.,  0.,  0.])
    """
    columns = [[0.0] * (len(r) - 1) if isinstance(r, tuple) else [r] for r in conditions.values()]
    return np.array([value for each in columns for value in each], dtype=float)


def encode_condition(name: str, value: Any, reference: Reference) -> list[float]:
    """The columns of one value of a condition.

    Raises
    ------
    DataError
        For a class that there is not.
    """
    if not isinstance(reference, tuple):
        return [float(value)]
    keys = [condition_key(c) for c in reference]
    if condition_key(value) not in keys:
        raise DataError(
            f"'{name}' has no class {value!r}.{nearest(str(value), reference)} Classes: "
            f"{', '.join(reference)}"
        )
    position = keys.index(condition_key(value))
    return [float(i == position) for i in range(1, len(reference))]


def measurements(
    data: AlloyDataset, target: ConditionedTarget
) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Every report of a target: rows of its alloys (R,), conditions (R, C), values (R,).

    An unknown condition has the value at which predictions are made.

    Raises
    ------
    DataError
        For a condition that the reports do not have, or a class that it has not.
    """
    rows = data.reports[data.reports["target"] == target.name]
    for name in target.conditions:
        if name not in rows:
            known = [str(column) for column in rows.columns]
            raise DataError(
                f"'{target.name}' depends on the condition '{name}', which is no column of the "
                f"reports.{nearest(name, known)} Columns: {', '.join(known)}"
            )
    at = pd.Index(data.formulas).get_indexer(pd.Index(rows["formula"]))
    values = encode_values(rows.set_index("formula")["value"], target).to_numpy(float)
    return at, _filled(_columns(rows, target), target), values


def labels_at_conditions(data: AlloyDataset, target: ConditionedTarget) -> tuple[pd.Series, Floats]:
    """One label of each alloy, and the conditions (N, C) at which it holds.

    Of the reports at room temperature. Where conditions are classes, of those in one combination
    of them: that in which predictions are made, else the most common one. A number is the median
    of its reports. An unknown condition has the value at which predictions are made.
    """
    rows = at_room_temperature(data.reports[data.reports["target"] == target.name])
    rows = rows.reset_index(drop=True)
    of_class = {n: r for n, r in target.conditions.items() if isinstance(r, tuple)}
    labels = data.labels[target.name] if target.name in data.labels else pd.Series(dtype=float)
    columns = _columns(rows, target)
    if of_class and len(rows):
        chosen = _one_combination(rows["formula"], columns[:, class_columns(target.conditions)])
        rows, columns = rows[chosen].reset_index(drop=True), columns[chosen]
        labels = labels_of_reports(rows).get(target.name, labels)
    middle = pd.DataFrame(columns).groupby(rows["formula"]).median().reindex(data.formulas)
    return labels.reindex(data.formulas), _filled(middle.to_numpy(float), target)


def labels_by_processing(
    data: AlloyDataset, target: ConditionedTarget
) -> tuple[pd.Series, pd.DataFrame]:
    """One label of each alloy, and the class of each condition at which it holds, by formula.

    The table has a column for each condition of the target that is of classes; see
    `labels_at_conditions`.
    """
    labels, at = labels_at_conditions(data, target)
    found, start = {}, 0
    for name, reference in target.conditions.items():
        width = len(reference) - 1 if isinstance(reference, tuple) else 1
        if isinstance(reference, tuple):
            columns = at[:, start : start + width]
            position = np.where(columns.any(1), columns.argmax(1) + 1, 0)
            found[name] = np.array(reference, dtype=object)[position]
        start += width
    return labels, pd.DataFrame(found, index=labels.index)


def class_columns(conditions: Mapping[str, Reference]) -> NDArray[np.bool_]:
    """Which columns are of classes, (C,)."""
    each = [[True] * (len(r) - 1) if isinstance(r, tuple) else [False] for r in conditions.values()]
    return np.array([flag for flags in each for flag in flags], dtype=bool)


def _one_combination(formulas: pd.Series, classes: Floats) -> NDArray[np.bool_]:
    """Which reports (R,) are in the combination of classes (R, C) that gives the alloy's label."""
    _, code = np.unique(classes, axis=0, return_inverse=True)  # the reference sorts first
    table = pd.DataFrame({"formula": formulas, "code": code.reshape(-1)})
    table["order"] = np.where(classes.any(1), 0, 1)
    table["count"] = table.groupby(["formula", "code"])["code"].transform("size")
    best = table.sort_values(["order", "count", "code"], ascending=[False, False, True])
    best = best.drop_duplicates("formula")
    chosen = dict(zip(best["formula"], best["code"], strict=True))
    return (table["code"] == table["formula"].map(chosen)).to_numpy()


def _filled(columns: Floats, target: ConditionedTarget) -> Floats:
    return np.where(np.isnan(columns), references(target.conditions), columns)


def _columns(rows: pd.DataFrame, target: ConditionedTarget) -> Floats:
    """Conditions of reports, (R, C); NaN for a number that is not known."""
    found = [np.zeros((len(rows), 0))]
    for name, reference in target.conditions.items():
        if name not in rows:
            found.append(np.full((len(rows), len(references({name: reference}))), np.nan))
        elif isinstance(reference, tuple):
            given = rows[name].where(rows[name].notna(), "").astype(str)
            given = given.where(given.str.strip() != "", reference[0])
            try:
                codes = {v: encode_condition(name, v, reference) for v in given.unique()}
            except DataError as error:
                raise DataError(f"'{target.name}': {error}") from None
            found.append(np.array([codes[v] for v in given]).reshape(len(rows), -1))
        else:
            found.append(numeric_column(rows, name).to_numpy(float)[:, None])
    return np.hstack(found)
