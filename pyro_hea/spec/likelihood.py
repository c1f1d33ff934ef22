"""Likelihoods of a composition: how sharp they are, and what they make of an absent element."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from pyro_hea.spec.declaration import Count, Declaration


class Multinomial(Declaration):
    """Atoms counted by element.

    Attributes
    ----------
    total_count : int
        Atoms counted; more of them make the likelihood sharper.
    """

    kind: Literal["multinomial"] = "multinomial"
    total_count: Count = 100


class Dirichlet(Declaration):
    """Fractions without a grid; the decoder learns how sharp the likelihood is.

    Attributes
    ----------
    smoothing : float
        Share of the atoms spread evenly over all elements before an alloy is scored, since the
        density has no finite value where an element is absent.
    """

    kind: Literal["dirichlet"] = "dirichlet"
    smoothing: float = Field(default=0.01, gt=0.0, lt=1.0)


class Hurdle(Declaration):
    """Which elements are present, then the atoms of those counted by element.

    Attributes
    ----------
    total_count : int
        Atoms counted, at least as many as there are elements; more of them make the likelihood of
        the fractions sharper.
    presence_count : int
        How often the list of the elements counts. With 1 the likelihood is a probability; it then
        pays the latent little to tell the elements.
    """

    kind: Literal["hurdle"] = "hurdle"
    total_count: Count = 100
    presence_count: Count = 10


def _kind(given: Any) -> Any:
    if isinstance(given, dict):
        return given.get("kind", "multinomial")
    return getattr(given, "kind", "multinomial")


Likelihood = Annotated[
    Annotated[Multinomial, Tag("multinomial")]
    | Annotated[Dirichlet, Tag("dirichlet")]
    | Annotated[Hurdle, Tag("hurdle")],
    Discriminator(_kind),
]
"""Any likelihood of a composition, told apart by its `kind`; without one, `multinomial`."""
