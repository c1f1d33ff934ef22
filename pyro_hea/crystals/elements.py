"""Elements as crystals know them: their order by electronegativity."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from pyro_hea.errors import UnknownElementError, nearest


@cache
def electronegativities() -> Mapping[str, float]:
    """Pauling electronegativity of each element to Lr, from pymatgen.

    Noble gases without a value (He, Ne, Ar) have that of krypton, 3.0, raised by 0.1 a period
    upwards, so that every element has a place in the order.
    """
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of elements without a value, filled here
        values = {str(e.symbol): float(e.X) for e in (Element.from_Z(z) for z in range(1, 104))}
    values |= {"He": 3.3, "Ne": 3.2, "Ar": 3.1}
    return MappingProxyType(values)


@cache
def _places() -> Mapping[str, int]:
    from pymatgen.core import Element

    values = electronegativities()
    order = sorted(values, key=lambda e: (values[e] if values[e] == values[e] else 0, Element(e).Z))
    return MappingProxyType({element: place for place, element in enumerate(order)})


def electronegativity_order(element: str) -> int:
    """Place of an element among all, the most electropositive first.

    Raises
    ------
    UnknownElementError
        If there is no such element.

    Examples
    --------
    >>> sorted(["O", "Sr", "Ti"], key=electronegativity_order)
    ['Sr', 'Ti', 'O']
    """
    if element not in _places():
        raise UnknownElementError(f"there is no element '{element}'{nearest(element, _places())}")
    return _places()[element]
