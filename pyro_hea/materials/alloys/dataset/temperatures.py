"""Temperatures of tests: on which scale a column has them, and what they are on another one."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError, excerpt
from pyro_hea.materials.alloys.dataset.gathering import to_numbers

_TO_CELSIUS = {"c": (1.0, 0.0), "k": (1.0, -273.15), "f": (5 / 9, -160 / 9)}
"""Slope and intercept by which a temperature on a scale becomes one in °C."""

_NAME = re.compile(
    r"(test(ing)?_)?t(emp(erature)?)?(_(of_)?test)?_(deg(rees?)?_?)?(c|k|f)(elsius|elvin|ahrenheit)?"
)


def temperature_scale(column: str) -> str:
    """The scale of a test temperature by the name of its column: c, k or f; "" of another column.

    Examples
    --------
    >>> temperature_scale("Test temperature (°C)"), temperature_scale("T [K]")
    ('c', 'k')
    >>> temperature_scale("temperature"), temperature_scale("annealing_temperature_C")
    ('', '')
    """
    match = _NAME.fullmatch(re.sub("[^a-z]+", "_", column.lower()).strip("_"))
    return match[9] if match else ""


def absolute_zero(scale: str) -> float:
    """Lowest temperature on a scale; −∞ on none.

    Examples
    --------
    >>> absolute_zero("c"), absolute_zero("k"), absolute_zero("")
    (-273.15, 0.0, -inf)
    """
    if not scale:
        return -np.inf
    slope, intercept = _TO_CELSIUS[scale]
    return (-273.15 - intercept) / slope


def converted(cells: pd.Series, scale: str, to: str, where: str) -> pd.Series:
    """Temperatures on another scale; cells that are no numbers are left as they are.

    Raises
    ------
    DataError
        For a temperature below absolute zero.

    Examples
    --------
    >>> converted(pd.Series([298.15, None, 1073.15]), "k", "c", "table").tolist()
    [25.0, nan, 800.0]
    """
    numbers = to_numbers(cells)
    cold = np.flatnonzero(numbers < absolute_zero(scale))
    if len(cold):
        raise DataError(
            f"{where}, row {cold[0] + 1}: {excerpt(str(cells.iloc[cold[0]]))} is below absolute "
            f"zero, which is {absolute_zero(scale):g} on this scale; mend it or leave it blank"
        )
    if scale == to:
        return cells
    (slope, intercept), (to_slope, to_intercept) = _TO_CELSIUS[scale], _TO_CELSIUS[to]
    result = ((numbers * slope + intercept - to_intercept) / to_slope).round(9)
    return result.astype(object).where(numbers.notna(), cells) if numbers.isna().any() else result
