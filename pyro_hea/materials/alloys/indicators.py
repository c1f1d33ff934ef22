"""What the elements of an alloy cost: price, supply risk, energy and other indicators."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import pandas as pd

INDICATOR_UNITS: dict[str, str] = {
    "price_USD_kg": "USD/kg",
    "supply_risk": "1",
    "supply_vulnerability": "1",
    "embodied_energy_MJ_kg": "MJ/kg",
    "rock_to_metal_kg_kg": "kg/kg",
    "water_usage_l_kg": "l/kg",
    "human_health_damage": "1",
    "human_rights_pressure": "1",
    "labor_rights_pressure": "1",
}
"""Unit of each indicator; those of unit 1 are indices, 0 to 1 or 0 to 100."""


@cache
def _indicators() -> pd.DataFrame:
    with files("pyro_hea.data").joinpath("indicators.csv").open(encoding="utf-8") as lines:
        return pd.read_csv(lines).set_index("element")


def load_element_indicators() -> pd.DataFrame:
    """Load the indicators of 18 elements, of December 2024.

    An indicator per kg of an alloy is the mean over its elements weighted by mass, not by atoms.

    Returns
    -------
    DataFrame of float, shape (18, 9)
        By element; columns and units as in `INDICATOR_UNITS`.

    Examples
    --------
    >>> float(load_element_indicators().loc["Co", "price_USD_kg"])
    29.5
    """
    return _indicators().copy()
