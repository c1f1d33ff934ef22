"""Formulas and the atomic fractions they stand for; the tables of elements and of their pairs.

Examples
--------
>>> format_formula({"Ni": 2, "Al": 1, "Fe": 2, "Cr": 2, "Co": 2})
'Al0.5CoCrFeNi'
>>> fraction_table(["Ni3Al", "NiTi"]).loc["Ni3Al"].to_dict()
{'Al': 0.25, 'Ni': 0.75, 'Ti': 0.0}
>>> float(load_tables("field").mixing_enthalpy.loc["Al", "Ni"])
-22.0
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from numbers import Real
from typing import Literal, NoReturn, TypeAlias

import numpy as np
import pandas as pd

from pyro_hea.alloys.formula import LEAST_FRACTION, SYMBOLS, check_symbol, parse_formula
from pyro_hea.errors import DataError, FormulaError, UnknownElementError, excerpt, nearest

Alloy: TypeAlias = str | Mapping[str, float]
"""One alloy: a formula, or amounts of any scale by element (as a pymatgen Composition has them)."""

Alloys: TypeAlias = Alloy | Iterable[Alloy] | pd.DataFrame
"""Any number of alloys; a DataFrame has one column per element."""

Unit: TypeAlias = Literal["at", "wt"]
"""Whether amounts count atoms or are weights."""

PROPERTY_UNITS: dict[str, str] = {
    "melting_temperature": "K",
    "molar_volume": "cm3/mol",
    "bulk_modulus": "GPa",
    "atomic_radius": "pm",
    "electronegativity": "Pauling",
    "valence_electron_concentration": "electrons/atom",
    "density": "g/cm3",
    "atomic_mass": "g/mol",
}
"""Unit of each element property; `PropertyTables.properties` has them as columns."""

_MISSING = frozenset(
    ("", "NaN", "nan", "NAN", "None", "none", "NULL", "null", "<NA>", "N/A", "n/a")
)


def parse_composition(alloy: Alloy, unit: Unit | None = None) -> dict[str, float]:
    """Read the atomic fractions of one alloy.

    Parameters
    ----------
    alloy : str or mapping or pymatgen.core.Composition
        A formula, or amounts by element symbol. Amounts are relative: 0.5 and 1, 10 and 20 at.%
        or 1/3 and 2/3 are the same. A bracket multiplies each amount inside it, as in any
        chemical formula and as pymatgen reads it: ``(CoCrFeNi)95Al5`` is 95 Co, 95 Cr, 95 Fe,
        95 Ni and 5 Al. Five at.% of aluminium is ``(CoCrFeNi)23.75Al5``. In ``Ti-6Al-4V`` the
        first element is the balance to 100 %. `pyro_hea.alloys.formula` has the grammar.
    unit : {"at", "wt"}, optional
        Whether amounts count atoms (the default) or are weights.

    Returns
    -------
    dict of str to float
        Atomic fractions that sum to 1, by element in alphabetical order, without zeros.

    Raises
    ------
    UnknownElementError
        For a symbol that is no element (isotopes and dummy species are none), or an element
        without an atomic mass in the tables where amounts are weights.
    FormulaError
        For anything else that is no composition: a missing value, a typo, an oxidation state, an
        amount that is negative or not finite, nothing but zeros, or a formula with an amount
        below a fraction of 1e-8.

    Warns
    -----
    FormulaWarning
        Where a formula may have been meant in another way than it is read.

    Examples
    --------
    >>> parse_composition("Ni3Al")
    {'Al': 0.25, 'Ni': 0.75}
    >>> parse_composition({"Ni": 30, "Ti": 10, "Cr": 0})
    {'Ni': 0.75, 'Ti': 0.25}
    >>> round(parse_composition("Ti-6Al-4V", unit="wt")["Al"], 4)
    0.102
    >>> parse_composition("NiTi3.5.1")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    pyro_hea.errors.FormulaError: Formula 'NiTi3.5.1' cannot be read at '.1' (character 8): ...
    """
    if isinstance(alloy, str):
        if alloy.strip() in _MISSING:
            _refuse_missing(alloy)
        amounts = parse_formula(alloy, unit)
    elif isinstance(alloy, Mapping):
        amounts = _read_amounts(alloy)
    elif alloy is None or alloy is pd.NA or (isinstance(alloy, float) and math.isnan(alloy)):
        _refuse_missing(alloy)
    else:
        raise FormulaError(
            f"A composition is a formula, a mapping from element to amount or a pymatgen "
            f"Composition, not {type(alloy).__name__} ({excerpt(alloy)})."
        )
    if check_unit(unit) == "wt":
        amounts = {e: amount / _atomic_mass(e) for e, amount in amounts.items() if amount}
    total = sum(amounts.values())
    if total == 0:
        raise FormulaError(f"{_quoted(alloy)} holds no atoms: give some element a positive amount.")
    if not math.isfinite(total):
        raise FormulaError(f"{_quoted(alloy)} has amounts too large to add up: scale them down.")
    fractions = {e: amounts[e] / total for e in sorted(amounts) if amounts[e] > 0}
    if isinstance(alloy, str):
        for element, fraction in fractions.items():
            if fraction < LEAST_FRACTION:
                raise FormulaError(
                    f"The amount of '{element}' in {excerpt(alloy)} is a fraction of {fraction:g}; "
                    f"a formula names no fraction below {LEAST_FRACTION:g}. Leave the element out, "
                    "or check the amounts."
                )
    return {element: fraction for element, fraction in fractions.items() if fraction > 0}


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
    # until a formula returns, and take the first of a cycle.
    seen: list[str] = []
    while formula not in seen:
        seen.append(formula)
        total = sum(amounts.values())
        formula, amounts = _format({e: amount / total for e, amount in amounts.items()})
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
    formulas: list[str] = []
    parsed: list[dict[str, float]] = []
    known: dict[str, dict[str, float]] = {}  # a table repeats formulas
    for row, alloy in enumerate(alloys, start=1):
        fractions = known.get(alloy) if isinstance(alloy, str) else None
        if fractions is None:
            try:
                fractions = parse_composition(alloy, unit)
            except FormulaError as error:
                raise type(error)(f"Row {row}: {error}", error.position) from None
        if isinstance(alloy, str):
            known[alloy] = fractions
        parsed.append(fractions)
        formulas.append(alloy if isinstance(alloy, str) else format_formula(fractions))
    columns = list(elements) if elements is not None else sorted(set().union(*parsed))
    position = _positions(columns)
    values = np.zeros((len(parsed), len(columns)))
    for row, fractions in enumerate(parsed):
        for element, fraction in fractions.items():
            if element not in position:
                _refuse_outside(row, formulas[row], element, columns)
            values[row, position[element]] = fraction
    return pd.DataFrame(values, index=pd.Index(formulas, name="formula"), columns=columns)


@dataclass(frozen=True, eq=False)
class PropertyTables:
    """Properties of the elements and of their pairs.

    Attributes
    ----------
    name : str
        Which tables these are.
    elements : tuple of str
        The elements covered, in alphabetical order.
    properties : DataFrame, shape (elements, properties)
        Columns and units as in `PROPERTY_UNITS`; read-only values.
    mixing_enthalpy : DataFrame, shape (elements, elements)
        Enthalpy of mixing of the equiatomic liquid binary in kJ/mol, negative where unlike atoms
        attract; symmetric, zero on the diagonal, read-only values.
    """

    name: str
    elements: tuple[str, ...]
    properties: pd.DataFrame
    mixing_enthalpy: pd.DataFrame


_TABLE_FILES = {
    "field": ("elements.csv", "pairs.csv"),
    "published": ("elements_published.csv", "pairs_published.csv"),
}


@cache
def load_tables(name: Literal["field", "published"] = "field") -> PropertyTables:
    """Load the packaged tables of element and pair properties.

    Parameters
    ----------
    name : {"field", "published"}
        ``"field"`` has 70 elements, the field's valence electron concentration and the pair
        enthalpies of Takeuchi and Inoue, Mater. Trans. 46 (2005) 2817. ``"published"`` has the
        30 elements and the values behind the features of arXiv:2409.06740, faults included.

    Returns
    -------
    PropertyTables
        The same object at each call. The published tables have no density and atomic mass.

    Raises
    ------
    DataError
        For any other name.

    Examples
    --------
    >>> float(load_tables("field").properties.loc["W", "valence_electron_concentration"])
    6.0
    >>> float(load_tables("published").properties.loc["W", "valence_electron_concentration"])
    20.0
    """
    if name not in _TABLE_FILES:
        raise DataError(
            f"There are no property tables '{name}': choose one of "
            f"{', '.join(map(repr, _TABLE_FILES))}.{nearest(name, _TABLE_FILES)}"
        )
    element_file, pair_file = _TABLE_FILES[name]
    properties = _read_table(element_file).set_index("element").rename(columns=_property_name)
    elements = tuple(properties.index)
    position = _positions(elements)
    pairs = _read_table(pair_file)
    enthalpy = np.zeros((len(elements), len(elements)))
    a, b = pairs["element_a"].map(position), pairs["element_b"].map(position)
    enthalpy[a, b] = enthalpy[b, a] = pairs["mixing_enthalpy_kJ_mol"]
    return PropertyTables(
        name=name,
        elements=elements,
        properties=_read_only(properties.to_numpy(float), properties.index, properties.columns),
        mixing_enthalpy=_read_only(enthalpy, properties.index, properties.index),
    )


def check_unit(unit: str | None) -> Unit:
    """The unit of amounts, `"at"` by default."""
    if unit is not None and unit not in {"at", "wt"}:
        raise DataError(f"unit is {excerpt(unit)}; allowed: 'at' (atoms) and 'wt' (weights)")
    return "wt" if unit == "wt" else "at"


def _atomic_mass(element: str) -> float:
    masses = _atomic_masses()
    if element not in masses:
        raise UnknownElementError(
            f"'{element}' has no atomic mass in the tables, so weights cannot be converted; the "
            f"tables cover {', '.join(masses)}."
        )
    return masses[element]


@cache
def _atomic_masses() -> dict[str, float]:
    """Atomic mass of each element of the field's tables, g/mol."""
    masses = load_tables("field").properties["atomic_mass"]
    return {str(element): float(mass) for element, mass in masses.items()}


