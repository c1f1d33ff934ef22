import numpy as np
import pandas as pd
import pytest

from pyro_hea import AlloyDataset, DisentangledVAE, ModelSpec
from pyro_hea.composition import fraction_table

SPEC = {
    "latent": {"dim": 2, "flow": {"layers": 2, "hidden": 4}},
    "likelihood": {"total_count": 50},
    "features": {"bins": 4},
    "head": {"hidden": [8, 8]},
    "encoder": {"hidden": [8]},
    "decoder": {"hidden": [8]},
    "training": {"members": 3, "epochs": 30, "batch_size": 32},
}
ELEMENTS = ["Ag", "Al", "Au", "Co", "Cr", "Cu", "Fe", "Mo", "Nb", "Ni", "Pd", "Pt", "Ta", "W"]


@pytest.fixture(scope="session")
def alloys() -> AlloyDataset:
    """Sixty alloys of fourteen elements, all of them labelled."""
    rng = np.random.default_rng(0)
    formulas: dict[str, None] = {}
    while len(formulas) < 60:
        some = sorted(rng.choice(ELEMENTS, 4, replace=False))
        parts = zip(some, rng.integers(1, 6, 4), strict=True)
        formulas["".join(f"{e}{n}" for e, n in parts)] = None
    fractions = fraction_table(list(formulas), ELEMENTS)
    value = (fractions[["Al", "W", "Nb"]].sum(axis=1) < 0.2).to_numpy(float)
    reports = pd.DataFrame({"formula": fractions.index, "target": "single_phase", "value": value})
    return AlloyDataset.from_reports(fractions, reports, ["single_phase"])


@pytest.fixture(scope="session")
def vae(alloys) -> DisentangledVAE:
    return DisentangledVAE(ModelSpec.from_mapping(SPEC)).fit(alloys, seed=0, progress=False)
