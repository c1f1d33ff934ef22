"""Factors that a latent axis may track: families, elements and features of alloys."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pandas as pd

from pyro_hea.errors import DataError
from pyro_hea.materials.alloys.composition import fraction_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyro_hea.materials.alloys.dataset import AlloyDataset

FAMILIES: dict[str, tuple[str, ...]] = {
    "noble": ("Ag", "Au", "Ir", "Os", "Pd", "Pt", "Rh", "Ru"),
    "3d": ("Co", "Cr", "Cu", "Fe", "Mn", "Ni"),
    "refractory": ("Hf", "Mo", "Nb", "Re", "Ta", "Ti", "V", "W", "Zr"),
    "light": ("Al", "B", "Be", "Li", "Mg", "Si"),
}
"""Elements of each family; none is in two, and some (Sn, Zn, Sc) are in none."""

MAGNETIC = ("Co", "Cr", "Fe", "Mn", "Ni")
"""The 3d metals with magnetic order, of which the figure of families makes quaternaries."""


def family_factors(alloys: AlloyDataset) -> pd.DataFrame:
    """Fraction of each family in each alloy, (N, 4)."""
    fractions = alloys.fractions
    return pd.DataFrame(
        {
            family: fractions.reindex(columns=list(members), fill_value=0.0).sum(axis=1)
            for family, members in FAMILIES.items()
        }
    )


def alloy_factors(alloys: AlloyDataset) -> pd.DataFrame:
    """Families, elements and features of each alloy that vary among them.

    Returns
    -------
    DataFrame
        Columns are pairs of `kind` ("family", "element" or "feature") and `name`; fractions of the
        first two, the features in their units.
    """
    tables = {
        "family": family_factors(alloys),
        "element": alloys.fractions,
        "feature": alloys.features,
    }
    factors = pd.concat(tables, axis=1, names=["kind", "name"])
    return factors.loc[:, factors.std() > 0]


def equimolar_quaternaries(elements: Iterable[str]) -> pd.DataFrame:
    """All equimolar quaternaries of noble, of magnetic and of refractory metals.

    Parameters
    ----------
    elements : iterable of str
        Elements to choose among, such as those of a model.

    Returns
    -------
    DataFrame
        By formula: fractions, and the column `family`.

    Raises
    ------
    DataError
        Where no family has four of the elements.

    Examples
    --------
    >>> equimolar_quaternaries(["Co", "Cr", "Fe", "Mn", "Ni"])["family"].to_dict()
    ... # doctest: +ELLIPSIS
    {'CoCrFeMn': 'magnetic', ..., 'CrFeMnNi': 'magnetic'}
    """
    among = set(elements)
    families = {
        "noble": FAMILIES["noble"],
        "magnetic": MAGNETIC,
        "refractory": FAMILIES["refractory"],
    }
    family = {
        "".join(four): name
        for name, members in families.items()
        for four in combinations(sorted(among.intersection(members)), 4)
    }
    if not family:
        raise DataError(
            f"of {', '.join(sorted(among))} no four are in one family; the families are "
            + "; ".join(f"{name}: {', '.join(members)}" for name, members in families.items())
        )
    return fraction_table(list(family)).assign(family=pd.Series(family))
