"""The how-to guides share one small fitted model, `vae`, and its data, `alloys`."""

import warnings
from pathlib import Path

import pytest

SLOW = (
    "draw-a-posterior-on-a-manifold.md",
    "solve-an-inverse-problem-on-a-manifold.md",
    "stay-among-known-alloys.md",
)
"""Pages whose code takes more than ten seconds."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == Path(__file__).parent / "how-to" and item.path.name in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def small_model():
    """A model that is trained in seconds, and what it was trained on."""
    from pyro_hea import DisentangledVAE, ModelSpec, load_alloys

    alloys = load_alloys("zeng2024")
    distillation = {"trees": 40, "synthetic_alloys": 3000, "steps": 200}
    spec = ModelSpec(training={"members": 2, "epochs": 5, "distillation": distillation})
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
