"""The command line: arguments over the public API."""

from pyro_hea.cli import benchmark, campaign, design, models, spec
from pyro_hea.cli.group import main

__all__ = ["benchmark", "campaign", "design", "main", "models", "spec"]
