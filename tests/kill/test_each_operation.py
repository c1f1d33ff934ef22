"""A save that is killed at any of its file operations leaves the old state or the new one."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from pyro_hea import Campaign, DisentangledVAE, ModelSpec, load_alloys
from pyro_hea.errors import MissingFileError
from pyro_hea.files import locked, write_text
from pyro_hea.inference import checkpoint

SAVED = Path(__file__).parents[1] / "data" / "schema_4"
OLD, NEW = {"a": torch.zeros(3)}, {"a": torch.ones(3)}


def save(folder, tensors, note):
    with locked(folder, "model"):
        checkpoint.write(folder, "model", tensors, {"note": note})


def state(folder):
    try:
        tensors, manifest = checkpoint.read(folder, "model")
    except MissingFileError:
        return None
    return tensors["a"].tolist(), manifest["note"]


@pytest.mark.parametrize("before", [None, ([0.0, 0.0, 0.0], "old")], ids=["nothing", "a model"])
def test_a_save_of_a_model(killed, tmp_path, before):
    states, number = [], 1
    while True:
        folder = tmp_path / str(number)
        if before is not None:
            save(folder, OLD, "old")
        if not killed.at(number, lambda folder=folder: save(folder, NEW, "new")):
            break
        states.append(state(folder))
        save(folder, NEW, "newer")  # nothing that is left stands in the way
        assert state(folder) == ([1.0, 1.0, 1.0], "newer")
        assert len(os.listdir(folder)) == 2
        number += 1
    new = ([1.0, 1.0, 1.0], "new")
    assert len(states) >= 12
    switched = states.index(new)
    assert states == [before] * switched + [new] * (len(states) - switched)


def test_a_file(killed, tmp_path):
    contents, number = [], 1
    path = tmp_path / "a.txt"
    while True:
        write_text(path, "old")
        if not killed.at(number, lambda: write_text(path, "new")):
            break
        contents.append(path.read_text())
        number += 1
    assert set(contents) == {"old", "new"}
    assert contents == sorted(contents, reverse=True)


@pytest.mark.slow
def test_a_save_of_a_campaign(killed, tmp_path):
    campaign = Campaign(load_alloys().take(range(0, 300, 10)), ModelSpec(), {"single_phase": 1})
    campaign._vae = DisentangledVAE.load(SAVED)
    campaign.spec = campaign._vae.spec
    campaign.save(tmp_path / "old")
    later = Campaign.load(tmp_path / "old")
    later.record(pd.DataFrame({"formula": ["CoNi"], "single_phase": [1]}))
    lengths, number = [], 1
    while True:
        folder = tmp_path / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "old", folder)
        if not killed.at(number, lambda folder=folder: later.save(folder)):
            break
        lengths.append(len(Campaign.load(folder).history))
        later.save(folder)  # nothing that is left stands in the way
        assert len(list(folder.glob("*"))) == 4  # manifest, data, model, history
        number += 1
    assert len(lengths) >= 20
    assert lengths == sorted(lengths)
    assert set(lengths) == {0, 1}
