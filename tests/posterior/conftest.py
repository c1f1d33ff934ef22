import numpy as np
import pandas as pd
import pytest

from pyro_hea import AlloyDataset, DisentangledVAE, ModelSpec
from pyro_hea.composition import fraction_table

SPEC = {
    "latent": {"dim": 2, "flow": {"layers": 2, "hidden": 4}},
    "likelihood": {"total_count": 50},
    "features": {"bins": 3},
    "head": {"hidden": [8]},
    "encoder": {"hidden": [8]},
    "decoder": {"hidden": [8]},
    "training": {"members": 3, "epochs": 4, "batch_size": 16},
}


@pytest.fixture(scope="session")
def alloys() -> AlloyDataset:
    """Twenty alloys of six elements, fourteen of them labelled."""
    rng = np.random.default_rng(0)
    elements = np.array(["Al", "Co", "Cr", "Cu", "Fe", "Ni"])
    formulas: dict[str, None] = {}
    while len(formulas) < 20:
        some = rng.choice(elements, 4, replace=False)
        amounts = zip(sorted(some), rng.integers(1, 5, 4), strict=True)
        formulas["".join(f"{e}{n}" for e, n in amounts)] = None
    fractions = fraction_table(list(formulas))
    labelled = fractions.index[:14]
    value = (fractions.loc[labelled, "Al"] < 0.1).to_numpy(float)
    reports = pd.DataFrame({"formula": labelled, "target": "single_phase", "value": value})
    return AlloyDataset.from_reports(fractions, reports, ["single_phase"])


@pytest.fixture(scope="session")
def vae(alloys) -> DisentangledVAE:
    return DisentangledVAE(ModelSpec.from_mapping(SPEC)).fit(alloys, seed=0, progress=False)


@pytest.fixture(scope="session")
def ensemble(vae):
    return vae.ensemble
