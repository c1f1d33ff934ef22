"""Stochastic variational inference: one loop, resumable at any epoch, each member stopped alone."""

from pyro_hea.inference.distillation import distil_heads, distillation_loss
from pyro_hea.inference.objective import (
    LABEL_FOLDS,
    HeldOut,
    Measurements,
    count_label_folds,
    elbo_loss,
    held_out,
    label_loss,
)
from pyro_hea.inference.schedule import clip_member_gradients, steps_per_epoch
from pyro_hea.inference.trainer import EVALUATE_EVERY, EpochRecord, Trainer
from pyro_hea.inference.wake_sleep import train_encoder

__all__ = [
    "EVALUATE_EVERY",
    "LABEL_FOLDS",
    "EpochRecord",
    "HeldOut",
    "Measurements",
    "Trainer",
    "clip_member_gradients",
    "count_label_folds",
    "distil_heads",
    "distillation_loss",
    "elbo_loss",
    "held_out",
    "label_loss",
    "steps_per_epoch",
    "train_encoder",
]
