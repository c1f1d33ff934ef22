"""The command line: arguments over the public API."""

from pyro_hea.cli import benchmark, campaign, design, disorder, models, spec
from pyro_hea.cli.group import main

__all__ = ["benchmark", "campaign", "design", "disorder", "main", "models", "spec"]
