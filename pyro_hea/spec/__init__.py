"""Declarations of a model: frozen, validated, and the same in YAML and in Python."""

from pyro_hea.spec.base_target import Counts, Reports
from pyro_hea.spec.charts import AtlasSpec
from pyro_hea.spec.crystals import CrystalSpec
from pyro_hea.spec.distributions import register_distribution
from pyro_hea.spec.experts import HumeRothery, Logistic, PhaseRule, Rule
from pyro_hea.spec.likelihood import Dirichlet, Hurdle, Multinomial
from pyro_hea.spec.model import ModelSpec, ProgramSpec
from pyro_hea.spec.priors import FlowPrior, Mixture, Prior, VampPrior
from pyro_hea.spec.separation import ClusterPrior, Separation
from pyro_hea.spec.settings import (
    Distillation,
    Encoder,
    Features,
    Flow,
    Latent,
    Network,
    Training,
)
from pyro_hea.spec.targets import Binary, Categorical, Continuous, Ordinal, Target, in_order

__all__ = [
    "AtlasSpec",
    "Binary",
    "Categorical",
    "ClusterPrior",
    "Continuous",
    "Counts",
    "CrystalSpec",
    "Dirichlet",
    "Distillation",
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
    "PhaseRule",
    "Prior",
    "ProgramSpec",
    "Reports",
    "Rule",
    "Separation",
    "Target",
    "Training",
    "VampPrior",
    "in_order",
    "register_distribution",
]
