"""Trainings that are killed at random instants and resumed end like one that is left alone.

`make kill KILLS=300` is the whole campaign; here are a few kills.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from pyro_hea.errors import MissingFileError
from pyro_hea.inference import checkpoint

KILLS = int(os.environ.get("KILLS", "4"))

SPEC = """\
latent: {dim: 2, flow: {layers: 2, hidden: 4}}
head: {hidden: [8]}
encoder: {hidden: [8]}
decoder: {hidden: [8]}
training:
  members: 2
  epochs: 60
  distillation: {trees: 20, synthetic_alloys: 500, steps: 100}
"""

TRAIN = """\
import sys, warnings
from pyro_hea import DisentangledVAE, ModelSpec, load_alloys, fitting
from pyro_hea.inference import checkpoint
warnings.simplefilter("ignore")
fitting._SAVE_EVERY = 1
spec, out = sys.argv[1:]
data = load_alloys().take(range(0, 1200, 10))
vae = DisentangledVAE(ModelSpec.from_yaml(spec))
vae.fit(data, device="cpu", progress=False, checkpoint=out, resume=True)
vae.save(out)
checkpoint.remove(out, "training")
"""


def start(folder):
    (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
    command = [sys.executable, "-c", TRAIN, folder / "spec.yaml", folder / "out"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def model(folder):
    names = [path for path in (folder / "out").iterdir() if path.name.startswith("model")]
    return {path.name: path.read_bytes() for path in names}


@pytest.mark.slow
def test_kills_change_nothing_of_the_model(tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    alone.mkdir()
    killed.mkdir()
    begun = time.monotonic()
    assert start(alone).wait() == 0
    whole = time.monotonic() - begun
    rng, kills, ended = random.Random(0), 0, 0
    while kills < KILLS:
        process = start(killed)
        try:
            process.wait(timeout=rng.uniform(0.3, 1.1) * whole)
            assert process.returncode == 0
            assert model(killed) == model(alone)
            ended += 1
            for path in (killed / "out").iterdir():
                path.unlink()
        except subprocess.TimeoutExpired:
            process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
            process.wait()
            kills += 1
            try:
                checkpoint.read(killed / "out", "training")  # whole, or not there
            except MissingFileError:
                continue
    assert start(killed).wait() == 0
    assert model(killed) == model(alone)
