import numpy as np
import pytest
import torch

from pyro_hea import Atlas, AtlasSpec
from pyro_hea.program.charts import AtlasModel


@pytest.fixture(scope="session")
def spec() -> AtlasSpec:
    """Three charts of a curve, trained in seconds."""
    return AtlasSpec(
        charts=3,
        dim=1,
        noise=0.02,
        decoder={"couplings": 3, "hidden": [32]},
        seeding={"steps": 100},
        training={"epochs": 12, "stretch_epochs": 4, "batch_size": 128},
        overlap={"epochs": 4},
    )


def circle(n: int, seed: int) -> np.ndarray:
    """Points around the unit circle."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.c_[np.cos(angle), np.sin(angle)] + 0.02 * rng.normal(size=(n, 2))


@pytest.fixture(scope="session")
def points() -> np.ndarray:
    return circle(1500, 0)


@pytest.fixture(scope="session")
def held_out() -> np.ndarray:
    return circle(300, 1)


@pytest.fixture(scope="session")
def atlas(spec, points) -> Atlas:
    return Atlas(spec).fit(points, seed=0, progress=False)


@pytest.fixture
def plane() -> AtlasModel:
    """Two charts of the plane through (0, 0, 1) along x and y, exactly: D(z) = (z, 1)."""
    few = {"couplings": 1, "hidden": [2]}
    model = AtlasModel(AtlasSpec(charts=2, dim=2, latent_flow=None, decoder=few), 3).double()
    for parameter in model.parameters():
        parameter.data.zero_()
    exchanged = model.transform(torch.eye(3).double()).detach()  # by the fixed permutations
    model.frame.copy_(exchanged.mT)
    model.centre[..., 2] = 1.0
    return model.requires_grad_(False)
