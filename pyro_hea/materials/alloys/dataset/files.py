"""Tables from files, cell by cell: CSV, Excel and Parquet."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pyro_hea.errors import (
    DataError,
    MissingFileError,
    TableWarning,
    excerpt,
    listing,
    missing_extra,
    warn,
)
from pyro_hea.materials.alloys.dataset.spreadsheets import unmarked

MAX_COLUMNS = 2000
"""Columns of the widest table that is read."""

_COMPRESSED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_DECIMAL_COMMAS = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?|(?:[A-Z][a-z]?(?:\d+(?:,\d+)?)?)+")
_EXCEL = {".xlsx", ".xlsm"}
_UNSUPPORTED = {".xls", ".xlsb", ".ods", ".zip", ".tar", ".7z", ".json"}


def read_table(table: str | Path | pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Read the cells of a table.

    Parameters
    ----------
    table : path or DataFrame
        CSV (`.gz`, `.bz2` or `.xz` too; separated by comma, or by semicolon or tab, where decimal
        commas are read as points), Excel (`.xlsx`),
        Parquet, or a DataFrame, whose index is a column where it has a name.

    Returns
    -------
    rows : DataFrame of object
        Text or numbers; None where a cell is blank. Names of columns are stripped text.
    name : str
        The file's name, or `"table"`.

    Raises
    ------
    MissingFileError
    MissingExtraError
        Where Excel or Parquet files need a package that is not installed.
    DataError
        For a file that cannot be read, a name that two columns bear, a row longer than the
        header, or a NUL byte; it says where.
    """
    if isinstance(table, pd.DataFrame):
        named = [name for name in table.index.names if name is not None]
        frame = table.reset_index(named) if named and named[0] not in table else table
        return _checked(list(frame.columns), frame, "table"), "table"
    if not isinstance(table, str | Path):
        raise DataError(
            f"a table is a file or a DataFrame, not {type(table).__name__}; of a Series, give "
            "series.rename_axis('id').reset_index()"
        )
    path = Path(table)
    if not path.is_file():
        raise MissingFileError(f"table '{path}' does not exist")
    suffix = path.suffix.lower()
    if suffix in _UNSUPPORTED:
        raise DataError(f"{path}: save the table as CSV, Excel (.xlsx) or Parquet")
    if suffix == ".parquet":
        frame = _read_parquet(path)
        return _checked(list(frame.columns), frame, str(path)), path.name
    cells = _read_excel(path) if suffix in _EXCEL else _read_csv(path)
    header, body = _header_and_rows(cells, path)
    return _checked(header, pd.DataFrame(body, dtype=object), str(path)), path.name


def _read_csv(path: Path) -> Iterable[Sequence[object]]:
    opener = _COMPRESSED.get(path.suffix.lower(), open)
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: cannot be read as a table: byte {error.start} is not UTF-8; save it as "
            '"CSV UTF-8"'
        ) from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be read as a table: {excerpt(str(error))}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}, line {line}: cannot be read as a table: it holds a NUL byte")
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [[unmarked(cell) for cell in row] for row in lines]
    except csv.Error as error:
        raise DataError(
            f"{path}, line {lines.line_num}: cannot be read as a table: {error}"
        ) from None
    return rows if delimiter == "," else _with_decimal_points(rows)


def _with_decimal_points(rows: list[list[str]]) -> list[list[str]]:
    """Numbers with decimal commas, also in formulas, as other separators leave them, with points.

    Where a number of the table has a point, a comma is none of decimals.
    """
    if any(_DECIMAL_POINT.fullmatch(cell.strip()) for row in rows for cell in row):
        return rows
    return [
        [
            cell.replace(",", ".") if _DECIMAL_COMMAS.fullmatch(cell.strip()) else cell
            for cell in row
        ]
        for row in rows
    ]


def _read_excel(path: Path) -> Iterable[Sequence[object]]:
    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets = [str(name) for name in book.sheet_names]
            frame = pd.read_excel(
                book, header=None, dtype=object, keep_default_na=False, na_values=[""]
            )
    except ImportError as error:
        raise missing_extra("openpyxl", "excel") from error
    except Exception as error:  # whatever a parser of damaged files raises
        raise DataError(f"{path}: cannot be read as a table: {excerpt(str(error))}") from None
    if len(sheets) > 1:
        warn(f"{path}: of the sheets {listing(sheets)} the first is read", TableWarning)
    return frame.to_numpy(object).tolist()


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise missing_extra("pyarrow", "parquet") from error
    except Exception as error:  # whatever a parser of damaged files raises
        raise DataError(f"{path}: cannot be read as a table: {excerpt(str(error))}") from None


def _header_and_rows(
    cells: Iterable[Sequence[object]], path: Path
) -> tuple[Sequence[object], list[list[object]]]:
    """The names of the columns, and the rows that hold anything, as long as the header."""
    rows = [list(row) for row in cells if not all(map(_is_blank, row))]
    if not rows:
        raise DataError(f"{path}: cannot be read as a table: it is empty")
    titles = _count_titles(rows)
    if titles:
        said = listing(str(next(c for c in row if not _is_blank(c))) for row in rows[:titles])
        warn(f"{path}: the header is taken from below {said}", TableWarning)
    header, *body = rows[titles:]
    for number, row in enumerate(body, start=1):
        if len(row) > len(header):
            raise DataError(
                f"{path}, row {number}: cannot be read as a table: {len(row)} cells for "
                f"{len(header)} columns; quote a cell that holds the separator"
            )
        row += [None] * (len(header) - len(row))
    return header, body


def _count_titles(rows: Sequence[Sequence[object]]) -> int:
    """Rows above the header that hold one cell of text, as the title of a sheet does."""
    filled = [[cell for cell in row if not _is_blank(cell)] for row in rows]
    alone = next((i for i, cells in enumerate(filled) if len(cells) > 1), 0)
    names = filled[alone]
    if alone < len(rows) - 1 and all(isinstance(c, str) and not _is_number(c) for c in names):
        return alone
    return 0


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"\s*[+-]?[\d.,]+(?:[eE][+-]?\d+)?\s*", cell))


def _checked(header: Sequence[object], frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The cells under stripped, distinct names; blank cells are None."""
    if len(header) > MAX_COLUMNS:
        raise DataError(f"{where}: {len(header)} columns; at most {MAX_COLUMNS} are read")
    columns: dict[str, list[object]] = {}
    for i, given in enumerate(header):
        name = "" if _is_blank(given) else str(given).strip()
        cells = frame.iloc[:, i].astype(object).tolist() if len(frame) else []
        cells = [None if _is_blank(cell) else cell for cell in cells]
        if not name and not any(cell is not None for cell in cells):
            continue  # what a spreadsheet keeps beside a table
        name = name or f"column {i + 1}"
        if name in columns:
            raise DataError(
                f"{where}: two columns are called {excerpt(name)}; give each its own name"
            )
        for row, cell in enumerate([name, *cells]):
            if isinstance(cell, str) and "\0" in cell:
                raise DataError(f"{where}, row {row}: {excerpt(cell)} holds a NUL byte")
        columns[name] = cells
    return pd.DataFrame(columns, dtype=object)


def _is_blank(cell: object) -> bool:
    if isinstance(cell, str):
        return not cell.strip()
    return (
        cell is None or cell is pd.NA or cell is pd.NaT or cell != cell
    )  # NaN differs from itself
