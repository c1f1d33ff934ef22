"""Of held-out numbers, as many lie in their intervals as these promise."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

from pyro_hea import AlloyDataset, DisentangledVAE, ModelSpec, load_alloys
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.posterior import predict

HARDNESS = {
    "kind": "continuous",
    "unit": "HV",
    "prior": {"dist": "Normal", "loc": 6.0, "scale": 0.7},
}


def coverage(table: pd.DataFrame, labels: pd.Series) -> float:
    return float(labels.between(table["hardness_low"], table["hardness_high"]).mean())


def test_intervals_follow_a_scatter_that_is_known():
    rng = np.random.default_rng(0)
    elements = ["Al", "Co", "Cr", "Cu", "Fe", "Mn", "Ni", "Ti"]
    parts = pd.DataFrame(rng.dirichlet(np.ones(8), 900).round(2) + 0.01, columns=elements)
    fractions = fraction_table(parts.div(parts.sum(axis=1), axis=0))
    scatter = np.where(fractions["Al"] > 0.1, 0.4, 0.1)  # of the logarithm
    mean = 6 + 2 * fractions["Ti"].to_numpy()
    value = np.exp(mean + scatter * rng.normal(size=len(fractions)))
    labels = pd.Series(value, fractions.index)
    reports = pd.DataFrame({"formula": labels.index, "target": "hardness", "value": value})
    data = AlloyDataset.from_reports(fractions, reports, ["hardness"])
    spec = ModelSpec.from_mapping(
        {
            "targets": {"hardness": HARDNESS},
            "latent": {"dim": 2, "flow": None},
            "head": {"hidden": [32, 32]},
            "encoder": {"hidden": [16]},
            "decoder": {"hidden": [16]},
            "training": {"members": 2, "epochs": 60, "batch_size": 64},
        }
    )
    held = np.arange(len(data)) % 3 == 0
    vae = DisentangledVAE(spec).fit(data.take(~held), seed=0, progress=False)
    table = predict(vae.ensemble, data.take(held), interval=0.9)
    assert 0.85 <= coverage(table, labels[held]) <= 0.95
    for known in (0.1, 0.4):
        rows = scatter[held] == known
        expected = known * np.exp(mean[held][rows])  # of a number, to first order
        ratio = table["hardness_aleatoric"][rows] / expected
        assert 0.7 < ratio.median() < 1.4
        assert 0.8 <= coverage(table[rows], labels[held][rows]) <= 0.99


@pytest.mark.slow
def test_nine_tenths_of_held_out_hardnesses_are_in_their_intervals():
    data = load_alloys(["zeng2024", "borg2020"])
    labelled = np.flatnonzero(data.labels["hardness"].notna())
    mechanical = data.labels[["hardness", "yield_strength"]].notna().any(axis=1).to_numpy()
    hardness = HARDNESS | {"conditions": {"test_temperature_C": 25}}
    spec = ModelSpec.from_mapping({"targets": {"hardness": hardness}, "training": {"members": 4}})
    found = []
    folds = list(KFold(5, shuffle=True, random_state=0).split(labelled))
    for _, fold in folds[:2]:  # 104 alloys: one fold is too few to tell 0.90 from 0.97
        held = np.isin(np.arange(len(data)), labelled[fold])
        few, test = data.take(~held & mechanical), data.take(held)
        vae = DisentangledVAE(spec).fit(few, seed=0, progress=False)
        table = predict(vae.ensemble, test, interval=0.9)
        found.append(coverage(table, test.labels["hardness"]))
    assert 0.8 <= np.mean(found) <= 0.97
