"""Explanations of predictions and of latent axes, as tables; `plots` draws them."""

from pyro_hea.explain.attributions import Attributions, attribute, interactions
from pyro_hea.explain.axes import align, axis_kl, correlations, name_axes
from pyro_hea.explain.disentanglement import dci, disentanglement, importance_matrix
from pyro_hea.explain.elements import element_moves
from pyro_hea.explain.factors import (
    FAMILIES,
    alloy_factors,
    equimolar_quaternaries,
    family_factors,
)
from pyro_hea.explain.groups import correlated_groups, features_of
from pyro_hea.explain.leak import label_leak
from pyro_hea.explain.published import PUBLISHED_IMPORTANCE, compare_with_published
from pyro_hea.explain.rules import FIELD_RULES, PHASE_RULES, Rules, compare_rules, distil
from pyro_hea.explain.separable import Clusters, Interpolation, SeparableLatent, separate
from pyro_hea.explain.traversals import Traversal, path, traverse

__all__ = [
    "FAMILIES",
    "FIELD_RULES",
    "PHASE_RULES",
    "PUBLISHED_IMPORTANCE",
    "Attributions",
    "Clusters",
    "Interpolation",
    "Rules",
    "SeparableLatent",
    "Traversal",
    "align",
    "alloy_factors",
    "attribute",
    "axis_kl",
    "compare_rules",
    "compare_with_published",
    "correlated_groups",
    "correlations",
    "dci",
    "disentanglement",
    "distil",
    "element_moves",
    "equimolar_quaternaries",
    "family_factors",
    "features_of",
    "importance_matrix",
    "interactions",
    "label_leak",
    "name_axes",
    "path",
    "separate",
    "traverse",
]
