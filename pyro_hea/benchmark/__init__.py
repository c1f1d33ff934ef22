"""The benchmark: protocols of fixed seeds and folds, each with its tables and its figure.

A protocol takes a `Bench`, which says what is measured and where finished units are kept, and a
number of seeds, and gives an `Outcome` that writes itself as JSON, Markdown and a figure.
"""

from pyro_hea.benchmark.comparisons import budget, grouped, published, random
from pyro_hea.benchmark.designs import design
from pyro_hea.benchmark.experts import experts
from pyro_hea.benchmark.intervals import intervals
from pyro_hea.benchmark.latent import disentanglement
from pyro_hea.benchmark.levers import ablation
from pyro_hea.benchmark.loops import campaign, rediscovery
from pyro_hea.benchmark.outcome import Outcome
from pyro_hea.benchmark.ranks import calibration
from pyro_hea.benchmark.timing import speed

__all__ = [
    "Outcome",
    "ablation",
    "budget",
    "calibration",
    "campaign",
    "design",
    "disentanglement",
    "experts",
    "grouped",
    "intervals",
    "published",
    "random",
    "rediscovery",
    "speed",
]
