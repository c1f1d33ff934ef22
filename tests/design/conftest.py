import pytest

from pyro_hea import DisentangledVAE, ModelSpec, load_alloys
from pyro_hea.alloys.dataset import AlloyDataset

ELEMENTS = ("Al", "Co", "Cr", "Cu", "Fe", "Mn", "Ni", "Ti")


@pytest.fixture(scope="session")
def few_elements() -> AlloyDataset:
    """The published labelled alloys of eight elements."""
    alloys = load_alloys("zeng2024").split("published")["labelled"]
    others = alloys.fractions.drop(columns=list(ELEMENTS))
    return alloys.take((others.sum(axis=1) == 0).to_numpy())


@pytest.fixture(scope="session")
def vae(few_elements) -> DisentangledVAE:
    """Two small members, trained well enough to tell one phase from several."""
    small = {"hidden": (16,)}
    spec = ModelSpec(
        latent={"dim": 2, "flow": {"layers": 2, "hidden": 8}},
        head=small,
        encoder=small,
        decoder=small,
        training={
            "distillation": {"trees": 20, "synthetic_alloys": 2000, "steps": 100},
            "members": 2,
            "epochs": 40,
            "batch_size": 64,
            "learning_rate": 0.01,
        },
    )
    return DisentangledVAE(spec).fit(few_elements, seed=0, device="cpu", progress=False)
