"""Inverse design: alloys with a wished-for property, under constraints."""

from pyro_hea.design.constraints import (
    AllowedElements,
    Constraint,
    ElementBounds,
    FeatureBounds,
    ForbiddenElements,
    LargestFraction,
    MaxElements,
    MinElements,
    RequiredElements,
)
from pyro_hea.design.posterior import sample_designs
from pyro_hea.design.result import DesignResult

__all__ = [
    "AllowedElements",
    "Constraint",
    "DesignResult",
    "ElementBounds",
    "FeatureBounds",
    "ForbiddenElements",
    "LargestFraction",
    "MaxElements",
    "MinElements",
    "RequiredElements",
    "sample_designs",
]
