"""Answers of a trained ensemble: predictions, latents, draws as InferenceData, checks."""

from pyro_hea.posterior.calibration import calibrate
from pyro_hea.posterior.checks import check_guide, guide_table
from pyro_hea.posterior.draws import GROUPS, draw_posterior, prior_predictive
from pyro_hea.posterior.ensemble import Ensemble, as_fractions
from pyro_hea.posterior.importance import importance_posterior, label_evidence
from pyro_hea.posterior.initial import new_ensemble, untrained_ensemble
from pyro_hea.posterior.latents import decode, encode, encode_and_decode, reconstruct
from pyro_hea.posterior.marginals import Event, Marginal, joint_probability, marginals
from pyro_hea.posterior.nuts import nuts_posterior
from pyro_hea.posterior.predictions import predict
from pyro_hea.posterior.predictive import check_predictive
from pyro_hea.posterior.reliability import doubted_reports, reliability
from pyro_hea.posterior.sampling import sample_posterior

__all__ = [
    "GROUPS",
    "Ensemble",
    "Event",
    "Marginal",
    "as_fractions",
    "calibrate",
    "check_guide",
    "check_predictive",
    "decode",
    "doubted_reports",
    "draw_posterior",
    "encode",
    "encode_and_decode",
    "guide_table",
    "importance_posterior",
    "joint_probability",
    "label_evidence",
    "marginals",
    "new_ensemble",
    "nuts_posterior",
    "predict",
    "prior_predictive",
    "reconstruct",
    "reliability",
    "sample_posterior",
    "untrained_ensemble",
]
