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
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from numbers import Real
from typing import Literal, NoReturn, TypeAlias

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError, FormulaError, UnknownElementError, nearest

Alloy: TypeAlias = str | Mapping[str, float]
"""One alloy: a formula, or amounts of any scale by element (as a pymatgen Composition has them)."""

Alloys: TypeAlias = Alloy | Iterable[Alloy] | pd.DataFrame
"""Any number of alloys; a DataFrame has one column per element."""

_PERIODIC_TABLE = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br
    Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho
    Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es
    Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
SYMBOLS = frozenset(_PERIODIC_TABLE.split())
"""The symbols of the 118 elements."""

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

_UNREADABLE = re.compile(r"[^A-Za-z0-9.()+\-\s]")
_MISSING = frozenset(
    ("", "NaN", "nan", "NAN", "None", "none", "NULL", "null", "<NA>", "N/A", "n/a")
)
_HOW = "Write element symbols, each followed by its amount, as in 'Al0.5CoCrFeNi'"


def parse_composition(alloy: Alloy) -> dict[str, float]:
    """Read the atomic fractions of one alloy.

    Parameters
    ----------
    alloy : str or mapping or pymatgen.core.Composition
        A formula, or amounts by element symbol. Amounts are relative: 0.5 and 1, 10 and 20 at.%
        or 1/3 and 2/3 are the same. A bracket multiplies each amount inside it, as in any
        chemical formula and as pymatgen reads it: ``(CoCrFeNi)95Al5`` is 95 Co, 95 Cr, 95 Fe,
        95 Ni and 5 Al. Five at.% of aluminium is ``(CoCrFeNi)23.75Al5``.

    Returns
    -------
    dict of str to float
        Atomic fractions that sum to 1, by element in alphabetical order, without zeros.

    Raises
    ------
    UnknownElementError
        For a symbol that is no element (isotopes and dummy species are none).
    FormulaError
        For anything else that is no composition: a missing value, a typo, an oxidation state, an
        amount that is negative or not finite, or nothing but zeros.

    Examples
    --------
    >>> parse_composition("Ni3Al")
    {'Al': 0.25, 'Ni': 0.75}
    >>> parse_composition({"Ni": 30, "Ti": 10, "Cr": 0})
    {'Ni': 0.75, 'Ti': 0.25}
    >>> parse_composition("NiTi3.5.1")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    pyro_hea.errors.FormulaError: Formula 'NiTi3.5.1' cannot be read: ...
    """
    if isinstance(alloy, str):
        amounts = _parse_formula(alloy)
    elif isinstance(alloy, Mapping):
        amounts = _read_amounts(alloy)
    elif alloy is None or alloy is pd.NA or (isinstance(alloy, float) and math.isnan(alloy)):
        raise FormulaError(
            f"A composition is missing (it is {alloy}). {_HOW}, or leave the row out."
        )
    else:
        raise FormulaError(
            f"A composition is a formula, a mapping from element to amount or a pymatgen "
            f"Composition, not {type(alloy).__name__} ({alloy!r})."
        )
    total = sum(amounts.values())
    if total == 0:
        raise FormulaError(f"{_named(alloy)} holds no atoms: give some element a positive amount.")
    if not math.isfinite(total):
        raise FormulaError(f"{_named(alloy)} has amounts too large to add up: scale them down.")
    fractions = {element: amounts[element] / total for element in sorted(amounts)}
    return {element: fraction for element, fraction in fractions.items() if fraction > 0}


def format_formula(fractions: Alloy) -> str:
    """Spell a composition in the one way that this package spells it.

    Elements are in alphabetical order. Amounts have up to six digits, and 1 is left out. They
    are scaled so that the most common amount (the largest of those equally common) is 1, or
    given in at.% where that needs no rounding, or is shorter.

    Parameters
    ----------
    fractions : mapping or str or pymatgen.core.Composition
        Whatever `parse_composition` reads.

    Returns
    -------
    str
        A formula that reads back as the same fractions to 1e-5, and is spelled as itself.

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
    formula = _spell(parse_composition(fractions))
    # Six digits of each amount move the fractions a little, which may change their spelling: go
    # on until a spelling comes back, and of the few that take turns keep the first.
    seen: list[str] = []
    while formula not in seen:
        seen.append(formula)
        formula = _spell(parse_composition(formula))
    return min(seen[seen.index(formula) :])


def fraction_table(alloys: Alloys, elements: Sequence[str] | None = None) -> pd.DataFrame:
    """Tabulate the atomic fractions of alloys.

    Parameters
    ----------
    alloys : iterable of alloys, or one alloy, or DataFrame
        Each as `parse_composition` reads it. A DataFrame has one column per element and holds
        amounts of any scale, 0 where an element is absent; an index named ``formula`` is kept.
    elements : sequence of str, optional
        The columns; by default all elements present, in alphabetical order.

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
        return _normalise(alloys, elements)
    if isinstance(alloys, str | Mapping):
        alloys = [alloys]
    elif not isinstance(alloys, Iterable):
        parse_composition(alloys)  # raises, and says what an alloy is
    formulas: list[str] = []
    parsed: list[dict[str, float]] = []
    for row, alloy in enumerate(alloys, start=1):
        try:
            parsed.append(parse_composition(alloy))
        except FormulaError as error:
            raise type(error)(f"Row {row}: {error}") from None
        formulas.append(alloy if isinstance(alloy, str) else format_formula(parsed[-1]))
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


