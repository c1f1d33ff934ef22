"""Declarations of a model: frozen, validated, and the same in YAML and in Python."""

from pyro_hea.spec.crystals import CrystalSpec
from pyro_hea.spec.likelihood import Dirichlet, Hurdle, Multinomial
from pyro_hea.spec.model import (
    Encoder,
    Features,
    Flow,
    Latent,
    ModelSpec,
    Network,
    ProgramSpec,
    Teacher,
    Training,
    in_order,
)
from pyro_hea.spec.priors import (
    FlowPrior,
    HumeRothery,
    Logistic,
    Mixture,
    Prior,
    VampPrior,
    register_distribution,
)
from pyro_hea.spec.targets import (
    Binary,
    Categorical,
    Continuous,
    Counts,
    Ordinal,
    Reports,
    Target,
)

__all__ = [
    "Binary",
    "Categorical",
    "Continuous",
    "Counts",
    "CrystalSpec",
    "Dirichlet",
    "Encoder",
    "Features",
    "Flow",
    "FlowPrior",
    "HumeRothery",
    "Hurdle",
    "Latent",
    "Logistic",
    "Mixture",
    "ModelSpec",
    "Multinomial",
    "Network",
    "Ordinal",
    "Prior",
    "ProgramSpec",
    "Reports",
    "Target",
    "Teacher",
    "Training",
    "VampPrior",
    "in_order",
    "register_distribution",
]
