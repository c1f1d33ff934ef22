"""Amounts of elements in the ways that people write them, read as atomic fractions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Literal, NoReturn, TypeAlias

import pandas as pd

from pyro_hea.errors import DataError, FormulaError, excerpt
from pyro_hea.materials.alloys.element_tables import atomic_mass
from pyro_hea.materials.alloys.formula import LEAST_FRACTION, check_symbol, parse_formula

Alloy: TypeAlias = str | Mapping[str, float]
"""One alloy: a formula, or amounts of any scale by element (as a pymatgen Composition has them)."""

Alloys: TypeAlias = Alloy | Iterable[Alloy] | pd.DataFrame
"""Any number of alloys; a DataFrame has one column per element."""

Unit: TypeAlias = Literal["at", "wt"]
"""Whether amounts count atoms or are weights."""

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
        first element is the balance to 100 %. `pyro_hea.materials.alloys.formula` has the grammar.
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
        amounts = {e: amount / atomic_mass(e) for e, amount in amounts.items() if amount}
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


def check_unit(unit: str | None) -> Unit:
    """The unit of amounts, `"at"` by default."""
    if unit is not None and unit not in {"at", "wt"}:
        raise DataError(f"unit is {excerpt(unit)}; allowed: 'at' (atoms) and 'wt' (weights)")
    return "wt" if unit == "wt" else "at"


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
        amounts[symbol] += check_amount(number, symbol, alloy)
    return amounts


def check_amount(value: float, element: str, alloy: Alloy) -> float:
    """Refuse an amount that is negative, infinite or missing."""
    if not 0 <= value < math.inf:
        kind = "missing" if math.isnan(value) else "negative" if value < 0 else "infinite"
        raise FormulaError(
            f"The amount of '{element}' in {_quoted(alloy)} is {kind} ({value:g}). Amounts are 0 "
            "or more; leave out an element that is absent."
        )
    return value


def _quoted(alloy: Alloy) -> str:
    return excerpt(alloy if isinstance(alloy, str) else {str(e): a for e, a in alloy.items()})