def _parse_formula(text: str) -> dict[str, float]:
    """Amounts by element, of a formula that is plain enough for pymatgen to read it right."""
    from pymatgen.core import Composition

    if text.strip() in _MISSING:
        raise FormulaError(
            f"A composition is missing (it is {text!r}). {_HOW}, or leave the row out; an alloy "
            f"of nitrogen and sodium is 'NNa'."
        )
    if odd := _UNREADABLE.search(text):  # pymatgen would drop some of these
        raise FormulaError(f"Formula {text!r} cannot be read at {text[odd.start() :]!r}. {_HOW}.")
    for symbol in re.findall("[A-Z][a-z]?", text):  # and take "D" or "Xx" for species
        _symbol(symbol, text)
    for symbol, amount in re.findall(r"([A-Z][a-z]?|\))(-[0-9.]+)", text):
        _amount(float(amount), symbol, text)
    try:
        return dict(Composition("".join(text.split())).get_el_amt_dict())
    except ValueError as error:
        fault = str(error).rstrip("!")
        raise FormulaError(f"Formula {text!r} cannot be read: {fault}. {_HOW}.") from None


def _read_amounts(alloy: Mapping[str, float]) -> dict[str, float]:
    amounts: dict[str, float] = defaultdict(float)
    for key, value in alloy.items():
        if not isinstance(value, Real):
            raise FormulaError(f"The amount of '{key}' in {_named(alloy)} is no number: {value!r}.")
        amounts[_symbol(str(key), alloy)] += _amount(float(value), key, alloy)
    return amounts


def _symbol(symbol: str, alloy: Alloy) -> str:
    if symbol not in SYMBOLS:
        raise UnknownElementError(
            f"'{symbol}' in {_named(alloy)} is not an element.{nearest(symbol, SYMBOLS)} Use the "
            f"symbols of the periodic table, such as 'Al' or 'Fe'."
        )
    return symbol


def _amount(value: float, element: str, alloy: Alloy) -> float:
    if not 0 <= value < math.inf:
        kind = "missing" if math.isnan(value) else "negative" if value < 0 else "infinite"
        raise FormulaError(
            f"The amount of '{element}' in {_named(alloy)} is {kind} ({value:g}). Amounts are 0 or "
            f"more; leave out an element that is absent."
        )
    return value


def _named(alloy: Alloy) -> str:
    return repr(alloy if isinstance(alloy, str) else {str(e): a for e, a in alloy.items()})


def _spell(fractions: Mapping[str, float]) -> str:
    counts = Counter(f"{fraction:.6g}" for fraction in fractions.values())
    unit = max(fractions.values(), key=lambda fraction: (counts[f"{fraction:.6g}"], fraction))
    spellings = []
    for scale in (1 / unit, 100):
        amounts = {element: fraction * scale for element, fraction in fractions.items()}
        rounded = any(abs(float(f"{a:.6g}") / a - 1) > 1e-9 for a in amounts.values())
        text = "".join(element + _digits(amount) for element, amount in amounts.items())
        spellings.append((rounded, len(text), text))
    return min(spellings, key=lambda spelling: spelling[:2])[-1]


def _digits(amount: float) -> str:
    digits = f"{amount:.6g}"
    return "" if digits == "1" else digits


def _normalise(table: pd.DataFrame, elements: Sequence[str] | None) -> pd.DataFrame:
    columns = list(table.columns)
    position = _positions(columns)
    for column in columns:
        if column not in SYMBOLS:
            raise UnknownElementError(
                f"Column '{column}' is not an element.{nearest(column, SYMBOLS)} A table of "
                f"compositions has one column per element and no other."
            )
    try:
        amounts = table.to_numpy(float)
    except (TypeError, ValueError) as error:
        raise FormulaError(f"A table of compositions holds numbers only: {error}.") from None
    for row, column in np.argwhere(~((amounts >= 0) & (amounts < np.inf)))[:1]:
        try:
            _amount(float(amounts[row, column]), columns[column], dict(table.iloc[row]))
        except FormulaError as error:
            raise FormulaError(f"Row {row + 1}: {error} Write 0 there.") from None
    total = amounts.sum(axis=1)
    for row in np.flatnonzero(~((total > 0) & (total < np.inf)))[:1]:
        raise FormulaError(f"Row {row + 1}: the amounts add up to {total[row]:g}; no composition.")
    fractions = amounts / total[:, None]
    present = [columns[i] for i in np.flatnonzero(fractions.any(axis=0))]
    wanted = list(elements) if elements is not None else sorted(present)
    if table.index.name == "formula":
        index = table.index
    else:
        rows = (dict(zip(columns, row, strict=True)) for row in fractions.tolist())
        index = pd.Index([format_formula(row) for row in rows], name="formula")
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
        f"Row {row + 1}: '{element}' in '{formula}' is outside the elements allowed here, which "
        f"are {', '.join(allowed)}."
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
