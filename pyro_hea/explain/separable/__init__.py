"""Separable latents: an invertible network on a member's latent that takes clusters apart."""

from pyro_hea.explain.separable.clusters import Clusters
from pyro_hea.explain.separable.separable import SeparableLatent
from pyro_hea.explain.separable.training import separate
from pyro_hea.explain.separable.walks import Interpolation

__all__ = ["Clusters", "Interpolation", "SeparableLatent", "separate"]
