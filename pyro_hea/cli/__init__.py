"""The command line: arguments over the public API."""

from pyro_hea.cli import benchmark, design, models, spec
from pyro_hea.cli.group import main

__all__ = ["benchmark", "design", "main", "models", "spec"]