def _refuse_missing(alloy: object) -> NoReturn:
    raise FormulaError(
        f"A composition is missing (it is {alloy if not isinstance(alloy, str) else repr(alloy)}). "
        "Write a formula such as 'Al0.5CoCrFeNi', or leave the row out; an alloy of nitrogen and "
        "sodium is 'NNa'."
    )


def _read_amounts(alloy: Mapping[str, float]) -> dict[str, float]:
    amounts: dict[str, float] = defaultdict(float)
    for key, value in alloy.items():
        if not isinstance(value, Real):
            raise FormulaError(
                f"The amount of {excerpt(str(key))} in {_quoted(alloy)} is no number: "
                f"{excerpt(value)}."
            )
        symbol = check_symbol(str(key), {str(e): a for e, a in alloy.items()})
        try:
            number = float(value)
        except OverflowError:  # an integer of more than 308 digits
            number = math.inf
        amounts[symbol] += _check_amount(number, symbol, alloy)
    return amounts


def _check_amount(value: float, element: str, alloy: Alloy) -> float:
    if not 0 <= value < math.inf:
        kind = "missing" if math.isnan(value) else "negative" if value < 0 else "infinite"
        raise FormulaError(
            f"The amount of '{element}' in {_quoted(alloy)} is {kind} ({value:g}). Amounts are 0 "
            "or more; leave out an element that is absent."
        )
    return value


