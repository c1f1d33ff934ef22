"""Formulas that nobody may have made: real ones with some of their elements exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pyro_hea.materials.crystals.features import roles_of

_EXCHANGED = 0.4
"""Probability that an element is replaced by another one."""


def exchanged_formulas(
    compositions: Sequence[Mapping[str, float]], n: int, rng: np.random.Generator
) -> list[dict[str, float]]:
    """Formulas with the amounts of a real one, each element that of the same role in another one.

    Parameters
    ----------
    compositions : sequence of mapping of element to amount
        Real ones. Another one has the same amounts.
    n : int
    rng : Generator

    Returns
    -------
    list of dict of str to float
        No element is twice in one of them.

    Examples
    --------
    >>> salts = [{"Na": 1, "Cl": 1}, {"Mg": 1, "O": 1}]
    >>> made = exchanged_formulas(salts, 100, np.random.default_rng(0))
    >>> sorted({"".join(formula) for formula in made})
    ['MgCl', 'MgO', 'NaCl', 'NaO']
    """
    roles = [roles_of(composition) for composition in compositions]
    amounts = [tuple(c[e] for e in own) for c, own in zip(compositions, roles, strict=True)]
    alike: dict[tuple[float, ...], list[list[str]]] = {}
    for counts, own in zip(amounts, roles, strict=True):
        alike.setdefault(counts, []).append(own)
    made = []
    for i in rng.integers(len(roles), size=n):
        others, elements = alike[amounts[i]], list(roles[i])
        for role in np.flatnonzero(rng.random(len(elements)) < _EXCHANGED):
            new = others[rng.integers(len(others))][role]
            if new not in elements:
                elements[role] = new
        made.append(dict(zip(elements, amounts[i], strict=True)))
    return made
