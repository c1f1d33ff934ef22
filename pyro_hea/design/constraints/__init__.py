"""Constraints on designed alloys: frozen values that hold exactly on every alloy returned.

Examples
--------
>>> from pyro_hea.design.feasibility import feasible_region
>>> wishes = AllowedElements("Al", "Co", "Ni") & MaxElements(2)
>>> region = feasible_region(wishes, ("Al", "Co", "Cr", "Ni"))
>>> region.upper.tolist(), region.max_elements
([1.0, 1.0, 0.0, 1.0], 2)
"""

from pyro_hea.design.constraints.amounts import ElementBounds, LargestFraction, Ratio, SumBounds
from pyro_hea.design.constraints.distances import NearAlloy, Novel
from pyro_hea.design.constraints.indicators import IndicatorBounds, MaxPrice
from pyro_hea.design.constraints.presence import (
    AllowedElements,
    ForbiddenElements,
    MaxElements,
    MinElements,
    RequiredElements,
)
from pyro_hea.design.constraints.properties import Density, FeatureBounds
from pyro_hea.design.constraints.soft import Soft

__all__ = [
    "AllowedElements",
    "Density",
    "ElementBounds",
    "FeatureBounds",
    "ForbiddenElements",
    "IndicatorBounds",
    "LargestFraction",
    "MaxElements",
    "MaxPrice",
    "MinElements",
    "NearAlloy",
    "Novel",
    "Ratio",
    "RequiredElements",
    "Soft",
    "SumBounds",
]
