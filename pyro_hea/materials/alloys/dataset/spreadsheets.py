"""Text in CSV files that a spreadsheet would run as a formula, marked as text by an apostrophe."""

from __future__ import annotations

import pandas as pd

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a cell that a spreadsheet takes for a formula."""


def inert(table: pd.DataFrame) -> pd.DataFrame:
    """The same table, with text that a spreadsheet would run as a formula marked as text.

    Examples
    --------
    >>> inert(pd.DataFrame({"phase": ["fcc", "=1+1"]}))["phase"].tolist()
    ['fcc', "'=1+1"]
    """
    columns = {
        _marked(name): column if column.dtype.kind in "fiub" else column.map(_marked)
        for name, column in table.items()
    }
    return pd.DataFrame(columns)


def unmarked(cell: str) -> str:
    """The text of a cell, without the mark that `inert` gave it.

    Examples
    --------
    >>> unmarked("'=1+1"), unmarked("'quoted'")
    ('=1+1', "'quoted'")
    """
    return cell[1:] if cell[:1] == "'" and _is_risky(cell) else cell


def _marked(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and _is_risky(cell) else cell


def _is_risky(cell: str) -> bool:
    return cell.lstrip("'").startswith(_FORMULA_STARTS)
