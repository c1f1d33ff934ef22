"""What a protocol gives: numbers, tables and a figure, written side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pyro_hea.files import replacing, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MEASURES = {"auc": "AUC", "log_loss": "log loss (nats)"}
"""What most protocols measure."""


@dataclass(frozen=True, eq=False)
class ProtocolResult:
    """The result of a protocol.

    Attributes
    ----------
    protocol : str
        Name of the files.
    content : mapping
        All numbers, as JSON can hold them.
    tables : mapping of str to DataFrame
        By heading; what a reader wants to see.
    figure : Figure
    """

    protocol: str
    content: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    figure: Figure

    def write(self, folder: str | Path) -> None:
        """Write `<protocol>.json`, `<protocol>.md` and `<protocol>.png`.

        Raises
        ------
        OutputError
            Where the folder cannot be written.
        """
        path = Path(folder) / self.protocol
        text = "\n".join(f"## {name}\n\n{markdown(table)}" for name, table in self.tables.items())
        numbers = json.dumps(self.content, indent=1, ensure_ascii=False)
        write_text(path.with_suffix(".json"), numbers + "\n", make_folder=True)
        write_text(path.with_suffix(".md"), text)
        # without the version, the bytes depend on the numbers alone
        with replacing(path.with_suffix(".png")) as file:
            self.figure.savefig(file, metadata={"Software": None})


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, without its index.

    Examples
    --------
    >>> print(markdown(pd.DataFrame({"model": ["a"], "AUC": [0.51234]})))
    | model | AUC |
    | --- | --- |
    | a | 0.512 |
    <BLANKLINE>
    """
    rows = [list(map(str, table.columns)), ["---"] * table.shape[1]]
    rows += [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def format_interval(interval: Mapping[str, float], digits: int = 3) -> str:
    """A mean with its interval in brackets.

    Examples
    --------
    >>> format_interval({"mean": 0.9, "low": 0.85, "high": 0.95}, 2)
    '0.90 (0.85 to 0.95)'
    """
    mean, low, high = (f"{interval[key]:.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
