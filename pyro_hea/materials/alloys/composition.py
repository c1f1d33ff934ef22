"""Formulas as this package spells them, and tables of atomic fractions.

Examples
--------
>>> format_formula({"Ni": 2, "Al": 1, "Fe": 2, "Cr": 2, "Co": 2})
'Al0.5CoCrFeNi'
>>> fraction_table(["Ni3Al", "NiTi"]).loc["Ni3Al"].to_dict()
{'Al': 0.25, 'Ni': 0.75, 'Ti': 0.0}
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NoReturn

import numpy as np
import pandas as pd

from pyro_hea.errors import FormulaError, UnknownElementError, excerpt, listing, nearest
from pyro_hea.materials.alloys.amounts import (
    Alloy,
    Alloys,
    Unit,
    check_amount,
    check_unit,
    parse_composition,
)
from pyro_hea.materials.alloys.element_tables import atomic_mass
from pyro_hea.materials.alloys.formula import LEAST_FRACTION, SYMBOLS

_DRIFT = 20
"""Repetitions after which percentages that were rounded are no formula."""


def format_formula(fractions: Alloy) -> str:
    """Spell a composition in the one way that this package spells it.

    Elements are in alphabetical order. Amounts have up to six digits, and 1 is left out. They
    are scaled so that the most common amount (the largest of those equally common) is 1, or
    given in at.% where that needs no rounding, or is shorter. Fractions below 1e-8 are left out.

    Parameters
    ----------
    fractions : mapping or str or pymatgen.core.Composition
        Whatever `parse_composition` reads.

    Returns
    -------
    str
        A formula that reads back as the same fractions to 1e-5; formatting it again changes
        nothing.

    Raises
    ------
    FormulaError
        As `parse_composition` does.

    Examples
    --------
    >>> format_formula("NiFeCrCo")
    'CoCrFeNi'
    >>> format_formula({"Al": 0.085, "Co": 0.235, "Cr": 0.245, "Fe": 0.215, "Ni": 0.22})
    'Al8.5Co23.5Cr24.5Fe21.5Ni22'
    """
    formula, amounts = _format(parse_composition(fractions, "at"))
    # Rounding to six digits changes the fractions a little, and perhaps their formula: repeat
    # until a formula returns, and take the first of a cycle. Percentages of many elements would
    # drift for thousands of repetitions; amounts relative to one of them are as they were.
    seen: list[str] = []
    while formula not in seen:
        seen.append(formula)
        total = sum(amounts.values())
        fractions = {e: amount / total for e, amount in amounts.items()}
        formula, amounts = _format(fractions, drifting=len(seen) > _DRIFT)
    return min(seen[seen.index(formula) :])


def fraction_table(
    alloys: Alloys, elements: Sequence[str] | None = None, unit: Unit | None = None
) -> pd.DataFrame:
    """Tabulate the atomic fractions of alloys.

    Parameters
    ----------
    alloys : iterable of alloys, or one alloy, or DataFrame
        Each as `parse_composition` reads it. A DataFrame has one column per element and holds
        amounts of any scale, 0 where an element is absent; an index named ``formula`` is kept.
    elements : sequence of str, optional
        The columns; by default all elements present, in alphabetical order.
    unit : {"at", "wt"}, optional
        Whether amounts count atoms (the default) or are weights.

    Returns
    -------
    DataFrame of float, shape (alloys, elements)
        Rows sum to 1. The index ``formula`` holds each formula as it was given, or the canonical
        one for an alloy that was not given as text.

    Raises
    ------
    UnknownElementError
        For something that is no element, or is not among `elements`; names the row.
    FormulaError
        For an alloy that cannot be read; names the row, counted from 1.

    Examples
    --------
    >>> fraction_table("Ni3Al", elements=["Ni", "Al", "Ti"]).to_dict("index")
    {'Ni3Al': {'Ni': 0.75, 'Al': 0.25, 'Ti': 0.0}}
    """
    if isinstance(alloys, pd.DataFrame):
        return _normalise(alloys, elements, unit)
    if isinstance(alloys, str | Mapping):
        alloys = [alloys]
    elif not isinstance(alloys, Iterable):
        parse_composition(alloys)  # raises, and says what an alloy is
    position = _positions(elements or [])
    read = lru_cache(maxsize=10_000)(parse_composition)  # a table repeats formulas
    formulas: list[str] = []
    rows, columns, values = array("q"), array("q"), array("d")  # a dict a row would be large
    first: FormulaError | None = None
    refused: list[int] = []
    for row, alloy in enumerate(alloys):
        try:
            parsed = (read if isinstance(alloy, str) else parse_composition)(alloy, unit)
        except FormulaError as error:
            first = first or error
            refused.append(row + 1)
            continue
        formulas.append(alloy if isinstance(alloy, str) else format_formula(parsed))
        for element, fraction in parsed.items():
            if elements is not None and element not in position and first is None:
                _refuse_outside(row, formulas[-1], element, elements)
            rows.append(row)
            columns.append(position.setdefault(element, len(position)))
            values.append(fraction)
    if first is not None:
        others = f" Nor can the rows {listing(refused[1:])} be read." if refused[1:] else ""
        raise type(first)(f"Row {refused[0]}: {first}{others}", first.position)
    names = list(elements) if elements is not None else sorted(position)
    place = np.array([names.index(element) for element in position], dtype=int)
    table = np.zeros((len(formulas), len(names)))
    table[rows, place[columns]] = values
    return pd.DataFrame(table, index=pd.Index(formulas, name="formula"), columns=names)


def _format(
    fractions: Mapping[str, float], *, drifting: bool = False
) -> tuple[str, dict[str, float]]:
    """The formula of fractions, and the amounts in it: percentages or relative to one of them."""
    least = LEAST_FRACTION * 1.0001  # above the limit of a formula after rounding, too
    present = {element: f for element, f in fractions.items() if f >= least}
    counts = Counter(f"{fraction:.6g}" for fraction in present.values())
    unit = max(present.values(), key=lambda fraction: (counts[f"{fraction:.6g}"], fraction))
    found = []
    for scale in (1 / unit, 100):
        exact = {element: fraction * scale for element, fraction in present.items()}
        digits = {element: f"{amount:.6g}" for element, amount in exact.items()}
        amounts = {element: float(text) for element, text in digits.items()}
        rounded = any(abs(amounts[element] / exact[element] - 1) > 1e-9 for element in exact)
        last = drifting and rounded and scale == 100
        formula = "".join(e + ("" if text == "1" else text) for e, text in digits.items())
        found.append((last, rounded, len(formula), formula, amounts))
    return min(found, key=lambda entry: entry[:3])[3:]


def _normalise(
    table: pd.DataFrame, elements: Sequence[str] | None, unit: Unit | None
) -> pd.DataFrame:
    columns = list(table.columns)
    position = _positions(columns)
    for column in columns:
        if column not in SYMBOLS:
            raise UnknownElementError(
                f"Column {excerpt(column)} is not an element.{nearest(column, SYMBOLS)} A table of "
                f"compositions has one column per element and no other: leave {excerpt(column)} "
                "out, or give formulas alone, as table['formula']."
            )
    try:
        amounts = table.to_numpy(float)
    except (TypeError, ValueError) as error:
        raise FormulaError(f"A table of compositions holds numbers only: {error}.") from None
    for row, column in np.argwhere(~((amounts >= 0) & (amounts < np.inf)))[:1]:
        try:
            check_amount(
                float(amounts[row, column]),
                columns[column],
                dict(zip(columns, amounts[row].tolist(), strict=True)),
            )
        except FormulaError as error:
            raise FormulaError(f"Row {row + 1}: {error} Write 0 there.") from None
    if check_unit(unit) == "wt":
        amounts = amounts / [atomic_mass(column) for column in columns]
    total = amounts.sum(axis=1)
    for row in np.flatnonzero(~((total > 0) & (total < np.inf)))[:1]:
        raise FormulaError(f"Row {row + 1}: the amounts add up to {total[row]:g}; no composition.")
    fractions = amounts / total[:, None]
    present = [columns[i] for i in np.flatnonzero(fractions.any(axis=0))]
    wanted = list(elements) if elements is not None else sorted(present)
    if table.index.name == "formula":
        index = table.index
    else:
        distinct, inverse = np.unique(fractions, axis=0, return_inverse=True)
        rows = (dict(zip(columns, row, strict=True)) for row in distinct.tolist())
        formulas = np.array([format_formula(row) for row in rows], dtype=object)
        index = pd.Index(formulas[inverse.reshape(-1)], name="formula")
    for element in present:
        if element not in wanted:
            row = int(np.argmax(fractions[:, position[element]] > 0))
            _refuse_outside(row, str(index[row]), element, wanted)
    return pd.DataFrame(fractions, index=index, columns=columns).reindex(
        columns=wanted, fill_value=0.0
    )


def _positions(columns: Sequence[str]) -> dict[str, int]:
    position = {column: i for i, column in enumerate(columns)}
    if len(position) < len(columns):
        twice = next(c for c, n in Counter(columns).items() if n > 1)
        raise FormulaError(f"Element '{twice}' stands twice among the columns; name it once.")
    return position


def _refuse_outside(row: int, formula: str, element: str, allowed: Sequence[str]) -> NoReturn:
    raise UnknownElementError(
        f"Row {row + 1}: '{element}' in {excerpt(formula)} is outside the elements allowed here, "
        f"which are {', '.join(allowed)}."
    )
