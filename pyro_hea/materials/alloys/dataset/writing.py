"""Reports of alloys as files that `read_alloys` reads again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from pyro_hea.errors import OutputError, missing_extra
from pyro_hea.files import replacing
from pyro_hea.materials.alloys.dataset.spreadsheets import inert

_SUFFIXES = {
    "csv": (".csv", ".csv.gz", ".csv.bz2", ".csv.xz"),
    "excel": (".xlsx",),
    "parquet": (".parquet",),
}


def write_reports(
    reports: pd.DataFrame,
    formulas: Sequence[str],
    path: Path,
    kind: Literal["csv", "excel", "parquet"],
) -> None:
    """Write reports, and a row for each alloy without any, replacing the file at once.

    Raises
    ------
    OutputError
        For another suffix than the kind has, or where the file cannot be written.
    MissingExtraError
        Where Excel or Parquet files need a package that is not installed.
    """
    if not path.name.endswith(_SUFFIXES[kind]):
        raise OutputError(f"{path}: name it with {' or '.join(_SUFFIXES[kind])}")
    alone = pd.DataFrame({"formula": [f for f in formulas if f not in set(reports["formula"])]})
    table = pd.concat([reports, alone], ignore_index=True) if len(alone) else reports
    order = {formula: i for i, formula in enumerate(formulas)}  # as the alloys come
    first = table["formula"].map(order)
    table = table.iloc[first.to_numpy().argsort(kind="stable")]
    try:
        with replacing(path) as file:
            if kind == "csv":
                inert(table).to_csv(file, index=False)
            elif kind == "excel":
                _write_excel(table, file)
            else:
                text = table["value"].map(str, na_action="ignore")  # of one type: numbers, classes
                table.assign(value=text).to_parquet(file, index=False)
    except ImportError as error:
        package = "openpyxl" if kind == "excel" else "pyarrow"
        raise missing_extra(package, kind) from error


def _write_excel(table: pd.DataFrame, path: Path) -> None:
    with path.open("wb") as stream, pd.ExcelWriter(stream, engine="openpyxl") as book:
        table.to_excel(book, index=False)
        for cell in (cell for row in book.book.active.iter_rows() for cell in row):
            if cell.data_type == "f":  # text that begins with = is no formula
                cell.data_type = "s"
