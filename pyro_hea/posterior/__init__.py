"""What a trained ensemble says: predictions, latents, draws as InferenceData."""

from pyro_hea.posterior.draws import draw_posterior
from pyro_hea.posterior.ensemble import Ensemble, as_fractions, feature_names
from pyro_hea.posterior.predictions import encode, predict, reconstruct

__all__ = [
    "Ensemble",
    "as_fractions",
    "draw_posterior",
    "encode",
    "feature_names",
    "predict",
    "reconstruct",
]
