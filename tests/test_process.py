"""One fitted model in several threads, processes and settings of torch."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from small import small_spec

from pyro_hea import DisentangledVAE
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
    "design": lambda vae: vae.design({"single_phase": 1}, n=2).table,
}


def values(answer) -> np.ndarray:
    if isinstance(answer, pd.DataFrame):
        return answer.select_dtypes("number").to_numpy()
    return answer.to_numpy()


@pytest.fixture(scope="module")
def alone(vae):
    return {name: values(call(vae)) for name, call in CALLS.items()}


@pytest.mark.filterwarnings("ignore::pyro_hea.errors.PyroHEAWarning")
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
