"""Figures from tables: training, classification, latent space, compositions, predictions.

Each function draws on the axes that it is given, or on a new `matplotlib.figure.Figure` of its own
in the house style, and returns the axes: of several panels a tuple of them. Nothing global
changes: no rcParams, no pyplot state. A notebook shows what is returned as the figure, and
``roc(y, p).save("roc.png")`` writes it.
"""

from pyro_hea.plots._style import Panels
from pyro_hea.plots.attributions import beeswarm, importance_bars, waterfall
from pyro_hea.plots.benchmarks import curve_panels, interval_panels
from pyro_hea.plots.charts import (
    alloy_families,
    atlas_charts,
    atlas_responsibilities,
    descent_trail,
    descent_values,
)
from pyro_hea.plots.classification import reliability, roc
from pyro_hea.plots.comparisons import comparison_panels
from pyro_hea.plots.compositions import composition_bars, reconstruction
from pyro_hea.plots.conditions import condition_curve
from pyro_hea.plots.cross_validation import cross_validation_panels
from pyro_hea.plots.designs import (
    design_chains,
    design_judgement,
    design_novelty,
    design_pareto,
    design_trail,
)
from pyro_hea.plots.disorder import (
    energy_factors,
    formation_energy,
    short_range_order,
    thermodynamics,
    two_estimates,
)
from pyro_hea.plots.draws import (
    chain_ranks,
    draws_bars,
    k_hat_plot,
    latent_ellipses,
    simulation_rank_plot,
)
from pyro_hea.plots.heat import axis_map, correlation_map, element_map, interaction_map
from pyro_hea.plots.latent import latent_map
from pyro_hea.plots.predictions import predictions_forest
from pyro_hea.plots.priors import prior, prior_panels
from pyro_hea.plots.rules import rules_plot
from pyro_hea.plots.separable import edit_bars, interpolation_strips, separation_panels
from pyro_hea.plots.sources import source_reliability
from pyro_hea.plots.ternary import ternary_compositions as ternary_compositions
from pyro_hea.plots.ternary import ternary_map
from pyro_hea.plots.training import training_curve
from pyro_hea.plots.traversals import traversal_plot

__all__ = [
    "Panels",
    "alloy_families",
    "atlas_charts",
    "atlas_responsibilities",
    "axis_map",
    "beeswarm",
    "chain_ranks",
    "comparison_panels",
    "composition_bars",
    "condition_curve",
    "correlation_map",
    "cross_validation_panels",
    "curve_panels",
    "descent_trail",
    "descent_values",
    "design_chains",
    "design_judgement",
    "design_novelty",
    "design_pareto",
    "design_trail",
    "draws_bars",
    "edit_bars",
    "element_map",
    "energy_factors",
    "formation_energy",
    "importance_bars",
    "interaction_map",
    "interpolation_strips",
    "interval_panels",
    "k_hat_plot",
    "latent_ellipses",
    "latent_map",
    "predictions_forest",
    "prior",
    "prior_panels",
    "reconstruction",
    "reliability",
    "roc",
    "rules_plot",
    "separation_panels",
    "short_range_order",
    "simulation_rank_plot",
    "source_reliability",
    "ternary_map",
    "thermodynamics",
    "training_curve",
    "traversal_plot",
    "two_estimates",
    "waterfall",
]
