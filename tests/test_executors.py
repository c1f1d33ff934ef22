"""Each task gives one result, whatever becomes of the workers that run it."""

import itertools
import os
import time
from collections import Counter
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest

from pyro_hea.errors import ExecutorError
from pyro_hea.executors import Processes, local_processes, run_tasks


class Losing(Executor):
    """Runs a task at once; the first runs of some tasks end the worker, which is replaced."""

    def __init__(self, losses):
        self.losses, self.runs = Counter(losses), Counter()

    def submit(self, task):
        key, future = task.args, Future()
        self.runs[key] += 1
        if self.runs[key] <= self.losses[key]:
            future.set_exception(BrokenExecutor())
        else:
            future.set_result(task())
        return future


def squares(*numbers):
    return [(x, partial(pow, x, 2)) for x in numbers]


def test_without_an_executor_tasks_are_run_in_order_and_as_they_are_asked_for():
    endless = ((x, partial(pow, x, 2)) for x in itertools.count())
    assert list(itertools.islice(run_tasks(endless), 3)) == [(0, 0), (1, 1), (2, 4)]


def test_an_executor_that_runs_tasks_twice_and_in_any_order_gives_each_result_once(shuffled):
    found = list(run_tasks(squares(*range(50)), shuffled))
    assert sorted(found) == [(x, x**2) for x in range(50)]
    assert found != sorted(found)


def test_so_many_tasks_wait_at_a_time(shuffled):
    taken = []
    tasks = ((x, partial(pow, x, 2)) for x in range(50) if not taken.append(x))
    for finished, _ in enumerate(run_tasks(tasks, shuffled, at_once=4), 1):
        assert len(taken) - finished < 4


def test_lost_tasks_are_run_again():
    executor = Losing({(1, 2): 1, (2, 2): 2})
    found = dict(run_tasks(squares(1, 2, 3), executor))
    assert found == {1: 1, 2: 4, 3: 9}
    assert executor.runs == {(1, 2): 2, (2, 2): 3, (3, 2): 1}


def test_a_task_that_ends_its_worker_each_time_is_named():
    tasks = squares(1, 2, 3)
    with pytest.raises(ExecutorError, match="task 2 ended its worker three times"):
        list(run_tasks(tasks, Losing({(2, 2): 9})))
    found = dict(run_tasks(tasks, Losing({(2, 2): 9}), ended=lambda key: f"no {key}"))
    assert found == {1: 1, 2: "no 2", 3: 9}


def test_an_error_of_a_task_is_raised_and_the_others_are_cancelled(shuffled):
    tasks = [(0, partial(pow, 0, -1)), *((x, partial(time.sleep, 0.01)) for x in range(1, 500))]
    with pytest.raises(ZeroDivisionError):
        list(run_tasks(tasks, shuffled))
    assert shuffled.ran < 500


ONCE = """
import os, pathlib
try:
    pathlib.Path({!r}).touch(exist_ok=False)
    os._exit(1)
except FileExistsError:
    pass
"""


def test_a_process_that_ends_is_replaced(tmp_path):
    ending = partial(exec, ONCE.format(str(tmp_path / "ended")))
    with Processes(1) as executor:
        found = dict(run_tasks([("ends once", ending), *squares(1, 2)], executor))
    assert found == {"ends once": None, 1: 1, 2: 4}


def test_a_pool_that_takes_no_more_tasks_says_what_to_do():
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with pool, pytest.raises(ExecutorError, match=r"ProcessPoolExecutor ended.*Processes repl"):
        list(run_tasks([("ends", partial(os._exit, 1))], pool))


def test_one_job_needs_no_process():
    with local_processes(1) as executor:
        assert executor is None
