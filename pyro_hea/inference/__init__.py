"""Stochastic variational inference: one loop, resumable at any epoch, each member stopped alone."""

from pyro_hea.inference.distillation import learn, lesson_loss
from pyro_hea.inference.heads import Measurements
from pyro_hea.inference.objective import (
    LABEL_FOLDS,
    HeldOut,
    elbo_loss,
    held_out,
    label_loss,
)
from pyro_hea.inference.schedule import clip_by_member, steps_of
from pyro_hea.inference.trainer import EVALUATE_EVERY, EpochRecord, Trainer
from pyro_hea.inference.wake_sleep import sleep

__all__ = [
    "EVALUATE_EVERY",
    "LABEL_FOLDS",
    "EpochRecord",
    "HeldOut",
    "Measurements",
    "Trainer",
    "clip_by_member",
    "elbo_loss",
    "held_out",
    "label_loss",
    "learn",
    "lesson_loss",
    "sleep",
    "steps_of",
]
