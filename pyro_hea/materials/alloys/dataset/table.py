"""Alloys with their reports, the labels gathered from them, and the published split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
import pandas as pd
import torch

from pyro_hea.errors import DataError, LeakWarning, excerpt, warn
from pyro_hea.materials.alloys.composition import format_formula
from pyro_hea.materials.alloys.dataset.gathering import (
    conflicting_alloys,
    holds_text,
    labels_from_reports,
    one_spelling,
)
from pyro_hea.materials.alloys.dataset.writing import write_reports
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.materials.alloys.features import RICH_FEATURES, FeatureMap

PARTS = ("labelled", "unlabelled", "validation", "test")
"""Parts of the published split."""

_SAME_ALLOY_DECIMALS = 5
"""Two compositions that agree to so many decimals of each fraction are one alloy."""


@dataclass(frozen=True)
class AlloyRecord:
    """One alloy of a dataset.

    Attributes
    ----------
    formula : str
    fractions : mapping of str to float
        Atomic fractions of the elements that it holds.
    labels : mapping of str to object
        Its label of each target that has one.
    """

    formula: str
    fractions: Mapping[str, float]
    labels: Mapping[str, Any]


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
        reports = one_spelling(reports)
        wanted = reports[reports["target"].isin(targets)]
        conditions: list[str] = []
        if columns_report is not None:
            of_condition = columns_report["role"] == "condition"
            conditions = [n for n in columns_report["name"][of_condition] if n in reports]
        labels = labels_from_reports(wanted, expected_conflicts, conditions)
        labels = labels.reindex(index=fractions.index, columns=list(targets))
        labels = labels.apply(lambda column: column if holds_text(column) else column.astype(float))
        if parts is None:
            parts = pd.Series(np.nan, fractions.index, dtype=object)
        return cls(fractions, labels, reports, parts.reindex(fractions.index), columns_report)

    def __len__(self) -> int:
        return len(self.fractions)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}: {n} labelled" for name, n in self.labels.count().items())
        return f"AlloyDataset({len(self)} alloys of {len(self.elements)} elements; {counts})"

    def _repr_html_(self) -> str:
        parts = [f"<p>{escape(repr(self))}</p>", self.table.head(10).to_html(index=False)]
        if self.columns_report is not None:
            shown = self.columns_report.reset_index().to_html(index=False)
            parts.append(f"<details><summary>Columns of the table</summary>{shown}</details>")
        return "".join(parts)

    @overload
    def __getitem__(self, rows: int | np.integer[Any] | str) -> AlloyRecord: ...
    @overload
    def __getitem__(self, rows: Any) -> Self: ...
    def __getitem__(self, rows: Any) -> AlloyRecord | Self:
        """One alloy by position or formula, or several by a slice, a mask or positions.

        Raises
        ------
        DataError
            For a formula that is not here, or a mask of other alloys.
        IndexError
            For a position that is not here.
        """
        if isinstance(rows, str):
            formula = rows if rows in self.fractions.index else format_formula(rows)
            if formula not in self.fractions.index:
                raise DataError(f"{excerpt(rows)} is not among these {len(self)} alloys")
            return self._record(int(np.argmax(self.fractions.index == formula)))
        if isinstance(rows, int | np.integer) and not isinstance(rows, bool | np.bool_):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"there is no alloy {rows} among {len(self)}")
            return self._record(int(rows))
        if isinstance(rows, pd.Series) and rows.dtype == bool:
            if not rows.index.equals(self.fractions.index):
                raise DataError("the mask is of other alloys; its index has to be the formulas")
            rows = rows.to_numpy()
        elif not isinstance(rows, slice):
            rows = np.asarray(rows)
            if rows.dtype == bool and rows.shape != (len(self),):
                raise DataError(f"the mask has shape {rows.shape} for {len(self)} alloys")
        return self.take(rows)

    def _ipython_key_completions_(self) -> list[str]:
        return self.formulas

    def __iter__(self) -> Iterator[AlloyRecord]:
        return (self._record(row) for row in range(len(self)))

    def _record(self, row: int) -> AlloyRecord:
        fractions, labels = self.fractions.iloc[row], self.labels.iloc[row]
        return AlloyRecord(
            str(self.fractions.index[row]),
            {str(element): float(f) for element, f in fractions.items() if f > 0},
            {str(name): label for name, label in labels.items() if pd.notna(label)},
        )

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
        """The rich features of the field, in the units of `FEATURES`."""
        feature_map = FeatureMap(RICH_FEATURES, load_tables("field"), self.elements)
        values = feature_map(torch.tensor(self.fractions.to_numpy())).numpy()
        return pd.DataFrame(values, self.fractions.index, pd.Index(feature_map.names))

    def take(self, rows: Any) -> Self:
        """The alloys at `rows`, a boolean mask or positions, with their reports."""
        fractions = self.fractions.iloc[rows]
        reports = self.reports[self.reports["formula"].isin(fractions.index)]
        labels, parts = self.labels.iloc[rows], self.parts.iloc[rows]
        return type(self)(fractions, labels, reports, parts, self.columns_report)

    def without_labels(self) -> Self:
        """The same alloys without labels and reports."""
        labels = self.labels.mask(self.labels.notna())
        return type(self)(self.fractions, labels, self.reports.iloc[:0], self.parts)

    def __add__(self, other: AlloyDataset) -> AlloyDataset:
        """Join two tables; an alloy in both keeps the reports of both."""
        fractions = pd.concat([self.fractions, other.fractions]).fillna(0.0)
        fractions = fractions[sorted(fractions.columns)]
        both = [part for part in (self.reports, other.reports) if len(part)] or [self.reports]
        joined = pd.concat(both, ignore_index=True)
        reports = one_spelling(joined)
        tables = [t.columns_report for t in (self, other) if t.columns_report is not None]
        columns = None
        if tables:
            columns = pd.concat(tables)
            columns = columns[~columns.index.duplicated()].rename_axis(index="column")
        parts = pd.concat([self.parts, other.parts])
        keys = composition_keys(fractions)
        if reports is joined and len(set(keys)) == len(keys):
            labels = pd.concat([self.labels, other.labels])
            return AlloyDataset(fractions, labels, reports, parts, columns)
        first = dict(zip(keys[::-1], fractions.index[::-1], strict=True))
        formula_of = dict(zip(fractions.index, (first[key] for key in keys), strict=True))
        reports = reports.assign(formula=reports["formula"].map(formula_of))
        kept = ~pd.Series(keys).duplicated().to_numpy()
        targets = list(dict.fromkeys(self.targets + other.targets))
        first_part = parts.groupby(parts.index.map(formula_of), sort=False).first()
        expected = sum(conflicting_alloys(part.reports) for part in (self, other))
        return self.from_reports(fractions[kept], reports, targets, first_part, expected, columns)

    def train_test_split(
        self,
        test_size: float = 0.2,
        by: Literal["random", "element_set"] = "random",
        seed: int = 0,
    ) -> tuple[Self, Self]:
        """Split into alloys to train on and alloys to test on.

        Parameters
        ----------
        test_size : float
            Share of the alloys to test on.
        by : {"random", "element_set"}
            Whether alloys are drawn one by one, or all alloys of one set of elements together,
            so that no test alloy has a training alloy of the same elements.
        seed : int

        Returns
        -------
        train, test : AlloyDataset
            In the order of this one. By sets of elements, the share is met as well as the last
            set allows.

        Raises
        ------
        DataError
            For a share that leaves one of them empty, or another `by`.

        Examples
        --------
        >>> import pandas as pd
        >>> from pyro_hea.materials.alloys.dataset import read_alloys
        >>> data = read_alloys(pd.DataFrame({"formula": ["FeNi", "FeNi2", "CoCr", "CoCr2"]}))
        >>> train, test = data.train_test_split(0.5, by="element_set")
        >>> train.formulas, test.formulas
        (['FeNi', 'Fe0.5Ni'], ['CoCr', 'Co0.5Cr'])
        """
        if by not in {"random", "element_set"}:
            raise DataError(f"by is {excerpt(by)}; allowed: 'random', 'element_set'")
        count = round(test_size * len(self)) if 0 < test_size < 1 else 0
        if not 0 < count < len(self):
            raise DataError(
                f"test_size is {test_size}: of {len(self)} alloys it leaves one part empty; choose "
                "a share between 0 and 1"
            )
        rng = np.random.default_rng(seed)
        if by == "random":
            held = np.isin(np.arange(len(self)), rng.permutation(len(self))[:count])
        else:
            sets, member = np.unique(element_sets(self.fractions), return_inverse=True)
            if len(sets) < 2:
                raise DataError("all alloys are of one set of elements; split them by='random'")
            order = rng.permutation(len(sets))
            reached = np.bincount(member)[order].cumsum()
            last = int(np.abs(reached - count)[:-1].argmin())
            held = np.isin(member, order[: last + 1])
        return self.take(~held), self.take(held)

    def to_csv(self, path: str | Path) -> None:
        """Write the reports, one a row, so that `read_alloys` reads the same alloys.

        Formulas have six digits, so fractions are the same to 1e-5. Alloys without a report have a
        row of their own. The published split is not kept.

        Raises
        ------
        OutputError
            Where the file cannot be written.
        """
        write_reports(self.reports, self.formulas, Path(path), "csv")

    def to_excel(self, path: str | Path) -> None:
        """Write the reports to an Excel file; see `to_csv`."""
        write_reports(self.reports, self.formulas, Path(path), "excel")

    def to_parquet(self, path: str | Path) -> None:
        """Write the reports to a Parquet file; see `to_csv`."""
        write_reports(self.reports, self.formulas, Path(path), "parquet")

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
            warn(
                f"{int((~kept).sum())} alloys are also among the alloys held out and are left out",
                LeakWarning,
            )
        return self.take(kept)


def element_sets(fractions: pd.DataFrame) -> list[str]:
    """The elements of each alloy, as one word.

    Examples
    --------
    >>> import pandas as pd
    >>> element_sets(pd.DataFrame({"Co": [0.5, 0.0], "Ni": [0.5, 1.0]}))
    ['CoNi', 'Ni']
    """
    names = np.array(fractions.columns)
    return ["".join(names[row > 0]) for row in fractions.to_numpy()]


def composition_keys(fractions: pd.DataFrame) -> list[tuple[tuple[str, int], ...]]:
    """A key for each row that is equal for equal compositions, whatever the columns."""
    columns = sorted(fractions.columns)
    # The odd offset keeps round fractions, such as 1/64, off the edges of the grid.
    grid = np.floor(fractions[columns].to_numpy(float) * 10**_SAME_ALLOY_DECIMALS + 1 / np.pi)
    return [
        tuple((element, int(n)) for element, n in zip(columns, row, strict=True) if n > 0)
        for row in grid.tolist()
    ]
