"""Inverse design: alloys with a wished-for property, under constraints."""

from pyro_hea.design.batch import diverse, information
from pyro_hea.design.constraints import (
    AllowedElements,
    Density,
    ElementBounds,
    FeatureBounds,
    ForbiddenElements,
    IndicatorBounds,
    LargestFraction,
    MaxElements,
    MaxPrice,
    MinElements,
    NearAlloy,
    Novel,
    Ratio,
    RequiredElements,
    Soft,
    SumBounds,
)
from pyro_hea.design.constraints.base import Constraint
from pyro_hea.design.inversion import invert
from pyro_hea.design.nearest import nearest_alloy
from pyro_hea.design.result import DesignResult
from pyro_hea.design.sampling import sample_designs
from pyro_hea.design.scan import scan, scan_grid, scan_path
from pyro_hea.design.screening import screen
from pyro_hea.design.serialization import (
    constraints_from_list,
    constraints_to_list,
    read_constraints,
    read_prices,
    write_constraints,
)
from pyro_hea.design.wishes import Wish

__all__ = [
    "AllowedElements",
    "Constraint",
    "Density",
    "DesignResult",
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
    "Wish",
    "constraints_from_list",
    "constraints_to_list",
    "diverse",
    "information",
    "invert",
    "nearest_alloy",
    "read_constraints",
    "read_prices",
    "sample_designs",
    "scan",
    "scan_grid",
    "scan_path",
    "screen",
    "write_constraints",
]
