"""The how-to guides share one small fitted model, `vae`, and its data, `alloys`."""

import warnings
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_model():
    """A model that is trained in seconds, and what it was trained on."""
    from pyro_hea import DisentangledVAE, ModelSpec, load_alloys

    alloys = load_alloys("zeng2024")
    spec = ModelSpec(training={"members": 2, "epochs": 5})
    return DisentangledVAE(spec).fit(alloys, seed=0, progress=False), alloys


@pytest.fixture(autouse=True)
def _shared_names(request, doctest_namespace, tmp_path, monkeypatch):
    """Give the guides `vae` and `alloys`, and an empty working directory."""
    if "how-to" not in Path(request.node.path).parts:
        yield
        return
    vae, alloys = request.getfixturevalue("small_model")
    doctest_namespace.update(vae=vae, alloys=alloys)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        yield
