"""Tables of alloys, their labels and splits; the one place where tables become tensors.

Examples
--------
>>> alloys = load_alloys()
>>> parts = alloys.split("published")
>>> list(parts)
['labelled', 'unlabelled', 'validation', 'test']
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.composition import format_formula, fraction_table, load_tables
from pyro_hea.errors import (
    ConflictingReportsWarning,
    DataError,
    FormulaError,
    LeakWarning,
    MissingFileError,
    missing_extra,
    nearest,
)
from pyro_hea.features import RICH_FEATURES, FeatureMap
from pyro_hea.spec import ModelSpec

PUBLISHED_SOURCE = "zeng2024"
"""The reports that the published model was trained and tested on."""

PARTS = ("labelled", "unlabelled", "validation", "test")
"""Parts of the published split."""

_REPORT_COLUMNS = ("reported_formula", "target", "value")

_SAME_ALLOY = 5
"""Decimals of a fraction to which two compositions must agree to be one alloy."""


def label_of_reports(reports: pd.DataFrame, expected: int = 0) -> pd.DataFrame:
    """What the reports of each alloy say together.

    The majority for a target of two classes, where a tie leaves the alloy unlabelled; the median
    for a number.

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
    grouped = reports.groupby(["target", "formula"], sort=False)["value"]
    labels = grouped.median()
    is_class = reports["value"].isin([0.0, 1.0]).groupby(reports["target"]).all()
    binary = is_class.reindex(labels.index.get_level_values("target")).to_numpy()
    tied = (labels == 0.5) & binary
    conflicting = _conflicts(reports)
    if conflicting > expected:
        warnings.warn(
            f"{conflicting} alloys have reports that disagree; all reports are kept, the majority "
            f"is the label, and {int(tied.sum())} ties are left unlabelled",
            ConflictingReportsWarning,
            stacklevel=3,
        )
    return labels.mask(tied).unstack("target")


def _conflicts(reports: pd.DataFrame) -> int:
    """Number of alloys whose reports of a class disagree."""
    classes = reports[reports["value"].isin([0.0, 1.0]).groupby(reports["target"]).transform("all")]
    return int((classes.groupby(["target", "formula"])["value"].nunique() > 1).sum())


