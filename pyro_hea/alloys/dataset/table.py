"""Alloys with their reports, the labels gathered from them, and the published split."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
import torch

from pyro_hea.alloys.composition import load_tables
from pyro_hea.alloys.features import RICH_FEATURES, FeatureMap
from pyro_hea.errors import ConflictingReportsWarning, DataError, LeakWarning

PARTS = ("labelled", "unlabelled", "validation", "test")
"""Parts of the published split."""

_SAME_ALLOY_DECIMALS = 5
"""Two compositions that agree to so many decimals of each fraction are one alloy."""


ROOM_TEMPERATURE_C = (15.0, 35.0)
"""Reports of tests at other temperatures are kept but give no label."""


def labels_from_reports(reports: pd.DataFrame, expected: int = 0) -> pd.DataFrame:
    """Gather the reports of each alloy into one label per target.

    The label is the majority for a class (text, or 0 and 1), where a tie leaves the alloy
    unlabelled, and the median for a number. A report with a `test_temperature_C` other than room
    temperature gives no label.

    Parameters
    ----------
    reports : DataFrame
        Columns `formula`, `target`, `value`.
    expected : int
        Alloys whose reports are known to disagree; only more of them give a warning.

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
    columns, tied = {}, 0
    for target, rows in reports.groupby("target", sort=False):
        if _is_class(rows["value"]):
            columns[target] = _majority(rows)
            tied += int(columns[target].isna().sum())
        else:
            numbers = pd.to_numeric(rows["value"])
            columns[target] = numbers.groupby(rows["formula"], sort=False).median()
    conflicting = _conflicts(reports)
    if conflicting > expected:
        warnings.warn(
            f"{conflicting} alloys have reports that disagree; all reports are kept, the majority "
            f"is the label, and {tied} ties are left unlabelled",
            ConflictingReportsWarning,
            stacklevel=3,
        )
    return pd.DataFrame(columns)


def at_room_temperature(reports: pd.DataFrame) -> pd.DataFrame:
    """Reports of tests at room temperature, and those that name no temperature."""
    if "test_temperature_C" not in reports:
        return reports
    temperature = numeric_column(reports, "test_temperature_C")
    return reports[temperature.isna() | temperature.between(*ROOM_TEMPERATURE_C)]


def numeric_column(reports: pd.DataFrame, column: str) -> pd.Series:
    """A column of reports as numbers, NaN where it is blank.

    Raises
    ------
    DataError
        For text; the alloy is named.
    """
    given = reports[column]
    numbers = pd.to_numeric(given, errors="coerce")
    faulty = numbers.isna() & given.notna() & (given.astype(str).str.strip() != "")
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        raise DataError(
            f"'{reports['formula'].iloc[row]}': '{column}' is {given.iloc[row]!r}, which is no "
            "number; write one, or leave it blank"
        )
    return numbers


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


def _conflicts(reports: pd.DataFrame) -> int:
    """Number of alloys whose reports of a class disagree."""
    of_class = reports.groupby("target")["value"].transform(_is_class).astype(bool)
    classes = reports[of_class]
    return int((classes.groupby(["target", "formula"])["value"].nunique() > 1).sum())


