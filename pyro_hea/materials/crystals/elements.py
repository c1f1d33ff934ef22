"""Elements as crystals know them: properties from pymatgen, and an order by electronegativity."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_hea.errors import UnknownElementError, nearest

if TYPE_CHECKING:
    from pymatgen.core import Element

LAST = 94
"""Atomic number of the last element with all properties (Pu)."""

PROPERTY_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "atomic_number": "",
        "period": "",
        "group": "",
        "mendeleev_number": "",
        "atomic_mass": "g/mol",
        "electronegativity": "",
        "covalent_radius": "Å",
        "van_der_waals_radius": "Å",
        "ionic_radius": "Å",
        "melting_temperature": "K",
        "molar_volume": "cm3/mol",
        "ionization_energy": "eV",
        "electron_affinity": "eV",
        "highest_oxidation_state": "",
        "lowest_oxidation_state": "",
        "s_electrons": "",
        "p_electrons": "",
        "d_electrons": "",
        "f_electrons": "",
        "unfilled": "",
    }
)
"""Unit of each property of an element."""

_CAPACITY = {"s": 2, "p": 6, "d": 10, "f": 14}


@cache
def element_table() -> pd.DataFrame:
    """Properties of the elements from H to Pu, by symbol, most electropositive first.

    Values are pymatgen's: Pauling electronegativities, covalent radii of Cordero (2008), mean ionic
    radii of Shannon. `s_electrons` to `f_electrons` are outside the noble-gas core, `unfilled` the
    places left in partly filled shells. Where pymatgen has no value: electronegativity of He, Ne
    and Ar 3.3, 3.2 and 3.1 (krypton has 3.0); ionic radius, the covalent radius; molar volume of At
    and Fr, that of I and Cs.

    Examples
    --------
    >>> table = element_table()
    >>> len(table), float(table.loc["Ti", "electronegativity"]), int(table.loc["Ti", "d_electrons"])
    (94, 1.54, 2)
    """
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of gaps, which are filled here
        table = pd.DataFrame([_properties(Element.from_Z(z)) for z in range(1, LAST + 1)])
    table = table.set_index("element")
    filled = {"He": 3.3, "Ne": 3.2, "Ar": 3.1}
    table["electronegativity"] = table["electronegativity"].fillna(pd.Series(filled))
    ionic = table["ionic_radius"]
    table["ionic_radius"] = ionic.where(ionic > 0, table["covalent_radius"])
    for gap, like in (("At", "I"), ("Fr", "Cs")):
        table.loc[gap, "molar_volume"] = table.loc[like, "molar_volume"]
    assert table.notna().all(axis=None), "pymatgen lost a value"
    return table.sort_values(["electronegativity", "atomic_number"])[list(PROPERTY_UNITS)]


def _properties(element: Element) -> dict[str, object]:
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius

    shells = re.findall(r"\d([spdf])(\d+)", element.electronic_structure)
    electrons = dict.fromkeys("spdf", 0)
    for shell, number in shells:
        electrons[shell] += int(number)
    unfilled = sum(_CAPACITY[shell] - int(number) for shell, number in shells)
    return {
        "element": element.symbol,
        "atomic_number": element.Z,
        "period": element.row,
        "group": element.group,
        "mendeleev_number": element.mendeleev_no,
        "atomic_mass": float(element.atomic_mass),
        "electronegativity": float(element.X),
        "covalent_radius": CovalentRadius.radius[element.symbol],
        "van_der_waals_radius": float(element.van_der_waals_radius),
        "ionic_radius": float(element.average_ionic_radius),
        "melting_temperature": float(element.melting_point),
        "molar_volume": _number(element.molar_volume),
        "ionization_energy": _number(element.ionization_energy),
        "electron_affinity": float(element.electron_affinity),
        "highest_oxidation_state": element.max_oxidation_state,
        "lowest_oxidation_state": element.min_oxidation_state,
        **{f"{shell}_electrons": number for shell, number in electrons.items()},
        "unfilled": unfilled,
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def element_property(name: str, elements: Sequence[str]) -> NDArray[np.float64]:
    """One property of elements, (N,); see `element_table`.

    Raises
    ------
    UnknownElementError

    Examples
    --------
    >>> element_property("period", ["H", "Na"]).tolist()
    [1.0, 3.0]
    """
    return _columns()[name][[electronegativity_order(element) for element in elements]]


@cache
def _columns() -> Mapping[str, NDArray[np.float64]]:
    table = element_table()
    return MappingProxyType({str(name): table[name].to_numpy(float) for name in table})


@cache
def _places() -> Mapping[str, int]:
    return MappingProxyType({element: place for place, element in enumerate(element_table().index)})


def electronegativity_order(element: str) -> int:
    """Place of an element among all, the most electropositive first.

    Raises
    ------
    UnknownElementError
        For what is no element from H to Pu.

    Examples
    --------
    >>> sorted(["O", "Sr", "Ti"], key=electronegativity_order)
    ['Sr', 'Ti', 'O']
    """
    if element not in _places():
        raise UnknownElementError(
            f"there is no element '{element}' from H to Pu.{nearest(element, _places())}"
        )
    return _places()[element]
