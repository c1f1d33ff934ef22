"""One fitted model in several threads, processes and settings of torch."""

import copy
import locale
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from operator import methodcaller

import joblib
import matplotlib
import numpy as np
import pandas as pd
import pyro
import pytest
import torch
from small import ATLAS, CRYSTALS, small_spec

from pyro_hea import (
    Atlas,
    AtlasSpec,
    CrystalSpec,
    CrystalVAE,
    DisentangledVAE,
    explain,
    load_crystals,
    plots,
)
from pyro_hea.disorder import (
    IsingEngine,
    SamplerSettings,
    System,
    partition_function,
    square_lattice,
)
from pyro_hea.errors import TorchSettingsError

ALLOYS = ["Ag20Al20Au20Co40", "Cr20Cu20Fe20Ni40", "Mo25Nb25Ta25W25"]
CALLS = {
    "predict": lambda vae: vae.predict(ALLOYS),
    "encode": lambda vae: vae.encode(ALLOYS),
    "posterior": lambda vae: vae.posterior(ALLOYS, draws=3).posterior["z"],
    "importance": lambda vae: vae.posterior(ALLOYS, draws=3, method="importance").posterior["z"],
    "prior_predictive": lambda vae: vae.prior_predictive(5)["prior"]["z"],
    "guide_table": lambda vae: vae.guide_table(ALLOYS, draws=50),
    "prior_table": lambda vae: vae.prior_table(),
    "label_evidence": lambda vae: vae.label_evidence(ALLOYS),
    "reconstruct": lambda vae: vae.reconstruct(ALLOYS),
    "design": lambda vae: vae.design({"single_phase": 1}, n=2, min_probability=0).table,
    "element_moves": lambda vae: explain.element_moves(vae, ALLOYS[0]),
}


def values(answer) -> np.ndarray:
    if isinstance(answer, pd.DataFrame):
        return answer.select_dtypes("number").to_numpy()
    return answer.to_numpy()


@pytest.fixture(scope="module")
def alone(vae):
    return {name: values(call(vae)) for name, call in CALLS.items()}


