"""Names that a user gives to targets, classes, units and conditions, and those that would clash."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field
from torch import nn

_TAKEN = {
    "a site of the model": (
        r"z\d* w composition members alloys draws designs constraints agreement objectives "
        "objective_weights"
    ),
    "a dimension of the draws": "chain draw alloy element latent member",
    "a column of the tables": (
        "formula features novelty known all_wishes(_.*)? information weight target value source "
        "reported_formula unit epoch loss best round status pareto step moved cautious holds t"
    ),
}
"""Names, as regular expressions, that a target cannot have, by what has them already."""

_MODULE = nn.ModuleDict()
"""Holds the networks of each target by its name, and so takes no name of its own attributes."""

_SUFFIXES = {
    "a column of the predictions": ("sd", "low", "high", "epistemic", "aleatoric"),
    "a column of the checks": ("label", "head", "model", "gap"),
    "a site of the model": ("reports", "reliability", "unobserved", "noise", "fixed"),
    "a variable or dimension of the draws": ("probability", "class"),
}
"""What is named after a target, by its ending."""

TargetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


def check_target_name(name: str) -> str:
    """Refuse the name of a target that something else has already.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> check_target_name("hardness")
    'hardness'
    >>> check_target_name("novelty")
    Traceback (most recent call last):
    ...
    ValueError: 'novelty' is a column of the tables already; call the target otherwise
    """
    for what, names in _TAKEN.items():
        if any(re.fullmatch(taken, name) for taken in names.split()):
            raise ValueError(f"'{name}' is {what} already; call the target otherwise")
    if hasattr(_MODULE, name):
        raise ValueError(
            f"'{name}' is an attribute of torch modules already; call the target otherwise"
        )
    if "__" in name or name.endswith("_"):
        raise ValueError(
            f"'{name}' has two underscores in a row, or ends in one, which with_() would not read; "
            "call the target otherwise"
        )
    return name


def check_names_of_targets(names: Iterable[str], sites: Mapping[str, Iterable[str]]) -> None:
    """Refuse targets of which one is named like what another one is called after.

    Parameters
    ----------
    names : iterable of str
        Of all targets.
    sites : mapping of str to iterable of str
        Endings of sites that only some targets have, such as an expert's coefficients.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> check_names_of_targets(["a", "a_low"], {})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: target 'a_low' has the name of a column of the predictions of 'a'; call ...
    """
    names = tuple(names)
    for name in names:
        endings = {end: what for what, ends in _SUFFIXES.items() for end in ends}
        endings |= dict.fromkeys(sites.get(name, ()), "a site of the model")
        for end, what in endings.items():
            if (other := f"{name}_{end}") in names:
                raise ValueError(
                    f"target '{other}' has the name of {what} of '{name}'; "
                    "call one of the two otherwise"
                )


def check_text(text: str, what: str) -> str:
    """Refuse a text that tables, pages or spreadsheets would take for something else.

    Parameters
    ----------
    text : str
    what : str
        What it is, for messages, such as "class".

    Raises
    ------
    ValueError
        For an empty text or one of white space around, of more than 80 characters, with control
        characters, with an HTML tag, or that a spreadsheet would run as a formula.

    Examples
    --------
    >>> check_text("BCC + B2", "class")
    'BCC + B2'
    """
    shown = repr(text if len(text) <= 80 else f"{text[:77]}...")
    if not text or text != text.strip():
        raise ValueError(f"{what} {shown} is empty or begins or ends with white space")
    if len(text) > 80:
        raise ValueError(f"{what} {shown} has {len(text)} characters; at most 80 are allowed")
    if not text.isprintable():
        raise ValueError(f"{what} {shown} has a character that cannot be printed")
    if re.search(r"<[A-Za-z/!?]", text):
        raise ValueError(f"{what} {shown} looks like HTML; leave out the '<'")
    if text[0] in "=@" or (text[0] in "+-" and not is_number(text)):
        raise ValueError(
            f"{what} {shown} begins like a formula of a spreadsheet; begin with another character"
        )
    return text


def check_classes(classes: tuple[str, ...], key: str) -> None:
    """Refuse classes that labels could not tell apart, or that look like no label.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> check_classes(("1", "1.0"), "levels")
    Traceback (most recent call last):
    ...
    ValueError: levels: a name stands twice: '1' and '1.0'
    """
    seen: dict[str, str] = {}
    for name in classes:
        check_text(name, f"{key}:")
        if is_number(name) and not math.isfinite(float(name)):
            raise ValueError(f"{key}: '{name}' is how tables write that there is no number")
        spelled = f"{float(name):g}" if is_number(name) else name
        if spelled in seen:
            raise ValueError(f"{key}: a name stands twice: '{seen[spelled]}' and '{name}'")
        seen[spelled] = name


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
