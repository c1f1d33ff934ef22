"""The benchmark: protocols of fixed seeds and folds, each with its tables and its figure.

A protocol takes a `Runner`, which says what is measured and where finished tasks are kept, and a
number of seeds, and gives an `ProtocolResult` that writes itself as JSON, Markdown and a figure.
"""

from pyro_hea.evaluate.benchmark.ablations import ablation
from pyro_hea.evaluate.benchmark.campaigns import campaign, rediscovery
from pyro_hea.evaluate.benchmark.charts import charts
from pyro_hea.evaluate.benchmark.comparisons import budget, grouped, published, random
from pyro_hea.evaluate.benchmark.crystals import crystals
from pyro_hea.evaluate.benchmark.designs import design
from pyro_hea.evaluate.benchmark.disorder import disorder
from pyro_hea.evaluate.benchmark.intervals import intervals
from pyro_hea.evaluate.benchmark.label_curves import experts, semisupervised
from pyro_hea.evaluate.benchmark.latent import disentanglement
from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult
from pyro_hea.evaluate.benchmark.ranks import calibration
from pyro_hea.evaluate.benchmark.separable import separable
from pyro_hea.evaluate.benchmark.sources import sources
from pyro_hea.evaluate.benchmark.timing import speed
from pyro_hea.evaluate.benchmark.unseen import unseen
from pyro_hea.evaluate.benchmark.vibrations import vibrations

__all__ = [
    "ProtocolResult",
    "ablation",
    "budget",
    "calibration",
    "campaign",
    "charts",
    "crystals",
    "design",
    "disentanglement",
    "disorder",
    "experts",
    "grouped",
    "intervals",
    "published",
    "random",
    "rediscovery",
    "semisupervised",
    "separable",
    "sources",
    "speed",
    "unseen",
    "vibrations",
]