def _quoted(alloy: Alloy) -> str:
    return excerpt(alloy if isinstance(alloy, str) else {str(e): a for e, a in alloy.items()})


def _format(fractions: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    """The formula of fractions, and the amounts in it."""
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
        formula = "".join(e + ("" if text == "1" else text) for e, text in digits.items())
        found.append((rounded, len(formula), formula, amounts))
    return min(found, key=lambda entry: entry[:2])[2:]


def _normalise(
    table: pd.DataFrame, elements: Sequence[str] | None, unit: Unit | None
) -> pd.DataFrame:
    columns = list(table.columns)
    position = _positions(columns)
    for column in columns:
        if column not in SYMBOLS:
            raise UnknownElementError(
                f"Column {excerpt(column)} is not an element.{nearest(column, SYMBOLS)} A table of "
                f"compositions has one column per element and no other."
            )
    try:
        amounts = table.to_numpy(float)
    except (TypeError, ValueError) as error:
        raise FormulaError(f"A table of compositions holds numbers only: {error}.") from None
    for row, column in np.argwhere(~((amounts >= 0) & (amounts < np.inf)))[:1]:
        try:
            _check_amount(float(amounts[row, column]), columns[column], dict(table.iloc[row]))
        except FormulaError as error:
            raise FormulaError(f"Row {row + 1}: {error} Write 0 there.") from None
    if check_unit(unit) == "wt":
        amounts = amounts / [_atomic_mass(column) for column in columns]
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


def _read_table(name: str) -> pd.DataFrame:
    with files("pyro_hea.data").joinpath(name).open(encoding="utf-8") as lines:
        return pd.read_csv(lines)


def _property_name(column: str) -> str:
    """Name of the property in a column whose name ends in its unit."""
    if column == "valence_published":
        return "valence_electron_concentration"
    return next(name for name in PROPERTY_UNITS if column.startswith(name))


def _read_only(values: np.ndarray, index: pd.Index, columns: pd.Index) -> pd.DataFrame:
    values.flags.writeable = False  # the tables are shared by all who load them
    return pd.DataFrame(values, index=index, columns=columns, copy=False)
