"""Target properties, each with the prior that it has before an alloy is seen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from pyro_hea.spec.declaration import Declaration

_RESERVED = ("z", "composition", "formula", "members", "alloys")


class Bernoulli(Declaration):
    """Prior of a binary target: `probs` is the probability of 1."""

    dist: Literal["Bernoulli"] = "Bernoulli"
    probs: float = Field(default=0.5, gt=0.0, lt=1.0)


class Binary(Declaration):
    """A target that is 0 or 1, such as whether an alloy forms one solid-solution phase.

    Attributes
    ----------
    name : str
        The column of the table and the site of the model.
    prior : Bernoulli
    """

    kind: Literal["binary"] = "binary"
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    prior: Bernoulli = Bernoulli()

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name in _RESERVED:
            raise ValueError(f"'{name}' is a site or a column already; call the target otherwise")
        return name