class TestOneModel:
    def test_gives_eight_threads_what_it_gives_one(self, vae, alone):
        state = torch.get_rng_state()
        names = [*CALLS] * 2
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda name: values(CALLS[name](vae)), names))
        for name, answer in zip(names, answers, strict=True):
            np.testing.assert_array_equal(answer, alone[name], err_msg=name)
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize("name", CALLS)
    def test_answers_alike_in_inference_mode(self, vae, alone, name):
        with torch.inference_mode():
            answer = values(CALLS[name](vae))
        np.testing.assert_allclose(answer, alone[name], rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("name", CALLS)
    def test_refuses_another_default_dtype(self, vae, name):
        torch.set_default_dtype(torch.float64)
        try:
            with pytest.raises(TorchSettingsError, match=r"set_default_dtype\(torch.float32\)"):
                CALLS[name](vae)
        finally:
            torch.set_default_dtype(torch.float32)

    @pytest.mark.parametrize("name", CALLS)
    def test_refuses_another_default_device(self, vae, name):
        with (
            torch.device("meta"),
            pytest.raises(TorchSettingsError, match="torch's default device is 'meta'"),
        ):
            CALLS[name](vae)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_answers_in_a_forked_process_while_a_thread_holds_the_lock(self, vae, alone):
        from pyro_hea.devices import exclusive

        reader, writer = os.pipe()

        def fork() -> int:
            child = os.fork()
            if child:
                return child
            try:
                os.write(writer, pickle.dumps(values(CALLS["predict"](vae))))
                with exclusive():  # which the parent holds
                    os.write(writer, b"!")
            finally:
                os._exit(0)

        with ThreadPoolExecutor(1) as pool, exclusive():
            os.waitpid(pool.submit(fork).result(timeout=60), 0)
        os.close(writer)
        with open(reader, "rb") as file:
            answer = file.read()
        assert answer.endswith(b"!")
        np.testing.assert_array_equal(pickle.loads(answer[:-1]), alone["predict"])


def test_models_are_trained_side_by_side_as_one_after_the_other(alloys):
    few = {"trees": 4, "synthetic_alloys": 50, "steps": 10}
    spec = small_spec(4, training__epochs=6, training__distillation=few)

    def trained(seed):
        vae = DisentangledVAE(spec).fit(alloys, seed=seed, device="cpu", progress=False)
        return vae.ensemble.model.state_dict()

    one_by_one = [trained(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(trained, range(3)))
    with torch.inference_mode():
        inferred = trained(0)
    for first, second in zip([*one_by_one, one_by_one[0]], [*together, inferred], strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_refuses_settings_of_torch_that_it_cannot_train_under(alloys):
    vae = DisentangledVAE()
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(TorchSettingsError, match=r"default dtype is torch\.float64"):
            vae.fit(alloys, progress=False)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"), pytest.raises(TorchSettingsError, match="default device"):
        vae.fit(alloys, progress=False)


class TestCopies:
    @pytest.mark.parametrize("tool", ["pickle", "copy", "joblib", "cloudpickle"])
    def test_answer_alike(self, vae, alone, tool, tmp_path):
        if tool == "copy":
            again = copy.deepcopy(vae)
        elif tool == "joblib":
            joblib.dump(vae, tmp_path / "vae")
            again = joblib.load(tmp_path / "vae")
        else:
            again = pickle.loads(pytest.importorskip(tool).dumps(vae))
        for name in ("predict", "encode"):
            np.testing.assert_array_equal(values(CALLS[name](again)), alone[name])

    def test_answer_alike_in_a_spawned_process(self, vae, alone):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            answer = pool.submit(methodcaller("predict", ALLOYS), vae).result(timeout=120)
        np.testing.assert_array_equal(values(answer), alone["predict"])


ELSEWHERE = """
import locale, sys
from contextlib import suppress
with suppress(locale.Error):
    locale.setlocale(locale.LC_ALL, "")
from pyro_hea import DisentangledVAE
table = DisentangledVAE.load(sys.argv[1]).predict(sys.argv[2:])
table.to_csv(sys.stdout, lineterminator="\\n")
"""


def test_answers_depend_on_no_locale_no_hash_seed_and_no_folder(vae, tmp_path):
    vae.save(tmp_path / "a model é")
    command = [sys.executable, "-c", ELSEWHERE, tmp_path / "a model é", *ALLOYS]
    found = set()
    for language, seed, folder in [("C", "0", "/"), ("tr_TR.UTF-8", "1", tmp_path)]:
        settings = {"LC_ALL": language, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=folder, env=os.environ | settings, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


def state_of_the_process():
    """What a library has no business to change."""
    rng = np.random.get_bit_generator().state["state"]
    return {
        "numpy": (rng["key"].tolist(), rng["pos"]),
        "torch": torch.get_rng_state().tolist(),
        "random": random.getstate(),
        "warnings": list(warnings.filters),
        "rcParams": dict(matplotlib.rcParams),
        "torch settings": (
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.get_num_threads(),
            torch.distributions.Distribution._validate_args,
        ),
        "pyro": (list(pyro.get_param_store().keys()), list(pyro.poutine.runtime._PYRO_STACK)),
        "locale": locale.setlocale(locale.LC_ALL),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }


@pytest.mark.parametrize("name", [*CALLS, "explain", "plot"])
def test_the_process_is_left_as_it_was(vae, alloys, name):
    before = state_of_the_process()
    if name == "explain":
        explain.attribute(vae, ALLOYS[:1], background=alloys.take(range(8)))
    elif name == "plot":
        plots.predictions_forest(vae.predict(ALLOYS), "single_phase")
    else:
        CALLS[name](vae)
    after = state_of_the_process()
    assert {key for key in before if before[key] != after[key]} == set()


@pytest.fixture(scope="module")
def answers():
    spec = CrystalSpec.from_mapping(CRYSTALS)
    crystals = load_crystals().take(slice(0, 200)).of_size(6)
    vae = CrystalVAE(spec).fit(crystals, progress=False)
    charts = AtlasSpec.from_mapping(ATLAS)
    x = np.linspace(-1, 1, 60)
    points = np.c_[x, x**2]
    atlas = Atlas(charts).fit(points, progress=False)

    def fitted():
        return Atlas(charts).fit(points, progress=False).project(points[:3])

    def trained():
        return values(CrystalVAE(spec).fit(crystals, progress=False).predict(crystals.take([0])))

    def disordered():
        ising = System(square_lattice(4), {"up": 1, "down": 1}, IsingEngine(), fixed=False)
        sampler = SamplerSettings(steps=10, pool=500, draws=32, chains=50, sweeps=5)
        return values(partition_function(ising, [5.0], budget=100, sampler=sampler).table)

    return {
        "disorder": disordered,
        "crystals": lambda: values(vae.predict(crystals.take([0]))),
        "crystals, trained": trained,
        "atlas": lambda: atlas.project(points[:3]),
        "atlas, fitted": fitted,
        "atlas, descent": lambda: atlas.minimize(lambda x: x[:, 0], points[:2], steps=3).points,
    }


class TestOtherModels:
    """Crystals and atlases, under the same settings."""

    def test_answer_in_inference_mode_and_refuse_other_settings(self, answers):
        for name, ask in answers.items():
            alone = ask()
            with torch.inference_mode():
                np.testing.assert_allclose(ask(), alone, rtol=1e-5, atol=1e-6, err_msg=name)
            torch.set_default_dtype(torch.float64)
            try:
                with pytest.raises(TorchSettingsError, match="default dtype"):
                    ask()
            finally:
                torch.set_default_dtype(torch.float32)
            with torch.device("meta"), pytest.raises(TorchSettingsError, match="default device"):
                ask()

    def test_give_threads_what_they_give_one(self, answers):
        names = ["crystals", "atlas", "atlas, descent", "disorder"] * 4
        alone = {name: answers[name]() for name in names}
        state = torch.get_rng_state()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda name: answers[name](), names))
        for name, answer in zip(names, found, strict=True):
            np.testing.assert_array_equal(answer, alone[name], err_msg=name)
        assert torch.equal(torch.get_rng_state(), state)
