"""A screening on any executor, interrupted or not, gives what one process gives."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial, reduce

import numpy as np
import pandas as pd
import pytest

from pyro_hea import AllowedElements
from pyro_hea.design import Novel, blocks, screen, screening, screening_folder, surrogate
from pyro_hea.design.blocks import Best, Screening
from pyro_hea.design.problem import Problem
from pyro_hea.design.screening_folder import Progress, Question, Shipped
from pyro_hea.design.surrogate import Surrogate
from pyro_hea.errors import CheckpointError, DataError, OutputError
from pyro_hea.executors import Processes

WISH = {"single_phase": 1}
FIVE = (AllowedElements("Al", "Co", "Cr", "Fe", "Ni"), Novel(0))


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(surrogate, "_STEPS", 100)


@pytest.fixture
def ask(vae, monkeypatch, few_steps):
    """Screen a grid of 10 626 compositions in 107 parts, behind a first pass."""
    monkeypatch.setattr(blocks, "BLOCK", 100)
    monkeypatch.setattr(blocks, "_MOST_BLOCKS", 1)
    monkeypatch.setattr(screening, "_SMALL", 1000)
    monkeypatch.setattr(screening, "_SAMPLE", 2000)
    monkeypatch.setattr(screening_folder, "_EVERY", 0)
    monkeypatch.setattr(screening_folder, "_opened", {})
    return partial(screen, vae.ensemble, WISH, FIVE, step=0.05, n=20, progress=False)


@pytest.fixture
def serial(ask):
    return ask()


def assert_same(result, expected):
    pd.testing.assert_frame_equal(result.table, expected.table, check_exact=True)
    assert result.attributes == expected.attributes
    for name, values in expected.idata["posterior"].data_vars.items():
        np.testing.assert_array_equal(result.idata["posterior"][name], values)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_of_parts_are_merged_in_any_order_and_grouping(seed):
    rng = np.random.default_rng(seed)
    fractions = rng.integers(0, 3, (60, 2)) / 2  # some several times
    probability = rng.integers(0, 3, 60) / 4  # some equal
    every = Best(probability, np.arange(60), fractions, 60, 50)
    one_by_one = [
        Best(probability[i : i + 1], np.array([i]), fractions[i : i + 1], 1, int(i < 50))
        for i in rng.permutation(60)
    ]
    groups = [reduce(lambda a, b: a.merged(b, 5), one_by_one[i : i + 7]) for i in range(0, 60, 7)]
    found = reduce(lambda a, b: a.merged(b, 5), groups)
    expected = Best.none(2).merged(every, 5)
    for name in ("probability", "number", "fractions", "screened", "predicted"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert len(found.number) == 5


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 10**7])
def test_parts_are_every_number_once(size):
    cut = list(blocks.parts(size))
    ends = [0, *(stop for _, stop in cut)]
    assert [start for start, _ in cut] == ends[:-1]
    assert ends[-1] == size


class TestExecutor:
    def test_gives_the_same_in_any_order_and_more_than_once(self, ask, serial, shuffled):
        assert_same(ask(executor=shuffled), serial)
        assert shuffled.ran == 107
        assert 0 < serial.attributes["predicted"] < 1

    def test_gives_the_same_of_a_stream(self, vae, shuffled, monkeypatch, few_elements):
        monkeypatch.setattr(blocks, "BLOCK", 20)
        ask = partial(screen, vae.ensemble, WISH, candidates=few_elements.formulas, progress=False)
        assert_same(ask(executor=shuffled), ask())

    def test_reads_the_model_once_in_each_worker(self, ask, shuffled, monkeypatch):
        reads, load = [], screening_folder.load_ensemble
        monkeypatch.setattr(
            screening_folder, "load_ensemble", lambda *how: reads.append(how) or load(*how)
        )
        ask(executor=shuffled)
        assert len(reads) == 1

    def test_processes_give_the_same_to_the_byte(self, vae):
        ask = partial(screen, vae.ensemble, WISH, FIVE, step=0.05, progress=False)
        with Processes(1) as executor:
            assert_same(ask(executor=executor), ask())


class TestShipped:
    @pytest.fixture
    def shipped(self, vae, tmp_path, monkeypatch, few_steps):
        monkeypatch.setattr(screening_folder, "_opened", {})
        question = Question(WISH, FIVE, {"step": 0.1}, 5, 0, False)
        problem = question.problem(vae.ensemble)
        sample = Screening(problem, None, 5).numbered(np.arange(1000))
        fitted = Surrogate.fit(problem, sample, 0)
        return Shipped.written(Screening(problem, fitted, 5), question, tmp_path), fitted

    def test_what_a_worker_reads_says_the_same(self, vae, shipped):
        shipped, fitted = shipped
        read = shipped.opened()
        x = read.numbered(np.arange(1001))
        problem = Problem.of(vae.ensemble, WISH, FIVE, step=0.1)
        np.testing.assert_array_equal(read.problem.probability(x), problem.probability(x))
        np.testing.assert_array_equal(read.surrogate.promising(x), fitted.promising(x))
        learnt = (fitted.threshold, fitted.recall)
        assert (read.surrogate.threshold, read.surrogate.recall) == learnt
        assert shipped.opened() is read

    def test_a_worker_that_does_not_see_the_folder_says_so(self, shipped):
        elsewhere = replace(shipped[0], folder="/nowhere")
        with pytest.raises(CheckpointError, match="All workers have to see one folder"):
            elsewhere.opened()

    def test_another_model_in_the_folder_is_found_out(self, shipped, many):
        shipped, _ = shipped
        many.save(shipped.folder)
        with pytest.raises(CheckpointError, match="is not the one that was asked"):
            shipped.opened()


class TestCheckpoint:
    def test_goes_on_where_it_was(self, ask, serial, tmp_path, monkeypatch):
        calls, add = [], Progress.add

        def counted(self, part, best):
            add(self, part, best)
            calls.append(part)
            if len(calls) == 40:
                raise KeyboardInterrupt

        monkeypatch.setattr(Progress, "add", counted)
        with pytest.raises(KeyboardInterrupt):
            ask(checkpoint=tmp_path)
        assert_same(ask(checkpoint=tmp_path), serial)
        assert calls == list(range(107))
        assert_same(ask(checkpoint=tmp_path), serial)
        assert len(calls) == 107

    def test_goes_on_with_an_executor_whatever_the_order(self, ask, serial, tmp_path, shuffled):
        with pytest.MonkeyPatch.context() as patch:
            add = Progress.add

            def stopping(self, part, best):
                add(self, part, best)
                if len(self._others) + self._below == 40:
                    raise KeyboardInterrupt

            patch.setattr(Progress, "add", stopping)
            with pytest.raises(KeyboardInterrupt):
                ask(checkpoint=tmp_path, executor=shuffled)
        (file,) = tmp_path.glob("*/progress.json")
        content = json.loads(file.read_text())
        assert content["below"] + len(content["others"]) == 40
        before = shuffled.ran
        assert_same(ask(checkpoint=tmp_path, executor=shuffled), serial)
        assert shuffled.ran - before <= 107 - 40

    def test_another_question_has_a_folder_of_its_own(self, ask, tmp_path):
        ask(checkpoint=tmp_path)
        assert len(ask(checkpoint=tmp_path, n=3)) == 3
        assert len(list(tmp_path.iterdir())) == 2

    def test_one_process_at_a_time(self, ask, tmp_path, monkeypatch):
        add = Progress.add

        def asked_meanwhile(self, part, best):
            add(self, part, best)
            with pytest.raises(OutputError, match="is writing there"):
                ask(checkpoint=tmp_path)
            monkeypatch.setattr(Progress, "add", add)

        monkeypatch.setattr(Progress, "add", asked_meanwhile)
        ask(checkpoint=tmp_path)

    def test_damaged_progress_is_named(self, ask, tmp_path):
        ask(checkpoint=tmp_path)
        (file,) = tmp_path.glob("*/progress.json")
        file.write_text("{}")
        with pytest.raises(CheckpointError, match=r"progress\.json' is no progress of a screening"):
            ask(checkpoint=tmp_path)

    def test_a_stream_has_none(self, ask, tmp_path):
        with pytest.raises(DataError, match="screen them in several calls"):
            ask(candidates=["CoNi"], checkpoint=tmp_path)


SCREENING = """
import sys
from functools import partial
from pyro_hea import AllowedElements, DisentangledVAE
from pyro_hea.design import Novel, blocks, screening_folder

