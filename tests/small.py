"""Specs of models that are trained in seconds, for tests that need a model and not a good one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import numpy as np

    from pyro_hea import ModelSpec

few_labels = pytest.mark.filterwarnings("ignore:few labels")
"""For modules whose models truly have few labels."""

SMALL: dict[str, Any] = {
    "latent": {"dim": 2, "flow": {"layers": 2, "hidden": 4}},
    "likelihood": {"total_count": 50},
    "features": {"bins": 4},
    "head": {"hidden": [8, 8]},
    "encoder": {"hidden": [8]},
    "decoder": {"hidden": [8]},
    "training": {
        "distillation": {"trees": 20, "synthetic_alloys": 2000, "steps": 100},
        "members": 3,
        "epochs": 30,
        "batch_size": 32,
    },
}
"""A model that is trained in seconds."""
CRYSTALS: dict[str, Any] = {
    "targets": {"metal": {}},
    "composition": {"dim": 4, "flow": None},
    "structure": {
        "dim": 8,
        "prior": {"kind": "prototypes", "hidden": [8], "trees": 5, "formulas": 50, "steps": 5},
    },
    "head": {"hidden": [8]},
    "encoder": {"hidden": [8]},
    "decoder": {"hidden": [8]},
    "training": {"members": 1, "epochs": 1, "distillation": None, "mixup": 0.0},
}
"""The same of crystals."""

ATLAS: dict[str, Any] = {
    "charts": 2,
    "dim": 1,
    "decoder": {"couplings": 1, "hidden": [4]},
    "seeding": {"steps": 0, "candidates": 50},
    "training": {"epochs": 2, "stretch_epochs": 1},
    "overlap": {"epochs": 1},
}
"""The same of charts."""

ELEMENTS = ("Al", "Co", "Cr", "Cu", "Fe", "Ni")


def quaternaries(
    n: int, rng: "np.random.Generator", elements: Sequence[str] = ELEMENTS, most: int = 5
) -> list[str]:
    """Formulas of four elements in whole amounts up to `most`."""
    formulas: dict[str, None] = {}
    while len(formulas) < n:
        some = sorted(rng.choice(list(elements), 4, replace=False))
        amounts = zip(some, rng.integers(1, most + 1, 4), strict=True)
        formulas["".join(f"{e}{k}" for e, k in amounts)] = None
    return [*formulas]


def small_spec(hidden: int = 8, **changes: Any) -> "ModelSpec":
    """Two members of narrow networks, two coordinates of the latent, a short distillation.

    `changes` are as of `ModelSpec.with_`.
    """
    from pyro_hea import ModelSpec

    networks = {f"{network}__hidden": (hidden,) for network in ("head", "encoder", "decoder")}
    distillation = {"trees": 4, "synthetic_alloys": 100, "steps": 5}
    small = {"latent__dim": 2, "latent__flow": None, "head__dropout": 0.0}
    short = {"training__members": 2, "training__epochs": 3, "training__distillation": distillation}
    return ModelSpec().with_(**networks, **small, **short).with_(**changes)
