"""Figures from tables: training, classification, latent space, compositions, predictions.

Each function draws on the axes that it is given, or on a new `matplotlib.figure.Figure` of its own
in the house style, and returns the axes. Nothing global changes: no rcParams, no pyplot state. In
a notebook (after ``%matplotlib inline``) the figure is ``roc(y, p).figure``.
"""

from pyro_hea.plots.classification import reliability, roc
from pyro_hea.plots.compositions import composition_bars, reconstruction
from pyro_hea.plots.latent import latent_map
from pyro_hea.plots.predictions import predictions_forest
from pyro_hea.plots.training import training_curve

__all__ = [
    "composition_bars",
    "latent_map",
    "predictions_forest",
    "reconstruction",
    "reliability",
    "roc",
    "training_curve",
]
