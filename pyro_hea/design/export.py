"""Tables of designs in files: CSV, Excel and Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from pyro_hea.errors import missing_extra
from pyro_hea.files import replacing
from pyro_hea.materials.alloys.dataset import inert

if TYPE_CHECKING:
    from pathlib import Path


def write_table(
    table: pd.DataFrame, path: str | Path, kind: Literal["csv", "xlsx", "parquet"]
) -> None:
    """Write a table, whole or not at all, with no cell that a spreadsheet would run.

    An index that has a name is a column of the file. Excel files get a second sheet of the units
    in its `attrs`, if it has any.

    Raises
    ------
    MissingExtraError
        Where openpyxl (Excel) or pyarrow (Parquet) is not installed.
    OutputError
        Where nothing can be written there.
    """
    units = table.attrs.get("units")
    table = table.reset_index() if table.index.name else table
    try:
        with replacing(path) as file:
            if kind == "csv":
                inert(table).to_csv(file, index=False, float_format="%.6g")
            elif kind == "xlsx":
                with file.open("wb") as stream, pd.ExcelWriter(stream, engine="openpyxl") as book:
                    inert(table).to_excel(book, sheet_name="alloys", index=False)
                    if units:
                        named = pd.DataFrame(units.items(), columns=["column", "unit"])
                        inert(named).to_excel(book, sheet_name="units", index=False)
            else:
                table.to_parquet(file, index=False)
    except ImportError as error:
        package, extra = ("openpyxl", "excel") if kind == "xlsx" else ("pyarrow", "parquet")
        raise missing_extra(package, extra) from error
