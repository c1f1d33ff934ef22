"""Trainings that are killed at random instants and resumed end like one that is left alone.

`make kill KILLS=300` is the whole campaign; here are a few kills.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress

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

TRAININGS = """\
import os, signal, sys, time, warnings
from pyro_hea import DisentangledVAE, ModelSpec, load_alloys, fitting
from pyro_hea.inference import checkpoint
warnings.simplefilter("ignore")
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
fitting.TrainingRun.save_every = 1
spec, data = ModelSpec.from_yaml(sys.argv[1]), load_alloys().take(range(0, 1200, 10))

def train(out):
    vae = DisentangledVAE(spec)
    vae.fit(data, device="cpu", progress=False, checkpoint=out, resume=True)
    vae.save(out)
    checkpoint.remove(out, "training")

for line in sys.stdin:
    out, instant, by = line.split("\\t")
    child = os.fork()
    if child == 0:
        train(out)
        os._exit(0)
    if int(by):
        time.sleep(float(instant))
        os.kill(child, int(by))
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Reads folders, instants and signals; trains into each folder in a process of its own, which it
kills, and prints how that ended."""


class Trainings:
    """Trainings one after the other, each in a process that is forked from one with everything."""

    def __init__(self, folder):
        (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
        self._parent = subprocess.Popen(
            [sys.executable, "-c", TRAININGS, folder / "spec.yaml"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._parent.communicate()

    def run(self, out, instant=0.0, by=0):
        """Whether a training ended, and was not killed `instant` seconds after its start."""
        self._parent.stdin.write(f"{out}\t{instant}\t{int(by)}\n")
        self._parent.stdin.flush()
        status = int(self._parent.stdout.readline())
        assert by or status == 0
        return status == 0


def model(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name.startswith("model")}


@pytest.mark.slow
def test_kills_change_nothing_of_the_model(tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    with Trainings(tmp_path) as trainings:
        trainings.run(alone)
        begun = time.monotonic()
        trainings.run(killed)
        whole = time.monotonic() - begun
        assert model(killed) == model(alone)
        rng, kills = random.Random(0), Counter()
        while kills.total() < KILLS:
            by = rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            if not trainings.run(killed, rng.uniform(0.0, 0.9) * whole, by):
                kills[by.name] += 1
            if (killed / "model.json").exists() and not checkpoint.exists(killed, "training"):
                assert model(killed) == model(alone)
                for path in killed.iterdir():
                    path.unlink()
            with suppress(MissingFileError):
                checkpoint.read(killed, "training")  # whole, or not there
        trainings.run(killed)
        assert model(killed) == model(alone)
    print(f"{dict(kills)}; a training alone takes {whole:.1f} s")
