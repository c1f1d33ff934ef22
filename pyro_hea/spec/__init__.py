"""Declarations of a model: frozen, validated, and the same in YAML and in Python."""

from pyro_hea.spec.model import (
    Features,
    Flow,
    Latent,
    ModelSpec,
    Multinomial,
    Network,
    Normal,
    Training,
)
from pyro_hea.spec.targets import Bernoulli, Binary

__all__ = [
    "Bernoulli",
    "Binary",
    "Features",
    "Flow",
    "Latent",
    "ModelSpec",
    "Multinomial",
    "Network",
    "Normal",
    "Training",
]
