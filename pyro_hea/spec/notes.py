"""What the docstrings of the declarations say, for those who read no docstrings."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

from pydantic import BaseModel


class Note(NamedTuple):
    """What the docstring of a declaration says of one key."""

    kind: str
    text: str


def notes(declaration: type[BaseModel]) -> dict[str, Note]:
    """What is said of each key under "Attributes" in the docstring of a declaration.

    Examples
    --------
    >>> from pyro_hea.spec.priors import FlowPrior
    >>> notes(FlowPrior)["layers"]
    Note(kind='int', text='Couplings.')
    """
    _, _, section = (inspect.getdoc(declaration) or "").partition("Attributes\n----------\n")
    found = {}
    for entry in re.split(r"\n(?=\S)", section.partition("\n\n")[0]):
        heading, _, body = entry.partition("\n")
        names, _, kind = heading.partition(" : ")
        for name in names.split(", "):
            found[name] = Note(kind, " ".join(body.split()))
    return found


def summary(declaration: type[BaseModel]) -> str:
    """What the docstring of a declaration says before it comes to the keys.

    Examples
    --------
    >>> from pyro_hea.spec.priors import FlowPrior
    >>> summary(FlowPrior)
    'Prior of z: a standard normal pushed through a learnt invertible flow.'
    """
    text = re.split(r"\n\n\w+\n---", inspect.getdoc(declaration) or "")[0]
    return " ".join(text.split())
