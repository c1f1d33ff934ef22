"""Specs of models that are trained in seconds, for tests that need a model and not a good one."""

from typing import Any

from pyro_hea import ModelSpec


def small_spec(hidden: int = 8, **changes: Any) -> ModelSpec:
    """Two members of narrow networks, two coordinates of the latent, a short distillation.

    `changes` are as of `ModelSpec.with_`.
    """
    networks = {f"{network}__hidden": (hidden,) for network in ("head", "encoder", "decoder")}
    distillation = {"trees": 20, "synthetic_alloys": 2000, "steps": 100}
    small = {"latent__dim": 2, "latent__flow": None, "head__dropout": 0.0}
    short = {"training__members": 2, "training__epochs": 3, "training__distillation": distillation}
    return ModelSpec().with_(**networks, **small, **short).with_(**changes)
