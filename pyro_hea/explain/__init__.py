"""What the head learnt and what the latent axes mean, as tables; `plots` draws them."""

from pyro_hea.explain.attributions import (
    PUBLISHED_IMPORTANCE,
    Attributions,
    attribute,
    beside_published,
    correlated_groups,
    features_of,
    interactions,
)
from pyro_hea.explain.elements import element_moves

__all__ = [
    "PUBLISHED_IMPORTANCE",
    "Attributions",
    "attribute",
    "beside_published",
    "correlated_groups",
    "element_moves",
    "features_of",
    "interactions",
]