@dataclass(frozen=True, eq=False, repr=False)
class AlloyDataset:
    """Alloys, one a row, with every report of their targets.

    Attributes
    ----------
    fractions : DataFrame, shape (N, E)
        Atomic fractions by formula and element.
    labels : DataFrame, shape (N, T)
        What the reports say together, NaN where an alloy is unlabelled.
    reports : DataFrame
        One row per report: `formula`, `target`, `value` and what else is known of it.
    parts : Series, shape (N,)
        Part of the published split of each alloy, NaN outside it.
    """

    fractions: pd.DataFrame
    labels: pd.DataFrame
    reports: pd.DataFrame
    parts: pd.Series

    @classmethod
    def from_reports(
        cls,
        fractions: pd.DataFrame,
        reports: pd.DataFrame,
        targets: Sequence[str],
        parts: pd.Series | None = None,
        expected_conflicts: int = 0,
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
        """
        wanted = reports[reports["target"].isin(targets)]
        labels = label_of_reports(wanted, expected_conflicts)
        labels = labels.reindex(index=fractions.index, columns=list(targets)).astype(float)
        labels.columns.name = None
        if parts is None:
            parts = pd.Series(np.nan, fractions.index, dtype=object)
        return cls(fractions, labels, reports, parts.reindex(fractions.index))

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
        """The rich features of the field, in the units of `pyro_hea.features.FEATURES`."""
        feature_map = FeatureMap(RICH_FEATURES, load_tables("field"), self.elements)
        values = feature_map(torch.tensor(self.fractions.to_numpy())).numpy()
        return pd.DataFrame(values, self.fractions.index, pd.Index(feature_map.names))

    def take(self, rows: Any) -> Self:
        """The alloys at `rows`, a boolean mask or positions, with their reports."""
        fractions = self.fractions.iloc[rows]
        reports = self.reports[self.reports["formula"].isin(fractions.index)]
        return type(self)(fractions, self.labels.iloc[rows], reports, self.parts.iloc[rows])

    def withheld(self) -> Self:
        """The same alloys without any label or report."""
        return type(self)(self.fractions, self.labels * np.nan, self.reports.iloc[:0], self.parts)

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
        told = sum(_conflicts(part.reports) for part in (self, other))
        return self.from_reports(fractions[kept], reports, targets, first_part, told)

    def split(self, name: str) -> dict[str, AlloyDataset]:
        """Parts of a named split.

        Parameters
        ----------
        name : {"published"}
            The split of arXiv:2409.06740. An alloy whose reports lie in several of its parts is
            in one of them only, a test alloy before a validation alloy before a training alloy,
            so that none is trained on and tested on.

        Returns
        -------
        dict of str to AlloyDataset
            `labelled`, `unlabelled` (labels withheld), `validation` and `test`.
        """
        if name != "published":
            raise DataError(f"there is no split '{name}'; allowed: published")
        if not self.parts.isin(PARTS).any():
            raise DataError("these alloys are not in the published split; use load_alloys()")
        parts = {part: self.take((self.parts == part).to_numpy()) for part in PARTS}
        return parts | {"unlabelled": parts["unlabelled"].withheld()}

    def without(self, other: AlloyDataset) -> Self:
        """The alloys whose composition is not in `other`, counting the rest in a warning.

        Warns
        -----
        LeakWarning
            Where alloys were left out.
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


def composition_keys(fractions: pd.DataFrame) -> list[tuple[tuple[str, int], ...]]:
    """A key for each row that is equal for equal compositions, whatever the columns."""
    columns = sorted(fractions.columns)
    # The odd offset keeps round fractions, such as 1/64, off the edges of the grid.
    grid = np.floor(fractions[columns].to_numpy(float) * 10**_SAME_ALLOY + 1 / np.pi)
    return [
        tuple((element, int(n)) for element, n in zip(columns, row, strict=True) if n > 0)
        for row in grid.tolist()
    ]


def load_alloys(sources: Sequence[str] | None = (PUBLISHED_SOURCE,)) -> AlloyDataset:
    """Load the embedded experimental alloys.

    Parameters
    ----------
    sources : sequence of str, optional
        Whose reports count: `zeng2024` (single phase or not, the alloys of arXiv:2409.06740) and
        `borg2020` (phases and mechanical properties). `None` takes all.

    Returns
    -------
    AlloyDataset
        The alloys that those sources report on.

    Raises
    ------
    DataError
        For a source that is not embedded.
    """
    folder = files("pyro_hea.data")
    with (folder / "reports.csv").open(encoding="utf-8") as file:
        reports = pd.read_csv(file, dtype={"value": str})
    with (folder / "alloys.csv").open(encoding="utf-8") as file:
        alloys = pd.read_csv(file).set_index("formula")
    known = list(dict.fromkeys(reports["source"]))
    for source in known if sources is None else sources:
        if source not in known:
            raise DataError(f"there is no source '{source}'; allowed: {', '.join(known)}")
    if sources is not None:
        reports = reports[reports["source"].isin(sources)]
    reports = reports.assign(value=pd.to_numeric(reports["value"], errors="coerce"))
    reports = reports.dropna(subset="value").reset_index(drop=True)
    formulas = alloys.index[alloys.index.isin(reports["formula"])]
    targets = list(dict.fromkeys(reports["target"]))
    return AlloyDataset.from_reports(
        fraction_table(formulas),
        reports,
        targets,
        alloys["published_split"],
        expected_conflicts=len(alloys),  # the datasheet says which they are
    )


def read_alloys(
    path: str | Path, *, spec: ModelSpec | None = None, formula_column: str = "formula"
) -> AlloyDataset:
    """Read a user's own table; each row is a report, and equal compositions make one alloy.

    Parameters
    ----------
    path : str or Path
        CSV, or Parquet (`.parquet`), with a formula column and a column per target; a blank is
        an alloy without that label. Other columns are kept with the reports.
    spec : ModelSpec, optional
        Declares the targets (`ModelSpec()` by default).
    formula_column : str

    Returns
    -------
    AlloyDataset

    Raises
    ------
    MissingFileError
    DataError
        Without a formula column or any target, or for a label that a target cannot have; the
        row and column are named.
    FormulaError
        For a formula that cannot be read; the row is named.

    Warns
    -----
    ConflictingReportsWarning
        Where reports on one composition disagree.
    """
    path, spec = Path(path), spec or ModelSpec()
    rows = _read_table(path)
    _require_column(rows, formula_column, path)
    for column in {*_REPORT_COLUMNS, "formula"} - {formula_column}:
        if column in rows:
            raise DataError(f"{path}: a column '{column}' would hide one of the reports; rename it")
    targets = [name for name in spec.target_names if name in rows]
    if not targets:
        raise DataError(
            f"{path}: there is no column of a declared target ({', '.join(spec.target_names)})."
            f"{nearest(spec.target_names[0], map(str, rows.columns))}"
        )
    for target in targets:
        rows[target] = _labels_of_column(rows[target], f"{path}: column '{target}'")
    try:
        fractions = fraction_table(rows[formula_column].tolist())
    except FormulaError as error:
        raise type(error)(f"{path}: column '{formula_column}': {error}") from None
    keys = composition_keys(fractions)
    spelled = dict(zip(keys[::-1], fractions.index[::-1], strict=True))  # as it came first
    fractions.index = pd.Index([format_formula(spelled[key]) for key in keys], name="formula")
    rows = rows.rename(columns={formula_column: "reported_formula"})
    rows = rows.assign(formula=fractions.index, source=rows.get("source", path.name))
    reports = rows.melt(
        [c for c in rows.columns if c not in targets], targets, "target", "value"
    ).dropna(subset="value")
    distinct = fractions[~fractions.index.duplicated()]
    return AlloyDataset.from_reports(distinct, reports.reset_index(drop=True), targets)


def read_formulas(path: str | Path, formula_column: str = "formula") -> list[str]:
    """Formulas of a table, in its order.

    Raises
    ------
    MissingFileError, DataError
        Without the file or the column.
    """
    rows = _read_table(Path(path))
    _require_column(rows, formula_column, Path(path))
    return rows[formula_column].tolist()


def _require_column(rows: pd.DataFrame, column: str, path: Path) -> None:
    if column not in rows:
        names = [str(name) for name in rows.columns]
        raise DataError(
            f"{path}: there is no column '{column}'.{nearest(column, names)} Columns: "
            f"{', '.join(names)}. Name it with formula_column"
        )


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise MissingFileError(f"table '{path}' does not exist")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        with warnings.catch_warnings():  # of a row that is longer than the header
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(path, keep_default_na=False, dtype=str, index_col=False)
    except ImportError as error:
        raise missing_extra("pyarrow", "parquet") from error
    except (ValueError, UnicodeDecodeError, pd.errors.ParserWarning) as error:
        raise DataError(f"{path}: cannot be read as a table: {error}") from None


def _labels_of_column(column: pd.Series, where: str) -> pd.Series:
    """Binary labels as 0.0, 1.0 or NaN; the first faulty row is named."""
    text = column.fillna("").astype(str).str.strip()
    values = pd.to_numeric(text.where(text != ""), errors="coerce")
    faulty = (text != "") & ~values.isin([0, 1])
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        raise DataError(
            f"{where}, row {row + 1}: label '{text.iloc[row]}' is not allowed; write 0, 1 or leave "
            "it blank for an alloy that nobody looked at"
        )
    return values


@dataclass(frozen=True)
class AlloyBatch:
    """Alloys as tensors on one device: what model and guide read.

    Attributes
    ----------
    fractions : Tensor, shape (N, E), or None
        None where compositions are to be sampled.
    features : Tensor, shape (N, F)
    targets : mapping of str to Tensor of shape (N,)
        A placeholder (0) where unlabelled; a target that is left out is sampled throughout.
    labelled : mapping of str to Tensor of bool of shape (N,)
        Which labels are known; a target that is left out here is known throughout.
    """

    fractions: Tensor | None
    features: Tensor
    targets: Mapping[str, Tensor]
    labelled: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.features)

    @property
    def composition(self) -> Tensor:
        """The fractions; an error where there are none."""
        if self.fractions is None:
            raise DataError("these alloys have features but no composition")
        return self.fractions

    def known(self, target: str) -> Tensor:
        """Which alloys have a label of a target, (N,)."""
        if target in self.labelled:
            return self.labelled[target]
        everything = self.features.new_ones(len(self), dtype=torch.bool)
        return everything if target in self.targets else ~everything

    def tensors(self) -> list[Tensor]:
        """Every tensor, always in the same order."""
        found: list[Tensor] = []
        self.map(found.append)
        return found

    def map(self, function: Any) -> AlloyBatch:
        """Apply a function to every tensor."""
        return AlloyBatch(
            None if self.fractions is None else function(self.fractions),
            function(self.features),
            {name: function(value) for name, value in self.targets.items()},
            {name: function(value) for name, value in self.labelled.items()},
        )


