"""Reports: one HTML file that holds everything it shows and loads nothing."""

from pyro_hea.evaluate.report.designs import write_designs
from pyro_hea.evaluate.report.page import write_report

__all__ = ["write_designs", "write_report"]
