import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from small import SMALL, quaternaries

if TYPE_CHECKING:
    from pyro_hea import AlloyDataset, DisentangledVAE


def pytest_collection_finish() -> None:
    """Keep what was collected, thousands of tests, out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return Path(__file__).resolve().parents[1]


@pytest.fixture
def numpy_state() -> Callable[[], list[int]]:
    """Gives NumPy's global random state, which the library has to leave alone."""
    import numpy as np

    return lambda: np.random.get_bit_generator().state["state"]["key"].tolist()


@pytest.fixture(scope="session")
def alloys() -> "AlloyDataset":
    """Sixty alloys of fourteen elements, all of them labelled; what explanations are tested on."""
    import numpy as np
    import pandas as pd

    from pyro_hea import AlloyDataset
    from pyro_hea.materials.alloys.composition import fraction_table

    elements = ["Ag", "Al", "Au", "Co", "Cr", "Cu", "Fe", "Mo", "Nb", "Ni", "Pd", "Pt", "Ta", "W"]
    fractions = fraction_table(quaternaries(60, np.random.default_rng(0), elements), elements)
    value = (fractions[["Al", "W", "Nb"]].sum(axis=1) < 0.2).to_numpy(float)
    reports = pd.DataFrame({"formula": fractions.index, "target": "single_phase", "value": value})
    return AlloyDataset.from_reports(fractions, reports, ["single_phase"])


@pytest.fixture(scope="session")
def vae(alloys: "AlloyDataset") -> "DisentangledVAE":
    """Three small members trained on them."""
    from pyro_hea import DisentangledVAE, ModelSpec

    spec = ModelSpec.from_mapping(SMALL)
    return DisentangledVAE(spec).fit(alloys, seed=0, progress=False)


@pytest.fixture(scope="session")
def vae_at_conditions() -> "DisentangledVAE":
    """A model that is not to be changed; see `model_at_conditions`."""
    from at_conditions import model_at_conditions

    return model_at_conditions()


@pytest.fixture(scope="session")
def alloys_of_kinds(alloys: "AlloyDataset") -> "AlloyDataset":
    """The same alloys with a phase and a hardness beside the binary label."""
    import pandas as pd

    from pyro_hea import AlloyDataset

    single = alloys.labels["single_phase"]
    heavy = alloys.features["melting_temperature"] > 1900
    phase = heavy.map({True: "bcc", False: "fcc"}).where(single == 1, "several")
    hardness = (0.3 * alloys.features["bulk_modulus"] + 100 * heavy).iloc[:40]
    columns = {"single_phase": single, "phase": phase, "hardness": hardness}
    reports = pd.concat(
        [
            pd.DataFrame({"formula": column.index, "target": name, "value": column.to_numpy()})
            for name, column in columns.items()
        ]
    )
    return AlloyDataset.from_reports(alloys.fractions, reports, list(columns))


@pytest.fixture(scope="session")
def vae_of_kinds(alloys_of_kinds: "AlloyDataset") -> "DisentangledVAE":
    """Two small members with a binary target, classes that are given it, and a number."""
    from pyro_hea import DisentangledVAE, ModelSpec

    log_hardness = {"dist": "Normal", "loc": 5.0, "scale": 1.0}
    targets = [
        {"name": "single_phase"},
        {
            "kind": "categorical",
            "name": "phase",
            "classes": ["fcc", "bcc", "several"],
            "given": ["single_phase"],
        },
        {"kind": "continuous", "name": "hardness", "unit": "HV", "prior": log_hardness},
    ]
    training = {
        "distillation": {"trees": 20, "synthetic_alloys": 2000, "steps": 100},
        "members": 2,
        "epochs": 40,
        "batch_size": 32,
    }
    spec = ModelSpec.from_mapping(SMALL | {"targets": targets, "training": training})
    return DisentangledVAE(spec).fit(alloys_of_kinds, seed=0, progress=False)


@pytest.fixture(scope="module")
def few_trees() -> Iterator[None]:
    """Few trees read the label from the latent."""
    from sklearn.ensemble import ExtraTreesClassifier

    with pytest.MonkeyPatch.context() as patch:
        measure = "pyro_hea.evaluate.measures.latent.ExtraTreesClassifier"
        patch.setattr(measure, lambda trees, **how: ExtraTreesClassifier(10, **how))
        yield


@pytest.fixture(scope="module")
def few_teacher_trees() -> Iterator[None]:
    """Few trees teach the heads of a model of crystals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyro_hea.inference.head_teacher._TREES", 10)
        yield


class Shuffled(Executor):
    """Runs tasks in a thread, in random order, each of them twice."""

    def __init__(self) -> None:
        self.ran = 0
        self._tasks: list[tuple[Future, Callable[[], object]]] = []
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        with self._changed:
            self._tasks.append((future, partial(fn, *args, **kwargs)))
            self._changed.notify()
        return future

    def _run(self) -> None:
        draw = Random(0)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tasks or not self._open)
                if not self._tasks:
                    return
                future, task = self._tasks.pop(draw.randrange(len(self._tasks)))
            if future.set_running_or_notify_cancel():
                self.ran += 1
                try:
                    task()
                    future.set_result(task())
                except Exception as error:
                    future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()


@pytest.fixture
def shuffled() -> Iterator[Shuffled]:
    """An executor that makes the most of what executors may do."""
    with Shuffled() as executor:
        yield executor


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def _global_state_unchanged() -> Iterator[None]:
    """Fail the test that leaves the globals of torch, pyro or matplotlib changed.

    Only what is imported already is looked at; everything is put back for the next test.
    """
    torch, pyro, mpl = (sys.modules.get(name) for name in ("torch", "pyro", "matplotlib"))
    dtype = torch.get_default_dtype() if torch else None
    settings = pyro.settings.get() if pyro else None
    rc = _rc_params(mpl) if mpl else None

    yield

    changed = []
    if torch and torch.get_default_dtype() != dtype:
        changed.append(f"torch's default dtype is {torch.get_default_dtype()}, was {dtype}")
        torch.set_default_dtype(dtype)
    if pyro and pyro.settings.get() != settings:
        changed.append(f"pyro's settings are {pyro.settings.get()}, were {settings}")
        pyro.settings.set(**settings)
    if mpl and _rc_params(mpl) != rc:
        now = _rc_params(mpl)
        changed.append(f"matplotlib's rcParams {[k for k in now if now[k] != rc[k]]} changed")
        mpl.rcParams.update(rc)
    if (pyro := sys.modules.get("pyro")) and (names := list(pyro.get_param_store())):
        changed.append(f"pyro's parameter store holds {names}")
        pyro.clear_param_store()
    assert not changed, "; ".join(changed)


def _rc_params(mpl) -> dict[str, object]:
    # `backend` is settled by the first figure, which is no change of ours.
    return {key: value for key, value in mpl.rcParams.copy().items() if key != "backend"}
