"""One HTML file that holds everything it shows and loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_scalar

from pyro_hea.errors import OutputError
from pyro_hea.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DIGITS = 3
"""Significant digits of the largest number in a column of a table."""

_CSS = """
:root { --ink: #1c2733; --quiet: #566473; --line: #d9dfe5; --wash: #f5f7f9; --accent: #0b5c94; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 110rem; color: var(--ink);
  background: #fff; font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { margin: 0 0 1.5rem; font-size: clamp(1.6rem, 4vw, 2.2rem); line-height: 1.2; }
h2 { margin: 3rem 0 1rem; padding-bottom: .3rem; border-bottom: 2px solid var(--accent);
  font-size: 1.35rem; }
h3 { margin: 2rem 0 .5rem; font-size: 1.05rem; }
h1, h2, h3, dd, p { overflow-wrap: anywhere; }
h1, h2, nav, .summary, .notes, figure { max-width: 62rem; }
a { color: var(--accent); }
nav { padding: 1rem 1.25rem; background: var(--wash); border-radius: .5rem; }
nav ul { margin: 0; padding-left: 1.2rem; }
nav > ul { padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: .75rem 3rem; }
.summary { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: 1px;
  margin: 0; border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }
.summary div { padding: .7rem 1rem; box-shadow: 0 0 0 1px var(--line); }
.summary dt { color: var(--quiet); font-size: .85rem; }
.summary dd { margin: 0; font-size: 1.1rem; font-weight: 600; }
.notes dt { font-weight: 600; }
.notes dd { margin: 0 0 .8rem; }
.note { margin: .3rem 0 .7rem; max-width: 45rem; color: var(--quiet); }
.scroll { width: fit-content; max-width: 100%; overflow-x: auto;
  border: 1px solid var(--line); border-radius: .5rem; }
.scroll:focus-visible { outline: 3px solid var(--accent); }
table { width: 100%; border-collapse: collapse; font-size: .875rem; }
th, td { padding: .35rem .6rem; text-align: left; white-space: nowrap; }
thead th { background: var(--wash); border-bottom: 1px solid var(--line); vertical-align: bottom;
  white-space: normal; overflow-wrap: break-word; }
tbody th { font-weight: 500; }
tbody td:not(.number) { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .scroll { overflow: visible; border: 0; max-width: none; }
  table { font-size: 7pt; }
  th, td { padding: .2rem .4rem; white-space: normal; overflow-wrap: anywhere; }
  figure, tr, .summary div { break-inside: avoid; }
  td.number { white-space: nowrap; }
  h2, h3, .note { break-after: avoid; }
}
"""


def write_report(
    path: str | PathLike[str],
    *,
    title: str,
    summary: Mapping[str, object],
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Figure],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write one self-contained HTML file; equal inputs give equal bytes.

    The file appears whole or not at all: it is written under a temporary name and renamed. All
    text is escaped. With a given matplotlib the bytes depend on nothing but the inputs.

    Parameters
    ----------
    path : path-like
        The file to write; one that is there is replaced. Its folder has to exist.
    title : str
        The heading of the page.
    summary : mapping of str to object
        What the run was and came to: name (with its unit) and value.
    tables : mapping of str to DataFrame
        Each heading with its table. Missing values are dashes.
    figures : mapping of str to matplotlib.figure.Figure
        Each heading with its figure. The text for those who cannot see it is the heading and the
        labels of the axes.
    notes : mapping of str to str, optional
        A note under the name of a table or figure stands beside it; any other is listed at the end.

    Raises
    ------
    OutputError
        If nothing can be written to `path`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "report.html")
    ...     write_report(path, title="Demo", summary={"alloys": 3}, tables={}, figures={})
    ...     "<dt>alloys</dt><dd>3</dd>" in path.read_text()
    True
    """
    notes = dict(notes or {})
    loose = {name: text for name, text in notes.items() if name not in {*tables, *figures}}
    parts = {
        "Summary": {"": _summary(summary)} if summary else {},
        "Tables": {
            name: _note(name, notes) + _table(name, table) for name, table in tables.items()
        },
        "Figures": {name: _note(name, notes) + _figure(name, fig) for name, fig in figures.items()},
        "Notes": {"": _definitions(loose, "notes")} if loose else {},
    }
    _write(Path(path), _page(title, {name: part for name, part in parts.items() if part}))


def _page(title: str, parts: Mapping[str, Mapping[str, str]]) -> str:
    contents, body = "", ""
    for part, sections in parts.items():
        key = part.lower()
        entries, body = "", body + f'<section id="{key}">\n<h2>{part}</h2>\n'
        for i, (heading, content) in enumerate(sections.items(), 1):
            if heading:
                entries += f'<li><a href="#{key}-{i}">{escape(heading)}</a></li>\n'
                body += f'<h3 id="{key}-{i}">{escape(heading)}</h3>\n'
            body += content
        body += "</section>\n"
        below = f"\n<ul>\n{entries}</ul>\n" if entries else ""
        contents += f'<li><a href="#{key}">{part}</a>{below}</li>\n'
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{escape(title)}</h1>\n</header>\n"
        f'<nav aria-label="Contents">\n<ul>\n{contents}</ul>\n</nav>\n'
        f"<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _summary(summary: Mapping[str, object]) -> str:
    return _definitions({name: _numbers([value])[0] for name, value in summary.items()}, "summary")


def _definitions(entries: Mapping[str, str], kind: str) -> str:
    rows = "".join(
        f"<div><dt>{escape(str(name))}</dt><dd>{escape(text)}</dd></div>\n"
        for name, text in entries.items()
    )
    return f'<dl class="{kind}">\n{rows}</dl>\n'


def _note(name: str, notes: Mapping[str, str]) -> str:
    return f'<p class="note">{escape(notes[name])}</p>\n' if name in notes else ""


def _table(name: str, table: pd.DataFrame) -> str:
    # An index that only counts the rows says nothing.
    if not isinstance(table.index, pd.RangeIndex) or table.index.name is not None:
        levels = list(table.index.names)
        table = table.reset_index(allow_duplicates=True)
    else:
        levels = []
    columns = [_numbers(table.iloc[:, i].tolist()) for i in range(table.shape[1])]
    kinds = [' class="number"' if is_numeric_dtype(dtype) else "" for dtype in table.dtypes]
    headings = [
        "" if i < len(levels) and levels[i] is None else str(column)
        for i, column in enumerate(table.columns)
    ]
    head = "".join(
        f'<th scope="col"{kind}>{escape(text).replace("_", "_<wbr>")}</th>'
        for text, kind in zip(headings, kinds, strict=True)
    )
    body = ""
    for row in zip(*columns, strict=True):
        cells = (
            f'<th scope="row"{kind}>{escape(text)}</th>'
            if i < len(levels)
            else f"<td{kind}>{escape(text)}</td>"
            for i, (text, kind) in enumerate(zip(row, kinds, strict=True))
        )
        body += f"<tr>{''.join(cells)}</tr>\n"
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _numbers(values: Iterable[object]) -> list[str]:
    """Spell the values of one column, its floats all with as many decimals.

    Examples
    --------
    >>> _numbers([0.12345, 0.5, float("nan")])
    ['0.123', '0.500', '–']
    >>> _numbers([512.25, 3.0]), _numbers([4.0, None]), _numbers([True, "a"])
    (['512', '3'], ['4', '–'], ['yes', 'a'])
    """
    values = [None if _missing(value) else value for value in values]
    floats = np.array([v for v in values if isinstance(v, float | np.floating)], dtype=float)
    floats = floats[np.isfinite(floats)]
    form = ".0f"
    if (floats != floats.round()).any():
        largest = np.abs(floats).max()
        decimals = max(0, _DIGITS - 1 - int(np.floor(np.log10(largest)) if largest >= 1 else -1))
        form = f".{decimals}f" if largest >= 1e-3 else f".{_DIGITS}g"
    return [_spell(value, form) for value in values]


def _missing(value: Any) -> bool:
    return bool(is_scalar(value) and pd.isna(value))


def _spell(value: object, form: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return format(value, form) if isinstance(value, float | np.floating) else str(value)


def _figure(name: str, figure: Figure) -> str:
    axes = [
        f"horizontal axis {ax.get_xlabel() or 'without a label'}, "
        f"vertical axis {ax.get_ylabel() or 'without a label'}"
        for ax in figure.axes
        if ax.get_xlabel() or ax.get_ylabel()
    ]
    image = io.BytesIO()
    # Software and date would tie the bytes to one machine and day.
    figure.savefig(
        image, format="png", dpi=160, facecolor="white", metadata={"Software": None, "Date": None}
    )
    width = round(96 * figure.get_figwidth())
    data = base64.b64encode(image.getvalue()).decode("ascii")
    alt = escape(": ".join([name, "; ".join(axes)]) if axes else name)
    return (
        f'<figure><img width="{width}" alt="{alt}" src="data:image/png;base64,{data}"></figure>\n'
    )


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise OutputError(
            f"The report cannot be written to '{path}': {error.strerror or error}. "
            "Name a file in a folder that exists and may be written to."
        ) from error
