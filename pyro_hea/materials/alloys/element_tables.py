"""The packaged tables of elements and of their pairs.

Examples
--------
>>> float(load_tables("field").mixing_enthalpy.loc["Al", "Ni"])
-22.0
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError, UnknownElementError, nearest

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
    position = {element: i for i, element in enumerate(elements)}
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


def atomic_mass(element: str) -> float:
    """Atomic mass of an element, g/mol; `UnknownElementError` where the tables have none."""
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
