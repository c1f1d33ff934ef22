"""The default model: trained once, kept under the hash of what it depends on, then loaded."""

import numpy as np
import pytest

from pyro_hea import DisentangledVAE, cache
from pyro_hea import vae as face
from pyro_hea.errors import CacheWarning

FORMULAS = ["CoCrFeNi", "AlCoCrFeNi"]


@pytest.fixture
def folder(tmp_path, monkeypatch, alloys):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(face, "load_alloys", lambda: alloys)
    return tmp_path / "cache"


@pytest.fixture
def spec(vae):
    return vae.spec.with_(training__epochs=2, training__distillation__steps=5)


def test_it_is_trained_on_first_use_and_loaded_afterwards(folder, spec, monkeypatch):
    first = DisentangledVAE.default(spec, progress=False)
    (kept,) = folder.iterdir()
    assert kept.name == cache.model_key(spec)
    assert (kept / "model_card.md").is_file()
    monkeypatch.setattr(DisentangledVAE, "fit", lambda *_, **__: pytest.fail("trained again"))
    again = DisentangledVAE.default(spec, progress=False)
    np.testing.assert_allclose(again.predict(FORMULAS), first.predict(FORMULAS), rtol=1e-6)


def test_another_spec_or_release_is_another_model(spec, monkeypatch):
    key = cache.model_key(spec)
    assert cache.model_key(spec) == key
    assert cache.model_key(spec.with_(latent__dim=4)) != key
    monkeypatch.setattr("pyro_hea.cache.version", lambda _: "999")
    assert cache.model_key(spec) != key


def test_a_folder_that_cannot_be_written_is_told_and_the_model_is_there(folder, spec, monkeypatch):
    folder.parent.joinpath("file").touch()
    monkeypatch.setenv(cache.VARIABLE, str(folder.parent / "file" / "cache"))
    with pytest.warns(CacheWarning, match="not kept, and is trained again"):
        model = DisentangledVAE.default(spec, progress=False)
    assert len(model.predict(FORMULAS)) == 2


def test_a_damaged_model_is_trained_anew(folder, spec):
    DisentangledVAE.default(spec, progress=False)
    (kept,) = folder.iterdir()
    (kept / "model.json").write_text("{}")
    with pytest.warns(CacheWarning, match="trained anew"):
        DisentangledVAE.default(spec, progress=False)
    assert DisentangledVAE.load(kept).spec == spec


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PYRO_HEA_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/pyro_hea"),
        ({"HOME": "/home/someone"}, "/home/someone/.cache/pyro_hea"),
    ],
)
def test_the_folder_follows_the_environment(variables, expected, monkeypatch):
    for name in ("PYRO_HEA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache.sys, "platform", "linux")
    assert cache.cache_folder().as_posix() == expected
