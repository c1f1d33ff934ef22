"""The kinds of targets in the program: prior, guide, and encoding for the networks."""

from pyro_hea.program.sites.experts import Expert
from pyro_hea.program.sites.kinds import (
    UNKNOWN,
    BinarySite,
    CategoricalSite,
    ContinuousSite,
    OrdinalSite,
    Site,
    link_of,
    site_of,
)
from pyro_hea.program.sites.reports import Reliability

__all__ = [
    "UNKNOWN",
    "BinarySite",
    "CategoricalSite",
    "ContinuousSite",
    "Expert",
    "OrdinalSite",
    "Reliability",
    "Site",
    "link_of",
    "site_of",
]