@dataclass(frozen=True, eq=False, repr=False)
class AlloyDataset:
    """Alloys, one per row, with every report of their targets.

    Attributes
    ----------
    fractions : DataFrame, shape (N, E)
        Atomic fractions by formula and element.
    labels : DataFrame, shape (N, T)
        One label per alloy and target, gathered from the reports; NaN where unlabelled.
    reports : DataFrame
        One row per report: `formula`, `target`, `value` and further columns, such as `source`.
    parts : Series, shape (N,)
        Part of the published split of each alloy, NaN outside it.
    columns_report : DataFrame or None
        What each column of the table that the alloys were read from became: `role`
        (`composition`, `target`, `condition`, `source` or `kept`), `name` in the reports, `unit`,
        `count` of its values, and the `reason`.
    """

    fractions: pd.DataFrame
    labels: pd.DataFrame
    reports: pd.DataFrame
    parts: pd.Series
    columns_report: pd.DataFrame | None = None

    @classmethod
    def from_reports(
        cls,
        fractions: pd.DataFrame,
        reports: pd.DataFrame,
        targets: Sequence[str],
        parts: pd.Series | None = None,
        expected_conflicts: int = 0,
        columns_report: pd.DataFrame | None = None,
    ) -> Self:
        """Gather reports into one label per alloy and target.

        Parameters
        ----------
        fractions : DataFrame
            Distinct alloys by formula.
        reports : DataFrame
            Columns `formula` (one of the alloys), `target` and `value`.
        targets : sequence of str
            Columns of the labels.
        parts : Series, optional
            Part of the published split, by formula.
        expected_conflicts : int
            Only more alloys whose reports disagree give a warning.
        columns_report : DataFrame, optional
            What each column of the table became.
        """
        wanted = reports[reports["target"].isin(targets)]
        labels = labels_from_reports(wanted, expected_conflicts)
        labels = labels.reindex(index=fractions.index, columns=list(targets))
        labels = labels.apply(
            lambda column: column if _holds_text(column) else column.astype(float)
        )
        if parts is None:
            parts = pd.Series(np.nan, fractions.index, dtype=object)
        return cls(fractions, labels, reports, parts.reindex(fractions.index), columns_report)

    def __len__(self) -> int:
        return len(self.fractions)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}: {n} labelled" for name, n in self.labels.count().items())
        return f"AlloyDataset({len(self)} alloys of {len(self.elements)} elements; {counts})"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.table.head(10).to_html(index=False)}"

    @property
    def formulas(self) -> list[str]:
        """Formula of each alloy."""
        return list(self.fractions.index)

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements that occur, in alphabetical order."""
        return tuple(self.fractions.columns)

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets that have a column."""
        return tuple(self.labels.columns)

    @property
    def table(self) -> pd.DataFrame:
        """`formula` and one column per target, NaN where unlabelled."""
        return self.labels.rename_axis(index="formula").reset_index()

    @property
    def number_of_elements(self) -> pd.Series:
        """Elements in each alloy."""
        return (self.fractions > 0).sum(axis=1).rename("number_of_elements")

    @cached_property
    def features(self) -> pd.DataFrame:
        """The rich features of the field, in the units of `pyro_hea.alloys.features.FEATURES`."""
        feature_map = FeatureMap(RICH_FEATURES, load_tables("field"), self.elements)
        values = feature_map(torch.tensor(self.fractions.to_numpy())).numpy()
        return pd.DataFrame(values, self.fractions.index, pd.Index(feature_map.names))

    def take(self, rows: Any) -> Self:
        """The alloys at `rows`, a boolean mask or positions, with their reports."""
        fractions = self.fractions.iloc[rows]
        reports = self.reports[self.reports["formula"].isin(fractions.index)]
        return type(self)(fractions, self.labels.iloc[rows], reports, self.parts.iloc[rows])

    def without_labels(self) -> Self:
        """The same alloys without labels and reports."""
        labels = self.labels.mask(self.labels.notna())
        return type(self)(self.fractions, labels, self.reports.iloc[:0], self.parts)

    def __add__(self, other: AlloyDataset) -> AlloyDataset:
        """Join two tables; an alloy in both keeps the reports of both."""
        fractions = pd.concat([self.fractions, other.fractions]).fillna(0.0)
        fractions = fractions[sorted(fractions.columns)]
        both = [part for part in (self.reports, other.reports) if len(part)] or [self.reports]
        reports = pd.concat(both, ignore_index=True)
        parts = pd.concat([self.parts, other.parts])
        keys = composition_keys(fractions)
        if len(set(keys)) == len(keys):
            labels = pd.concat([self.labels, other.labels])
            return AlloyDataset(fractions, labels, reports, parts)
        first = dict(zip(keys[::-1], fractions.index[::-1], strict=True))
        formula_of = dict(zip(fractions.index, (first[key] for key in keys), strict=True))
        reports["formula"] = reports["formula"].map(formula_of)
        kept = ~pd.Series(keys).duplicated().to_numpy()
        targets = list(dict.fromkeys(self.targets + other.targets))
        first_part = parts.groupby(parts.index.map(formula_of), sort=False).first()
        expected = sum(_conflicts(part.reports) for part in (self, other))
        return self.from_reports(fractions[kept], reports, targets, first_part, expected)

    def split(self, name: str) -> dict[str, AlloyDataset]:
        """The parts of a named split.

        Parameters
        ----------
        name : {"published"}
            The split of arXiv:2409.06740. An alloy whose reports lie in several of its parts is
            in one of them only, test before validation before training, so that no alloy is
            trained on and tested on.

        Returns
        -------
        dict of str to AlloyDataset
            `labelled`, `unlabelled` (labels withheld), `validation` and `test`.
        """
        if name != "published":
            raise DataError(f"there is no split '{name}'; allowed: published")
        if not self.parts.isin(PARTS).any():
            raise DataError(
                "these alloys are not in the published split; use load_alloys('zeng2024')"
            )
        parts = {part: self.take((self.parts == part).to_numpy()) for part in PARTS}
        return parts | {"unlabelled": parts["unlabelled"].without_labels()}

    def without(self, other: AlloyDataset) -> Self:
        """The alloys whose composition is not in `other`.

        Warns
        -----
        LeakWarning
            Counting the alloys that are left out.
        """
        known = set(composition_keys(other.fractions))
        kept = np.array([key not in known for key in composition_keys(self.fractions)], bool)
        if not kept.all():
            warnings.warn(
                f"{int((~kept).sum())} alloys are also among the alloys held out and are left out",
                LeakWarning,
                stacklevel=2,
            )
        return self.take(kept)


def _holds_text(column: pd.Series) -> bool:
    """Whether a column of labels holds text."""
    return bool(pd.to_numeric(column, errors="coerce").isna().ne(column.isna()).any())


def composition_keys(fractions: pd.DataFrame) -> list[tuple[tuple[str, int], ...]]:
    """A key for each row that is equal for equal compositions, whatever the columns."""
    columns = sorted(fractions.columns)
    # The odd offset keeps round fractions, such as 1/64, off the edges of the grid.
    grid = np.floor(fractions[columns].to_numpy(float) * 10**_SAME_ALLOY_DECIMALS + 1 / np.pi)
    return [
        tuple((element, int(n)) for element, n in zip(columns, row, strict=True) if n > 0)
        for row in grid.tolist()
    ]
