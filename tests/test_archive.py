"""Saved models: of earlier releases, and of strangers, who mend the hashes of what they change."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from strangers import stranger

from pyro_hea import DisentangledVAE, load_alloys
from pyro_hea.errors import CheckpointError
from pyro_hea.inference import checkpoint

DATA = Path(__file__).parent / "data"
FORMER = {  # predictions and draws of z, by the release that wrote the model
    3: ([0.52010, 0.49364], [[[-0.28487, -0.10873], [-0.26806, -0.28543]]]),
    4: ([0.76009, 0.34067], [[[-0.48795, -0.10508], [-0.46961, -0.40070]]]),
}


@pytest.mark.parametrize("schema", FORMER)
def test_a_model_of_a_former_schema_answers_as_it_did(schema, tmp_path):
    model = DisentangledVAE.load(DATA / f"schema_{schema}")
    alloys = ["Ag25Au75", "Al0.5CoCrCuFeNiV0.39"]
    p, z = FORMER[schema]
    np.testing.assert_allclose(model.predict(alloys)["single_phase"], p, atol=2e-5)
    some = load_alloys("zeng2024").take(range(0, 1200, 30)).take([0, 5])
    drawn = model.posterior(some, draws=2, seed=1).posterior["z"].to_numpy()[:1, 0]
    np.testing.assert_allclose(drawn, z, atol=2e-5)
    model.save(tmp_path)
    manifest = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    assert manifest["schema_version"] == checkpoint.SCHEMA_VERSION
    again = DisentangledVAE.load(tmp_path)
    np.testing.assert_array_equal(again.predict(alloys), model.predict(alloys))


@pytest.fixture(scope="module")
def saved(vae_of_kinds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    vae_of_kinds.save(folder)
    return folder


def test_a_stranger_who_changes_nothing_is_read(saved, tmp_path, vae_of_kinds):
    loaded = DisentangledVAE.load(stranger(saved, tmp_path, "model"))
    np.testing.assert_array_equal(
        loaded.predict(["AlCoCrW"])["hardness"], vae_of_kinds.predict(["AlCoCrW"])["hardness"]
    )


def put(*keys_and_value):
    *keys, last, value = keys_and_value

    def edit(manifest):
        for key in keys:
            manifest = manifest[key]
        manifest[last] = value

    return edit


NESTED: list = []
for _ in range(500):
    NESTED = [NESTED]

EDITS = {
    "sources of no target": (put("sources", {"single_phase": ["a"]}), "sources are not those"),
    "sources as a list": (put("sources", ["a"]), "sources"),
    "sources that are numbers": (put("sources", 3), "sources"),
    "scales as text": (put("label_scales", "hardness", "ab"), "label_scales.hardness"),
    "scales of nothing": (put("label_scales", {}), "label_scales are not those"),
    "a scale that is negative": (put("label_scales", "hardness", [5.0, -1.0]), "label_scales"),
    "a scale of another target": (put("label_scales", "phase", [1.0, 1.0]), "label_scales are"),
    "conditions of nothing": (put("condition_scales", {"hardness": [1.0]}), "condition_scales"),
    "conditions as text": (put("condition_scales", "x"), "condition_scales"),
    "elements reversed": (lambda m: m["elements"].reverse(), "is no formula of the training alloy"),
    "elements that are none": (put("elements", 0, "Xx"), "elements are not those"),
    "an element twice": (put("elements", 1, "Ag"), "elements are not those"),
    "elements left out": (lambda m: m["elements"].pop(), "'known' is torch.float64 of shape"),
    "a name of markup": (put("known", 0, "<script>"), "is no formula of the training alloy"),
    "a name of another alloy": (put("known", 0, "CoFeMnTiVZr2.3"), "is no formula of the training"),
    "a name that cannot be read": (put("known", 0, "CoFeMnTiVZv2.3"), "is no formula of the"),
    "names that are numbers": (put("known", 3), "known"),
    "no alloys": (put("alloys", 0), "alloys"),
    "alloys as a list": (put("alloys", [1]), "alloys"),
    "classes of another order": (lambda m: m["classes"]["phase"].reverse(), "classes are not"),
    "another key": (put("extra", 1), "unknown key 'extra'"),
    "a key less": (lambda m: m.pop("seed"), "seed: Field required"),
    "a seed as a list": (put("seed", []), "seed"),
    "a deep list": (put("spec", NESTED), "spec"),
    "more members": (put("spec", "training", "members", 1024), "larger model than|by the spec"),
    "wide layers": (put("spec", "encoder", "hidden", [4096] * 50), "larger model than|there is no"),
    "more classes": (put("spec", "targets", "phase", "classes", list("abcdef")), "classes are"),
    "a spec of nothing": (put("spec", None), "spec"),
    "a spec of text": (put("spec", "default"), "spec"),
    "other bins": (put("spec", "features", "bins", 7), "embedding.edges"),
    "other features": (put("features", ["density"]), "embedding.edges"),
    "another hash of tables": (put("tables_sha256", "0"), "trained with other element or pair"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_manifest_that_the_spec_does_not_allow_is_refused(saved, tmp_path, name):
    edit, message = EDITS[name]
    with pytest.raises(CheckpointError, match=message):
        DisentangledVAE.load(stranger(saved, tmp_path, "model", edit))


WEIGHT, EDGES = "weights.encoder.0.weight", "weights.embedding.edges"


def tensor(name, function):
    def change(tensors):
        tensors[name] = function(tensors[name]).contiguous()

    return change


CHANGES = {
    "double precision": (tensor(WEIGHT, torch.Tensor.double), "is torch.float64 of shape"),
    "half precision": (tensor(WEIGHT, torch.Tensor.half), "is torch.float16 of shape"),
    "booleans": (tensor(WEIGHT, torch.Tensor.bool), "is torch.bool of shape"),
    "complex numbers": (tensor(WEIGHT, lambda t: t.to(torch.complex64)), "is torch.complex64"),
    "another rank": (tensor(WEIGHT, lambda t: t[0]), "is torch.float32 of shape"),
    "a scalar for edges": (tensor(EDGES, torch.Tensor.sum), "embedding.edges' is torch.float32"),
    "another shape": (tensor(WEIGHT, lambda t: t[..., :-1]), "by the spec it is torch.float32"),
    "not a number": (tensor(WEIGHT, lambda t: t * float("nan")), "is not finite"),
    "infinite": (tensor("weights.sites.hardness.centre", lambda t: t / 0), "is not finite"),
    "edges that fall": (tensor(EDGES, lambda t: -t), "are not in order"),
    "no spread": (tensor("features.spread", torch.zeros_like), "features.spread is not positive"),
    "no training alloys": (lambda t: t.pop("known"), "there is no tensor 'known'"),
    "no weight": (lambda t: t.pop(WEIGHT), f"there is no tensor '{WEIGHT}'"),
    "one tensor more": (lambda t: t.update(more=torch.ones(1)), "there is no place for more"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_tensors_that_do_not_fit_the_spec_are_refused(saved, tmp_path, name):
    change, message = CHANGES[name]
    with pytest.raises(CheckpointError, match=message):
        DisentangledVAE.load(stranger(saved, tmp_path, "model", change=change))


def test_no_memory_is_taken_for_a_size_that_the_files_do_not_have(saved, tmp_path):
    import tracemalloc
    from resource import RUSAGE_SELF, getrusage

    edit = put("spec", "decoder", "hidden", [4096] * 200)  # 13 GB of weights
    folder = stranger(saved, tmp_path, "model", edit)
    before = getrusage(RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=re.escape("larger model than the weights")):
        DisentangledVAE.load(folder)
    tracemalloc.stop()
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_an_alloy_whose_name_is_no_formula_is_saved_by_its_formula(vae, tmp_path):
    from dataclasses import replace

    known = vae.ensemble.known.rename(index={vae.ensemble.known.index[0]: "sample 1"})
    model = DisentangledVAE(vae.spec)
    model._ensemble = replace(vae.ensemble, known=known)
    model.save(tmp_path)
    loaded = DisentangledVAE.load(tmp_path).ensemble.known
    assert "sample 1" not in loaded.index
    np.testing.assert_array_equal(loaded.to_numpy(), known.to_numpy())
