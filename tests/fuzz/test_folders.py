"""Folders of crystals, atlases and campaigns that a stranger changed and gave hashes that fit.

Each is refused by name, or is another one that answers. `CASES=100000` makes a campaign of it.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import ATLAS, CRYSTALS
from strangers import contents

from pyro_hea import (
    Atlas,
    AtlasSpec,
    Campaign,
    CrystalSpec,
    CrystalVAE,
    ModelSpec,
    load_alloys,
    load_crystals,
)
from pyro_hea.errors import PyroHEAError, PyroHEAWarning
from pyro_hea.inference import checkpoint

from .limits import in_time
from .trees import JSON, changed, places

CASES = int(os.environ.get("CASES", "20"))
SECONDS = 10.0
"""That no case may take; the largest models here answer in one."""

often = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=CASES <= 1000,
    database=None,
)

POINTS = np.c_[np.linspace(-1, 1, 60), np.linspace(-1, 1, 60) ** 2]
ODD = {
    "other": lambda t: t.float() if t.dtype != torch.float32 else t.double(),
    "bool": lambda t: t.bool(),
    "flat": lambda t: t.flatten(),
    "deeper": lambda t: t.unsqueeze(0),
    "shorter": lambda t: t[..., :-1].clone() if t.dim() else t.view(1),
    "nan": lambda t: t * float("nan"),
    "negative": lambda t: t.logical_not() if t.dtype == torch.bool else -t,
    "large": lambda t: t * 10**9,
}


class Saved(NamedTuple):
    """A folder, and what is asked of one like it."""

    name: str
    folder: Path
    ask: Callable[[Path], object]


@pytest.fixture(scope="module", params=["crystals", "atlas"])
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "atlas":
        atlas = Atlas(AtlasSpec.from_mapping(ATLAS)).fit(POINTS, progress=False)
        atlas.save(folder)
        return Saved("atlas", folder, lambda f: Atlas.load(f).project(POINTS[:3]))
    some = load_crystals().take(slice(0, 200)).of_size(6)
    CrystalVAE(CrystalSpec.from_mapping(CRYSTALS)).fit(some, progress=False).save(folder)
    return Saved("crystals", folder, lambda f: CrystalVAE.load(f).predict(some.take([0, 1])))


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    started = Campaign(load_alloys().take(range(0, 400, 10)), ModelSpec(), {"single_phase": 1})
    started.record(pd.DataFrame({"formula": ["CoNi", "CoCrNi"], "single_phase": [1, 0]}))
    started.save(folder)
    return folder


def refuse_or_answer(ask):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyroHEAWarning)
        _, refusal = in_time(ask, PyroHEAError, SECONDS)
    assert len(refusal) < 20_000


@often
@given(data=st.data())
def test_a_stranger_changes_a_model_or_an_atlas(saved, tmp_path_factory, data):
    tensors, manifest = contents(saved.folder, saved.name)
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(tensors)))
        tensors[name] = ODD[data.draw(st.sampled_from(sorted(ODD)))](tensors[name])
    else:
        place = data.draw(st.sampled_from(list(places(manifest))))
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        manifest = changed(manifest, place, action, data.draw(JSON))
    folder = tmp_path_factory.mktemp("case")
    checkpoint.write(folder, saved.name, tensors, manifest)
    refuse_or_answer(lambda: saved.ask(folder))
    shutil.rmtree(folder)


@often
@given(data=st.data())
def test_a_stranger_changes_a_campaign(campaign, tmp_path_factory, data):
    manifest = json.loads((campaign / "campaign.json").read_text(encoding="utf-8"))
    alloys = json.loads((campaign / manifest["data"]).read_text(encoding="utf-8"))
    del manifest["manifest_sha256"]
    tree = data.draw(st.sampled_from([manifest, alloys]))
    place = data.draw(st.sampled_from(list(places(tree))))
    action = data.draw(st.sampled_from(["replace", "remove", "add"]))
    edited = changed(tree, place, action, data.draw(JSON))
    manifest, alloys = (edited if t is tree else t for t in (manifest, alloys))
    folder = tmp_path_factory.mktemp("case")
    text = json.dumps(alloys)
    (folder / "data-0123456789abcdef.json").write_text(text, encoding="utf-8")
    if tree is alloys:
        manifest |= {
            "data": "data-0123456789abcdef.json",
            "data_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
    elif (campaign / str(manifest.get("data"))).is_file():
        shutil.copy(campaign / manifest["data"], folder)
    manifest["manifest_sha256"] = checkpoint.hash_of_json(manifest)
    (folder / "campaign.json").write_text(json.dumps(manifest), encoding="utf-8")

    def ask():
        loaded = Campaign.load(folder)
        loaded.record(pd.DataFrame({"formula": ["FeNi"], "single_phase": [1]}))
        loaded.save(folder / "again")
        Campaign.load(folder / "again")
        assert repr(loaded)

    refuse_or_answer(ask)
    shutil.rmtree(folder)