blocks.BLOCK, screening_folder._EVERY = 100, 0
vae = DisentangledVAE.load(sys.argv[1])
five = [AllowedElements("Al", "Co", "Cr", "Fe", "Ni"), Novel(0)]
vae.screen({"single_phase": 1}, five, step=0.02, progress=False, checkpoint=sys.argv[2])
"""


@pytest.mark.slow
def test_a_client_that_is_killed_goes_on_when_it_is_started_again(vae, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 100)
    vae.save(tmp_path / "model")
    kept = tmp_path / "kept"
    command = [sys.executable, "-c", SCREENING, str(tmp_path / "model"), str(kept)]
    with subprocess.Popen(command) as client:
        while not list(kept.glob("*/progress.json")):
            assert client.poll() is None
            time.sleep(0.01)
        time.sleep(0.2)
        client.kill()
    (file,) = kept.glob("*/progress.json")
    before = json.loads(file.read_text())["screened"]
    ask = partial(screen, vae.ensemble, WISH, FIVE, step=0.02, progress=False)
    parts, best_of_grid = [], screening.best_of_grid
    monkeypatch.setattr(
        screening, "best_of_grid", lambda *part: parts.append(part) or best_of_grid(*part)
    )
    found = ask(checkpoint=kept)
    assert 0 < before < found.attributes["candidates"]
    assert sum(stop - start for _, start, stop in parts) == found.attributes["candidates"] - before
    assert_same(found, ask())


@pytest.mark.slow
def test_dask_screens_to_the_byte_also_when_a_worker_is_killed(vae, tmp_path):
    distributed = pytest.importorskip("distributed")
    ask = partial(screen, vae.ensemble, WISH, FIVE, step=0.02, progress=False)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path)
    )
    with cluster, distributed.Client(cluster) as client:
        executor = client.get_executor()
        serial = ask(exhaustive=True)
        assert_same(ask(exhaustive=True, executor=executor), serial)
        (first, *_) = client.run(os.getpid).values()
        threading.Timer(0.5, os.kill, (first, signal.SIGKILL)).start()
        assert_same(ask(exhaustive=True, executor=executor), serial)
        assert first not in client.run(os.getpid).values()
