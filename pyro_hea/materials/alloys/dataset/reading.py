"""Tables of a user's own: which column is what, and the alloys and reports that they hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError, FormulaError, TableWarning, excerpt, listing, nearest, warn
from pyro_hea.materials.alloys.amounts import Unit, check_unit
from pyro_hea.materials.alloys.composition import format_formula, fraction_table
from pyro_hea.materials.alloys.dataset.columns import (
    REPORT_COLUMNS,
    Columns,
    TargetDeclarations,
    labels_of_column,
    rename,
)
from pyro_hea.materials.alloys.dataset.files import read_table
from pyro_hea.materials.alloys.dataset.gathering import to_numbers
from pyro_hea.materials.alloys.dataset.table import AlloyDataset, composition_keys
from pyro_hea.materials.alloys.formula import SYMBOLS

_HEADER = re.compile(r"(?:[A-Za-z]+|[\s_()\[\].,%-])+")
_OF_ATOMS = {"at", "atom", "atomic", "mol", "mole", "molar", "x", "c"}
_OF_WEIGHT = {"wt", "weight", "mass", "w"}
_SHARES = {"frac", "fraction", "percent", "pct"}
_NO_FRACTION = {"No", "At"}
"""Elements whose symbol in a header is something else: the number of a row, atoms."""

_FORMULA_NAMES = ("formula", "composition")

_BALANCE = {"bal", "balance", "rest", "rem", "remainder"}

_TOTAL_TOLERANCE = 0.02
"""Relative deviation of a sum of percentages from 100 that rounding may cause."""


def read_alloys(
    table: str | Path | pd.DataFrame,
    *,
    spec: TargetDeclarations | None = None,
    formula_column: str = "formula",
    columns: Mapping[str, str] | None = None,
    unit: Unit | None = None,
) -> AlloyDataset:
    """Read a user's own table; each row is a report, and equal compositions make one alloy.

    Parameters
    ----------
    table : path or DataFrame
        CSV, Excel (`.xlsx`) or Parquet file, or a DataFrame. Compositions are formulas or a
        column per element (`Al`, `Al (at.%)`, `wt% Al` or `x_Al`). A column per target holds 0 or
        1, the name of a class, or a number; a blank is an alloy without that label. Reports that
        `AlloyDataset.to_csv` wrote, with the columns `target` and `value`, are read as they are.
    spec : ModelSpec, optional
        Declares the targets. Without it, every column of numbers or of a few classes is a target,
        unless it is named like a condition (`processing`, `Test temperature (K)`, which is
        converted to °C) or a description (`sample`, `doi`, `note`).
    formula_column : str
        Column of formulas; in any case, `composition` and, where there are no columns of elements,
        `alloy` are found too.
    columns : mapping of str to str, optional
        Renames columns, such as `{"HV": "hardness"}`; a unit in the former name still holds.
    unit : {"at", "wt"}, optional
        Whether amounts count atoms (the default) or are weights.

    Returns
    -------
    AlloyDataset
        Its `columns_report` says what each column became. What is no target stays in the reports.

    Raises
    ------
    MissingFileError
    MissingExtraError
        Where Excel or Parquet files need a package that is not installed.
    DataError
        For a table that cannot be read, without compositions or any declared target, or with a
        label that a target cannot have; row and column are named.
    FormulaError
        For a composition that cannot be read; the row is named.

    Warns
    -----
    ConflictingReportsWarning
        Where reports on one composition disagree.
    TableWarning
        For columns of elements that are not used, amounts that add up to neither 1 nor 100, or
        further sheets of a spreadsheet.

    Examples
    --------
    >>> rows = pd.DataFrame({"Fe": [50, 70], "Ni": [50, 30], "HV": [140, 160], "lab": ["A", "B"]})
    >>> data = read_alloys(rows, columns={"HV": "hardness"})
    >>> data.columns_report[["role", "name", "reason"]]
                   role      name                    reason
    column
    Fe      composition        Fe      fractions of element
    Ni      composition        Ni      fractions of element
    hardness     target  hardness                   numbers
    lab            kept       lab  named like a description
    """
    rows, origin = read_table(table)
    where = origin if isinstance(table, pd.DataFrame) else str(table)
    former = {new: old for old, new in (columns or {}).items()}
    found = Columns(where, rename(rows, columns, where), former)
    fractions = _compositions(found, formula_column, unit)
    if {"target", "value"} <= set(found.left):
        return _dataset_of_reports(found, fractions, spec, origin)
    for column in set(REPORT_COLUMNS) & set(found.left):
        raise DataError(
            f"{where}: a column '{column}' would hide one of the reports; rename it with "
            f"columns={{'{column}': …}}"
        )
    if "source" in found.left:
        found.add("source", "source", "named so")
    found.blank()
    if spec is None:
        found.infer_targets()
    else:
        found.find_declared(spec)
    for column in found.left:
        found.add(column, "kept", "no target or condition of the spec")
    return _dataset(found, fractions, origin)


def read_formulas(
    table: str | Path | pd.DataFrame, formula_column: str = "formula", unit: Unit | None = None
) -> list[str]:
    """Formulas of a table, in its order, from formulas or columns of elements.

    Raises
    ------
    MissingFileError, DataError, FormulaError
        As `read_alloys`; a formula that cannot be read is returned as it is.
    """
    rows, origin = read_table(table)
    found = Columns(origin if isinstance(table, pd.DataFrame) else str(table), rows)
    column = _formula_column(found, formula_column)
    if column is not None and check_unit(unit) == "at":
        return ["" if cell is None else str(cell) for cell in rows[column]]
    return _formulas(_compositions(found, formula_column, unit))


def _dataset(found: Columns, fractions: pd.DataFrame, origin: str) -> AlloyDataset:
    """Alloys and reports of a table whose columns have their roles."""
    written, fractions = fractions.index, _with_formulas(fractions)
    canonical = fractions.index
    written = canonical if pd.api.types.is_integer_dtype(written.dtype) else written
    targets = list(found.named("target").values())
    names = found.named("target", "condition", "source", "kept")
    rows = found.rows[list(names)].rename(columns=names)
    for name in rows.columns[rows.columns.duplicated()]:
        raise DataError(f"{found.where}: two columns are both '{name}'; rename one with columns=")
    rows = rows.assign(reported_formula=written, formula=canonical)
    rows["source"] = rows["source"].fillna(origin) if "source" in rows else origin
    reports = rows.melt(
        [c for c in rows.columns if c not in targets], targets, "target", "value"
    ).dropna(subset="value")
    reports["unit"] = reports["target"].map(found.units())
    distinct = fractions[~fractions.index.duplicated()]
    return AlloyDataset.from_reports(
        distinct, reports.reset_index(drop=True), targets, columns_report=found.report()
    )


def _dataset_of_reports(
    found: Columns, fractions: pd.DataFrame, spec: TargetDeclarations | None, origin: str
) -> AlloyDataset:
    """Alloys of a table that has one report a row, in the columns `target` and `value`."""
    for column in found.left:
        found.add(column, "source" if column == "source" else "kept", "of each report")
    fractions = _with_formulas(fractions)
    rows = found.rows.assign(formula=fractions.index)
    rows["source"] = rows["source"].fillna(origin) if "source" in rows else origin
    if "reported_formula" not in rows:
        rows["reported_formula"] = rows["formula"]
    reports = rows[rows["target"].notna() & rows["value"].notna()].reset_index(drop=True)
    reports["target"] = reports["target"].astype(str)
    for name, values in reports.groupby("target", sort=False)["value"]:
        where = f"{found.where}: target {excerpt(str(name))}"
        if spec is not None and name in spec.target_names:
            labels = labels_of_column(values, spec.target(str(name)), where)
        else:
            numbers = to_numbers(values)
            labels = values.astype(str) if numbers.isna().any() else numbers
        reports["value"] = reports["value"].where(~reports.index.isin(values.index), labels)
    targets = list(dict.fromkeys(reports["target"]))
    distinct = fractions[~fractions.index.duplicated()]
    return AlloyDataset.from_reports(distinct, reports, targets, columns_report=found.report())


def _with_formulas(fractions: pd.DataFrame) -> pd.DataFrame:
    """The same rows under the canonical formula of each composition as it came first."""
    keys = composition_keys(fractions)
    first = dict(zip(keys[::-1], range(len(keys))[::-1], strict=True))  # row of each composition
    formulas = dict(zip(first, _formulas(fractions.iloc[list(first.values())]), strict=True))
    return fractions.set_axis(pd.Index([formulas[key] for key in keys], name="formula"))


def _formulas(fractions: pd.DataFrame) -> list[str]:
    """The canonical formula of each row."""
    elements, values = np.array(fractions.columns), fractions.to_numpy()
    return [
        format_formula(dict(zip(elements[row > 0], row[row > 0], strict=True))) for row in values
    ]


def _compositions(found: Columns, formula_column: str, unit: Unit | None) -> pd.DataFrame:
    """Fractions of each row, under its formula where it has one; the columns get their role."""
    column = _formula_column(found, formula_column)
    headers = {column: element_of_header(column) for column in found.left}
    elements = {column: header for column, header in headers.items() if header is not None}
    if column is None and not elements:
        column = next((c for c in found.left if c.lower() == "alloy"), None)
    if column is not None:
        found.add(column, "composition", "formulas")
        if elements:
            warn(
                f"{found.where}: compositions are read from column {excerpt(column)}; the columns "
                f"{listing(elements)}, named like elements, are no fractions of it",
                TableWarning,
            )
        try:
            return fraction_table(found.rows[column].tolist(), unit=unit)
        except FormulaError as error:
            raise type(error)(
                f"{found.where}: column {excerpt(column)}: {error}", error.position
            ) from None
    if not elements:
        raise DataError(
            f"{found.where}: there is no column {excerpt(formula_column)} and none of an element, "
            f"such as 'Al' or 'Al (at.%)'.{nearest(formula_column, found.left)} Columns: "
            f"{listing(found.left)}. Name the formulas with formula_column"
        )
    for name, (symbol, _) in elements.items():
        found.add(name, "composition", "fractions of element", symbol)
    units = {given for _, given in elements.values() if given} | ({unit} if unit else set())
    if len(units) > 1:
        raise DataError(
            f"{found.where}: the columns of elements, or unit, are in "
            f"{' and '.join(sorted(units))}.%; give all of them in one unit"
        )
    symbols = {name: symbol for name, (symbol, _) in elements.items()}
    return _fractions_of_columns(found, symbols, check_unit(next(iter(units), None)))


def element_of_header(header: str) -> tuple[str, Unit | None] | None:
    """The element whose amounts a column holds, and their unit if its name tells; None for others.

    Examples
    --------
    >>> element_of_header("Al (at.%)"), element_of_header("wt% Al"), element_of_header("Al")
    (('Al', 'at'), ('Al', 'wt'), ('Al', None))
    >>> element_of_header("Al-Ti ratio")
    """
    if not _HEADER.fullmatch(header):
        return None
    words = re.findall("[A-Za-z]+", header)
    symbols = [word for word in words if word in SYMBOLS - _NO_FRACTION]
    rest = {word.lower() for word in words if word not in symbols}
    if len(symbols) != 1 or rest - _OF_ATOMS - _OF_WEIGHT - _SHARES:
        return None
    units: list[Unit] = ["at"] if rest & _OF_ATOMS else []
    units += ["wt"] if rest & _OF_WEIGHT else []
    return None if len(units) > 1 else (symbols[0], units[0] if units else None)


def _formula_column(found: Columns, wanted: str) -> str | None:
    if wanted in found.rows:
        return wanted
    if wanted != "formula":
        names = list(found.rows.columns)
        raise DataError(
            f"{found.where}: there is no column {excerpt(wanted)}.{nearest(wanted, names)} "
            f"Columns: {listing(names)}. Name it with formula_column"
        )
    by_name = {column.lower(): column for column in reversed(found.left)}
    return next((by_name[name] for name in _FORMULA_NAMES if name in by_name), None)


def _fractions_of_columns(found: Columns, elements: Mapping[str, str], unit: Unit) -> pd.DataFrame:
    """Fractions of each row, by its number, from columns of elements.

    A blank is 0, and `bal.` what the others of the row leave of the whole.
    """
    cells = found.rows[list(elements)].rename(columns=dict(elements))
    amounts = cells.apply(to_numbers)
    balance = cells.map(lambda cell: str(cell).strip().lower().rstrip(".") in _BALANCE)
    for row, i in np.argwhere((cells.notna() & amounts.isna() & ~balance).to_numpy())[:1]:
        raise DataError(
            f"{found.where}: column {excerpt(list(elements)[i])}, row {row + 1}: "
            f"{excerpt(str(cells.iat[row, i]))} is no amount; write a number, or leave it blank"
        )
    amounts = amounts.fillna(0.0)
    total = amounts.sum(axis=1)
    if balance.to_numpy().any():
        amounts = _balanced(amounts, balance, found.where, any("%" in name for name in elements))
        total = amounts.sum(axis=1)
    for whole in (1, 100):
        off = (total / whole - 1).abs() > _TOTAL_TOLERANCE
        if 0 < off.sum() < len(total) / 2:
            row = int(np.argmax(off))
            warn(
                f"{found.where}: the amounts of {int(off.sum())} rows do not add up to {whole}, as "
                f"those of the others do (row {row + 1}: {total.iloc[row]:g}), and are scaled; is "
                "an element missing?",
                TableWarning,
            )
    try:
        return fraction_table(amounts.rename_axis(index="formula"), unit=unit)
    except FormulaError as error:
        raise type(error)(f"{found.where}: {error}") from None


def _balanced(
    amounts: pd.DataFrame, balance: pd.DataFrame, where: str, percent: bool
) -> pd.DataFrame:
    """Amounts with what the others of a row leave of the whole where `balance` says so."""
    total = amounts.sum(axis=1)
    whole = 100 if percent or total.max() > 1 else 1
    left = whole - total
    for row in np.flatnonzero((balance.sum(axis=1) > 1) | (balance.any(axis=1) & (left <= 0)))[:1]:
        raise DataError(
            f"{where}, row {row + 1}: the balance has to be one element, of which the others leave "
            f"something; they add up to {total.iloc[row]:g}. Write amounts"
        )
    if whole == 1:
        warn(
            f"{where}: balances are taken to 1, since no row has more; write % into the headers "
            "if amounts are percentages",
            TableWarning,
        )
    return amounts.add(balance.mul(left, axis=0))
