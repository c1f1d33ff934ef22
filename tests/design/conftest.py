from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small import small_spec

from pyro_hea import DisentangledVAE, load_alloys
from pyro_hea.materials.alloys.dataset import AlloyDataset

ELEMENTS = ("Al", "Co", "Cr", "Cu", "Fe", "Mn", "Ni", "Ti")


@pytest.fixture(scope="session")
def few_elements() -> AlloyDataset:
    """The published labelled alloys of eight elements."""
    alloys = load_alloys("zeng2024").split("published")["labelled"]
    others = alloys.fractions.drop(columns=list(ELEMENTS))
    return alloys.take((others.sum(axis=1) == 0).to_numpy())


SPEC = small_spec(
    16,
    latent__flow={"layers": 2, "hidden": 8},
    training__epochs=40,
    training__batch_size=64,
    training__learning_rate=0.01,
    training__distillation={"trees": 20, "synthetic_alloys": 2000, "steps": 100},
)


@pytest.fixture(scope="session")
def vae(few_elements) -> DisentangledVAE:
    """Two small members, trained well enough to tell one phase from several."""
    return DisentangledVAE(SPEC).fit(few_elements, seed=0, device="cpu", progress=False)


TARGETS = {
    "single_phase": {},
    "lattice": {"kind": "categorical", "classes": ["open", "close"]},
    "mix": {"kind": "categorical", "classes": ["plain", "mixed", "rich"]},
    "hardness": {
        "kind": "continuous",
        "unit": "HV",
        "given": ["single_phase"],
        "prior": {"dist": "Normal", "loc": 5.5, "scale": 0.5},
    },
}


@pytest.fixture(scope="session")
def many(few_elements):
    """A small model of four kinds of targets, made up from features."""
    features, single = few_elements.features, few_elements.labels["single_phase"]
    electrons = features["valence_electron_concentration"]
    hardness = 200 + 10 * features["mixing_entropy"] + 300 * (1 - single.fillna(0.5))
    labels = pd.DataFrame(
        {
            "single_phase": single,
            "lattice": np.where(electrons > 7.5, "close", "open"),
            "mix": pd.cut(
                few_elements.number_of_elements, [0, 2, 4, 9], labels=["plain", "mixed", "rich"]
            ).astype(str),
            "hardness": hardness,
        },
        few_elements.fractions.index,
    )
    spec = SPEC.with_(targets=TARGETS, training__epochs=30)
    data = replace(few_elements, labels=labels)
    return DisentangledVAE(spec).fit(data, seed=0, device="cpu", progress=False)
