"""Stochastic variational inference: one loop, resumable at any epoch, each member stopped alone."""

from pyro_hea.inference.dreams import sleep
from pyro_hea.inference.heads import Measurements
from pyro_hea.inference.objective import (
    PARTS,
    HeldOut,
    elbo_loss,
    held_out,
    label_loss,
    taught_nats,
)
from pyro_hea.inference.trainer import (
    EVALUATE_EVERY,
    EpochRecord,
    Trainer,
    clip_by_member,
    steps_of,
)

__all__ = [
    "EVALUATE_EVERY",
    "PARTS",
    "EpochRecord",
    "HeldOut",
    "Measurements",
    "Trainer",
    "clip_by_member",
    "elbo_loss",
    "held_out",
    "label_loss",
    "sleep",
    "steps_of",
    "taught_nats",
]