def to_batch(
    fractions: pd.DataFrame,
    feature_map: FeatureMap,
    labels: pd.DataFrame | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> AlloyBatch:
    """Turn tables into tensors.

    Parameters
    ----------
    fractions : DataFrame, shape (N, E)
        Columns in the order of the model's elements.
    feature_map : FeatureMap
        Over the same elements.
    labels : DataFrame, optional
        NaN where unlabelled; without it every target is unknown.

    Returns
    -------
    AlloyBatch
        Features are computed in double precision before they are rounded to `dtype`.
    """
    exact = torch.tensor(fractions.to_numpy(float), device=device)
    targets, labelled = {}, {}
    for name, column in () if labels is None else labels.items():
        values = torch.tensor(column.to_numpy(float), device=device, dtype=dtype)
        targets[str(name)] = values.nan_to_num(0.0)
        if values.isnan().any():
            labelled[str(name)] = ~values.isnan()
    return AlloyBatch(exact.to(dtype), feature_map(exact).to(dtype), targets, labelled)


def quantile_edges(features: Tensor, bins: int) -> Tensor:
    """Edges of bins that hold equally many alloys, (F, bins + 1)."""
    levels = torch.linspace(0, 1, bins + 1, dtype=features.dtype, device=features.device)
    return torch.quantile(features, levels, dim=0).T.contiguous()
