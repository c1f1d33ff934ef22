"""The embedded alloys, and tables of a user's own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from pyro_hea.alloys.composition import format_formula, fraction_table
from pyro_hea.alloys.dataset.labels import Target, numbers_of_values
from pyro_hea.alloys.dataset.table import AlloyDataset, composition_keys
from pyro_hea.errors import DataError, FormulaError, MissingFileError, missing_extra, nearest

PUBLISHED_SOURCE = "zeng2024"
"""The reports that the published model was trained and tested on."""

_REPORT_COLUMNS = ("reported_formula", "target", "value")


class TargetDeclarations(Protocol):
    """What reading a table needs to know of a `ModelSpec`: its targets."""

    @property
    def target_names(self) -> tuple[str, ...]:
        """Their names."""

    def target(self, name: str) -> Target:
        """The target of that name."""


@dataclass(frozen=True)
class _SinglePhase:
    """The target of a table that comes without declarations: `single_phase`, 0 or 1."""

    name: str = "single_phase"
    classes: tuple[str, ...] = ("0", "1")
    bounds: tuple[float, float] = (-np.inf, np.inf)
    allowed: str = "0, 1"
    target_names: tuple[str, ...] = ("single_phase",)

    @property
    def classes_given(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        return {}

    def target(self, name: str) -> Target:
        return self


def load_alloys(sources: str | Sequence[str] | None = None) -> AlloyDataset:
    """Load the embedded experimental alloys.

    Parameters
    ----------
    sources : str or sequence of str, optional
        Whose reports are read: `"zeng2024"` (single phase or not, the alloys of
        arXiv:2409.06740), `"borg2020"` (phases and mechanical properties). All by default.

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
    sources = [sources] if isinstance(sources, str) else sources
    for source in known if sources is None else sources:
        if source not in known:
            raise DataError(
                f"there is no source '{source}'.{nearest(source, known)} Allowed: "
                f"{', '.join(known)}"
            )
    if sources is not None:
        reports = reports[reports["source"].isin(sources)]
    numbers = pd.to_numeric(reports["value"], errors="coerce")
    reports = reports.assign(value=numbers.astype(object).where(numbers.notna(), reports["value"]))
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
    path: str | Path, *, spec: TargetDeclarations | None = None, formula_column: str = "formula"
) -> AlloyDataset:
    """Read a user's own table; each row is a report, and equal compositions make one alloy.

    Parameters
    ----------
    path : str or Path
        CSV, or Parquet (`.parquet`), with a formula column and a column per target: 0 or 1, the
        name of a class or of a level, or a number in the target's unit. A blank is an alloy
        without that label. Other columns are kept with the reports.
    spec : ModelSpec, optional
        Declares the targets (`single_phase`, 0 or 1, by default).
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
    path, spec = Path(path), spec or _SinglePhase()
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
    for name in targets:
        where = f"{path}: column '{name}'"
        rows[name] = _labels_of_column(rows[name], spec.target(name), where)
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


def _labels_of_column(column: pd.Series, target: Target, where: str) -> pd.Series:
    """Labels as the target's classes spell them, or as numbers; the first faulty row is named."""
    text = column.map(lambda value: "" if pd.isna(value) else str(value).strip())
    numbers = numbers_of_values(text, target)
    faulty = (text != "") & numbers.isna()
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        raise DataError(
            f"{where}, row {row + 1}: label '{text.iloc[row]}' is not allowed; write "
            f"{target.allowed} or leave it blank for an unlabelled alloy."
            f"{nearest(text.iloc[row], target.classes)}"
        )
    if target.classes in {(), ("0", "1")}:
        return numbers
    return numbers.map(lambda position: target.classes[int(position)], na_action="ignore")
