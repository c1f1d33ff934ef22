"""Saved models with random changes, by accident and by a stranger who mends the hashes.

What an accident changes is refused. What a stranger changes is refused, or is another model that
answers. `CASES=100000` makes a campaign of it.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strangers import contents

from pyro_hea import DisentangledVAE
from pyro_hea.errors import CheckpointError, MissingFileError, PyroHEAError
from pyro_hea.inference import checkpoint

from .trees import JSON, changed, places

CASES = int(os.environ.get("CASES", "40"))
MODEL = Path(__file__).parents[1] / "data" / "schema_4"
ALLOYS = ["Ag25Au75", "CoCrFeNi"]

often = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    DisentangledVAE.load(MODEL).save(folder)
    return folder


@pytest.fixture(scope="module")
def content(saved):
    tensors, manifest = contents(saved, "model")
    return manifest, tensors


@pytest.fixture(scope="module")
def expected(saved):
    return DisentangledVAE.load(saved).predict(ALLOYS)["single_phase"].to_numpy()


def answers_or_refuses(folder):
    try:
        p = DisentangledVAE.load(folder).predict(ALLOYS)["single_phase"].to_numpy()
    except PyroHEAError:
        return
    assert ((p >= 0) & (p <= 1)).all()


@often
@given(data=st.data())
def test_a_stranger_changes_the_manifest(content, tmp_path_factory, data):
    manifest, tensors = content
    place = data.draw(st.sampled_from(list(places(manifest))))
    action = data.draw(st.sampled_from(["replace", "remove", "add"]))
    folder = tmp_path_factory.mktemp("case")
    edited = changed(manifest, place, action, data.draw(JSON))
    checkpoint.write(folder, "model", tensors, edited)
    answers_or_refuses(folder)
    shutil.rmtree(folder)


@often
@given(data=st.data())
def test_a_stranger_changes_a_tensor(content, tmp_path_factory, data):
    manifest, tensors = content
    name = data.draw(st.sampled_from(sorted(tensors)))
    change = data.draw(
        st.sampled_from(
            [
                lambda t: t.double(),
                lambda t: t.bool(),
                lambda t: t.half(),
                lambda t: t.flatten(),
                lambda t: t.unsqueeze(0),
                lambda t: t[..., :-1] if t.dim() else t.view(1),
                lambda t: t * float("nan"),
                lambda t: t / 0,
                lambda t: -t,
                lambda t: t * 1e30,
            ]
        )
    )
    folder = tmp_path_factory.mktemp("case")
    checkpoint.write(folder, "model", {**tensors, name: change(tensors[name])}, manifest)
    try:
        p = DisentangledVAE.load(folder).predict(ALLOYS)["single_phase"].to_numpy()
    except CheckpointError:
        pass
    else:
        assert ((p >= 0) & (p <= 1)).all()
    shutil.rmtree(folder)


@often
@given(data=st.data())
def test_an_accident_changes_nothing_in_silence(saved, expected, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("case") / "model"
    shutil.copytree(saved, folder)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "insert"])):
        case "flip":
            content[position] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del content[position:]
        case _:
            content[position:position] = data.draw(st.binary(min_size=1, max_size=8))
    path.write_bytes(content)
    try:
        p = DisentangledVAE.load(folder).predict(ALLOYS)["single_phase"].to_numpy()
    except (CheckpointError, MissingFileError):
        pass
    else:
        np.testing.assert_array_equal(p, expected)
    shutil.rmtree(folder.parent)
