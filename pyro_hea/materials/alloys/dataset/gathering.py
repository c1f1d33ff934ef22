"""From the reports of an alloy to its labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Real

import numpy as np
import pandas as pd

from pyro_hea.errors import ConflictingReportsWarning, DataError, TableWarning, warn

_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")

ROOM_TEMPERATURE_C = (15.0, 35.0)
"""Of tests at other temperatures a number gives no label."""


def labels_from_reports(
    reports: pd.DataFrame, expected: int = 0, conditions: Sequence[str] = ()
) -> pd.DataFrame:
    """Gather the reports of each alloy into one label per target.

    The label is the majority for a class (text, or 0 and 1), where a tie leaves the alloy
    unlabelled, and the median for a number. Of reports with a `test_temperature_C` those at room
    temperature count; see `at_room_temperature`.

    Parameters
    ----------
    reports : DataFrame
        Columns `formula`, `target`, `value`.
    expected : int
        Alloys whose reports are known to disagree; only more of them give a warning.
    conditions : sequence of str
        Columns that may explain why reports disagree.

    Returns
    -------
    DataFrame
        One row per formula, one column per target, NaN where unlabelled.

    Warns
    -----
    ConflictingReportsWarning
        Counting the alloys whose reports disagree, and those that a tie leaves unlabelled.
    """
    reports = at_room_temperature(reports)
    columns = labels_of_reports(reports)
    tied = sum(int(column.isna().sum()) for column in columns.values())
    conflicting = conflicting_alloys(reports)
    if conflicting > expected:
        explained = conflicting - conflicting_alloys(reports, conditions)
        why = ""
        if explained:
            names = ", ".join(conditions)
            why = f"; {explained} of them differ in {names}, which a spec can declare as conditions"
        warn(
            f"{conflicting} alloys have reports that disagree{why}; all reports are kept, the "
            f"majority is the label, and {tied} ties are left unlabelled",
            ConflictingReportsWarning,
        )
    return pd.DataFrame(columns)


def labels_of_reports(reports: pd.DataFrame) -> dict[str, pd.Series]:
    """The label of each formula by target: the majority, NaN at a tie, or the median."""
    columns = {}
    for target, rows in reports.groupby("target", sort=False):
        if _is_class(rows["value"]):
            columns[str(target)] = _majority(rows)
        else:
            numbers = pd.to_numeric(rows["value"])
            columns[str(target)] = numbers.groupby(rows["formula"], sort=False).median()
    return columns


def one_spelling(reports: pd.DataFrame) -> pd.DataFrame:
    """Reports in which equal classes are spelled as most reports spell them; see `class_key`.

    Warns
    -----
    TableWarning
        Naming what is spelled otherwise now.
    """
    numbered = reports.reset_index(drop=True)  # reports of several tables repeat row numbers
    values = numbered["value"].copy()
    said = []
    texts = numbered[values.map(lambda value: isinstance(value, str)).astype(bool)]
    for target, column in texts.groupby("target", sort=False)["value"]:
        counts = column.value_counts()
        by_key: dict[str, str] = {}
        for text in counts.index:  # the most common first
            by_key.setdefault(class_key(text), text)
        other = {text: by_key[class_key(text)] for text in counts.index}
        if changed := [f"'{old}' as '{new}'" for old, new in other.items() if old != new]:
            values.loc[column.index] = column.map(other)
            said.append(f"'{target}': {', '.join(changed)}")
    if not said:
        return reports
    warn(
        "classes that differ in case or in the order of their phases alone are one, "
        f"{'; '.join(said)}",
        TableWarning,
    )
    return numbered.assign(value=values)


def class_key(text: str) -> str:
    """What spellings of a class have in common: without case, phases in alphabetical order.

    Examples
    --------
    >>> class_key("BCC + B2") == class_key("b2+bcc"), class_key("FCC") == class_key("FCC+B2")
    (True, False)
    """
    return "+".join(sorted(part.strip() for part in re.split("[+&]", text.casefold())))


def at_room_temperature(reports: pd.DataFrame) -> pd.DataFrame:
    """Reports of tests at room temperature, and those that name no temperature.

    Where an alloy has none of these, the reports of a class, such as its phase, count all the
    same: the temperature is that of another test.
    """
    if "test_temperature_C" not in reports:
        return reports
    temperature = numeric_column(reports, "test_temperature_C")
    here = temperature.isna() | temperature.between(*ROOM_TEMPERATURE_C)
    if here.all():
        return reports
    of_class = reports.groupby("target")["value"].transform(_is_class).astype(bool)
    known = here.groupby([reports["target"], reports["formula"]]).transform("any")
    return reports[here | of_class & ~known]


def tested_elsewhere(reports: pd.DataFrame) -> int:
    """Number of alloys with reports of which none gives a label, for the temperature of the test.

    Parameters
    ----------
    reports : DataFrame
        Of one target.
    """
    labelled = at_room_temperature(reports)["formula"]
    return int(reports["formula"].nunique() - labelled.nunique())


def numeric_column(reports: pd.DataFrame, column: str) -> pd.Series:
    """A column of reports as numbers, NaN where it is blank.

    Raises
    ------
    DataError
        For text; the alloy is named.
    """
    given = reports[column]
    numbers = to_numbers(given)
    faulty = numbers.isna() & given.notna() & (given.astype(str).str.strip() != "")
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        begins = re.match(r"\s*([-+]?[0-9]+(?:\.[0-9]+)?)", str(given.iloc[row]))
        raise DataError(
            f"'{reports['formula'].iloc[row]}': '{column}' is {given.iloc[row]!r}, which is no "
            f"number; write {begins[1] if begins else 'one'}, or leave it blank"
        )
    return numbers


def to_numbers(values: pd.Series) -> pd.Series:
    """Values as numbers, NaN where one is none; text is a number in decimal notation only.

    Examples
    --------
    >>> to_numbers(pd.Series(["1e3", "0x10", "1_0", True, 2], dtype=object)).tolist()
    [1000.0, nan, nan, 1.0, 2.0]
    """
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(float)
    return pd.Series([_number(value) for value in values], values.index, dtype=float)


def _number(value: object) -> float:
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else np.nan
    if not isinstance(value, Real | np.bool_):
        return np.nan
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return np.inf


def _is_class(values: pd.Series) -> bool:
    """Whether values are text, or 0 and 1 alone."""
    if values.map(lambda value: isinstance(value, str)).any():
        return True
    return bool(pd.to_numeric(values).isin([0.0, 1.0]).all())


def _majority(rows: pd.DataFrame) -> pd.Series:
    """The most frequent value of each formula, NaN at a tie."""
    counts = rows.groupby("formula", sort=False)["value"].value_counts()
    most = counts[counts == counts.groupby("formula").transform("max")].reset_index()
    alone = most[~most["formula"].duplicated(keep=False)].set_index("formula")["value"]
    return alone.reindex(rows["formula"].unique())


def conflicting_alloys(reports: pd.DataFrame, conditions: Sequence[str] = ()) -> int:
    """Number of alloys whose reports of a class disagree, under the same conditions."""
    of_class = reports.groupby("target")["value"].transform(_is_class).astype(bool)
    classes = reports[of_class]
    keys = ["target", "formula"]
    differ = classes.groupby([*keys, *conditions], dropna=False)["value"].nunique() > 1
    return int(differ.groupby(keys).any().sum())


def holds_text(column: pd.Series) -> bool:
    """Whether a column of labels holds text."""
    return bool(pd.to_numeric(column, errors="coerce").isna().ne(column.isna()).any())
