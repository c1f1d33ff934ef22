"""A model of a number that depends on the conditions of its test, and of one that does not."""

import pandas as pd

from pyro_hea import AlloyDataset, DisentangledVAE, ModelSpec
from pyro_hea.materials.alloys.composition import fraction_table

FORMULAS = [f"Co{a}Cr{b}Fe{10 - a}Ni{10 - b}" for a in range(1, 9) for b in range(1, 9)]
SPEC = {
    "targets": {
        "strength": {
            "kind": "continuous",
            "unit": "MPa",
            "prior": {"dist": "Normal", "loc": 6.0, "scale": 0.7},
            "conditions": {"temperature_C": 25, "strain_rate": 0.001},
        },
        "density": {
            "kind": "continuous",
            "unit": "g/cm3",
            "prior": {"dist": "Normal", "loc": 2.0, "scale": 0.5},
        },
    },
    "latent": {"dim": 2, "flow": None},
    "head": {"hidden": [16]},
    "encoder": {"hidden": [8]},
    "decoder": {"hidden": [8]},
    "training": {
        "members": 2,
        "epochs": 150,
        "batch_size": 32,
        "learning_rate": 0.01,
        "head_learning_rate": 0.02,
        "patience": 1000,
        "wake_sleep": 0.0,
    },
}


def model_at_conditions() -> DisentangledVAE:
    """Strength falls by half from 25 to 800 °C; density is measured at no condition."""
    fractions = fraction_table(FORMULAS)
    rows = [
        {
            "formula": formula,
            "target": "strength",
            "value": (300 + 500 * cr) * (1 - 0.5 * (at - 25) / 775),
            "temperature_C": at,
            "strain_rate": 0.001,
        }
        for formula, cr in zip(fractions.index, fractions["Cr"], strict=True)
        for at in (25.0, 400.0, 800.0)
    ]
    density = {"formula": fractions.index, "target": "density", "value": 7 + fractions["Co"]}
    reports = pd.concat([pd.DataFrame(rows), pd.DataFrame(density)])
    data = AlloyDataset.from_reports(fractions, reports, ["strength", "density"])
    return DisentangledVAE(ModelSpec.from_mapping(SPEC)).fit(data, seed=0, progress=False)
