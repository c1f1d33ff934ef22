"""The grammar of formulas: which text is a composition, and where other text departs from it.

::

    formula = terms | balance
    terms   = term { term }
    term    = (symbol | "(" terms ")") [amount]
    balance = symbol "-" amount symbol { "-" amount symbol }     as in Ti-6Al-4V
    amount  = (digits ["." [digits]] | "." digits) ["e" ["+" | "-"] digits]

Spaces may stand before and after a term and before its amount. Subscript digits are digits, and
typographic hyphens and minus signs are hyphens. In a balance, the first element makes up what
the percentages of the others leave of 100.

Examples
--------
>>> parse_formula("Al0.5(CoNi)2")
{'Al': 0.5, 'Co': 2.0, 'Ni': 2.0}
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import NoReturn

from pyro_hea.errors import (
    FormulaError,
    FormulaWarning,
    UnknownElementError,
    excerpt,
    nearest,
    warn,
)

_PERIODIC_TABLE = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br
    Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho
    Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es
    Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
SYMBOLS = frozenset(_PERIODIC_TABLE.split())
"""The symbols of the 118 elements."""

MAX_LENGTH = 10_000
"""Characters of the longest formula that is read; it bounds time and the depth of brackets."""

LEAST_FRACTION = 1e-8
"""Least atomic fraction of an element that a formula can name."""

_PLAIN = str.maketrans("₀₁₂₃₄₅₆₇₈₉\u2010\u2011\u2012\u2013\u2212", "0123456789-----")
"""Subscript digits, typographic hyphens and the minus sign as ASCII, one for one."""
_AMOUNT = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_TERM = re.compile(rf"\s*(?:([A-Z][a-z]?)|([()]))(?:\s*({_AMOUNT}))?")
_NEGATIVE = re.compile(rf"\s*-\s*{_AMOUNT}")
_BALANCE = re.compile(rf"\s*([A-Z][a-z]?)((?:-{_AMOUNT}[A-Z][a-z]?)+)\s*")
_BALANCE_TERM = re.compile(rf"-({_AMOUNT})([A-Z][a-z]?)")
_ENDS_WITH_UNIT = re.compile(r"[\s(\[]*((at|wt)[.\s-]*%|%\s*(at|wt)\.?)[)\]\s]*$", re.IGNORECASE)
_HINT = "Write element symbols, each followed by its amount, as in 'Al0.5CoCrFeNi'"


def parse_formula(text: str, unit: str | None = None) -> dict[str, float]:
    """Read the amounts of a formula.

    Parameters
    ----------
    text : str
    unit : {"at", "wt"}, optional
        What the amounts are; used in warnings only.

    Returns
    -------
    dict of str to float
        Amounts by element, of any scale, 0 included, in the order of the text.

    Raises
    ------
    UnknownElementError
        For a symbol that is no element.
    FormulaError
        For text that the grammar does not derive; `position` says where.

    Warns
    -----
    FormulaWarning
        Where a group such as ``(CoCrFeNi)95`` may be meant to be 95 in all, and where a balance
        such as ``Ti-6Al-4V`` comes without its unit.
    """
    if len(text) > MAX_LENGTH:
        raise FormulaError(
            f"Formula {excerpt(text)} has {len(text)} characters; at most {MAX_LENGTH} are read."
        )
    plain = text.translate(_PLAIN)
    if written := _ENDS_WITH_UNIT.search(plain):
        said = (written[2] or written[3]).lower()
        raise FormulaError(
            f"Formula {excerpt(text)} ends with a unit: leave {excerpt(written[0].strip())} out "
            f"and say unit='{said}', which holds for all formulas of a table"
        )
    if balance := _BALANCE.fullmatch(plain):
        return _read_balance(text, balance, unit)
    groups = [_Group(0)]
    position = 0
    while term := _TERM.match(plain, position):
        symbol, bracket, digits = term.groups()
        start = position + len(term[0]) - len(term[0].lstrip())
        amount = _number(text, digits, term.start(3)) if digits else 1.0
        if bracket == "(":
            if digits:
                _refuse(text, term.start(3), "an element belongs there")
            groups.append(_Group(start))
        elif bracket == ")":
            if len(groups) == 1:
                _refuse(text, start, "no bracket is open")
            inner = groups.pop()
            if not inner.amounts:
                _refuse(text, start, "the bracket is empty")
            groups[-1].add(inner.amounts, amount, group=True)
        else:
            check_symbol(symbol, text, start)
            groups[-1].add({symbol: 1.0}, amount)
        position = term.end()
    if plain[position:].strip():
        _refuse_rest(text, plain, position)
    if len(groups) > 1:
        _refuse(text, groups[-1].start, "the bracket is not closed")
    if not groups[0].amounts:
        _refuse(text, 0, "it names no element")
    _warn_of_shared_total(text, groups[0])
    return groups[0].amounts


def check_symbol(symbol: str, alloy: object, position: int | None = None) -> str:
    """Refuse a symbol that is no element, with the nearest that is one."""
    if symbol not in SYMBOLS:
        raise UnknownElementError(
            f"{excerpt(symbol)} in {excerpt(alloy, position or 0)} is not an element."
            f"{nearest(symbol, SYMBOLS)} Use the symbols of the periodic table, such as 'Al' or "
            "'Fe'.",
            position,
        )
    return symbol


@dataclass
class _Group:
    """The terms of a formula or of a bracket in it."""

    start: int
    amounts: dict[str, float] = field(default_factory=dict)
    multipliers: list[tuple[float, float]] = field(default_factory=list)

    def add(self, amounts: dict[str, float], multiplier: float, group: bool = False) -> None:
        """Add a term: each amount times the multiplier."""
        for element, amount in amounts.items():
            # 0 times an amount that overflowed is 0
            total = amount * multiplier if multiplier else 0.0
            self.amounts[element] = self.amounts.get(element, 0.0) + total
        self.multipliers.append((multiplier, sum(amounts.values()) if group else 1.0))


def _read_balance(text: str, match: re.Match[str], unit: str | None) -> dict[str, float]:
    base = check_symbol(match[1], text, match.start(1))
    amounts = {base: 0.0}
    for term in _BALANCE_TERM.finditer(match[2]):
        start = match.start(2) + term.start(2)
        element = check_symbol(term[2], text, start)
        if element in amounts:
            _refuse(text, start, f"'{element}' stands twice in a balance")
        amounts[element] = _number(text, term[1], match.start(2) + term.start(1))
        if amounts[element] == 0:
            _refuse(text, start, f"a balance gives '{element}' no percentage of 0")
    total = sum(amounts.values())
    if not total < 100:
        _refuse(text, match.start(2), f"percentages of {total:g} in all leave nothing for {base}")
    amounts[base] = 100 - total
    if unit is None:
        shares = ", ".join(f"{element} {amount:g}" for element, amount in amounts.items())
        warn(
            f"{excerpt(text)} is read in atomic percent ({shares}); pass unit='wt' if its numbers "
            "are percent by weight, or unit='at' to confirm",
            FormulaWarning,
        )
    return amounts


def _number(text: str, digits: str, position: int) -> float:
    value = float(digits)
    if math.isinf(value):
        _refuse(text, position, "the amount is too large")
    return value


def _refuse(text: str, position: int, why: str) -> NoReturn:
    raise FormulaError(
        f"Formula {excerpt(text, position)} cannot be read at "
        f"{excerpt(text[position:].strip(), length=20)} (character {position + 1}): {why}. "
        f"{_HINT}.",
        position,
    )


def _refuse_rest(text: str, plain: str, position: int) -> NoReturn:
    """Refuse what follows the last term that could be read."""
    if position and (negative := _NEGATIVE.match(plain, position)):
        raise FormulaError(
            f"An amount in {excerpt(text, position)} is negative ({negative[0].strip()}, character "
            f"{position + 1}). Amounts are 0 or more; leave out an element that is absent.",
            position,
        )
    position += len(plain[position:]) - len(plain[position:].lstrip())
    _refuse(text, position, "neither an element nor its amount")


def _warn_of_shared_total(text: str, top: _Group) -> None:
    """Warn where percentages are right only if a group shares its number among its elements."""
    total = sum(multiplier for multiplier, _ in top.multipliers)
    sizes = {round(size, 6) for _, size in top.multipliers}
    if len(sizes) < 2 or not any(math.isclose(total, whole, rel_tol=1e-6) for whole in (1, 100)):
        return
    multiplier, size = next(pair for pair in top.multipliers if round(pair[1], 6) != 1)
    warn(
        f"{excerpt(text)}: a bracket multiplies each amount in it, so the group with "
        f"{multiplier:g} counts {multiplier * size:g} in all; to give it {multiplier:g} in all, "
        f"write {multiplier / size if size else 0:g} after the bracket",
        FormulaWarning,
    )
