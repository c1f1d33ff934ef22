import json
import operator
import os
from functools import partial

import pytest

from pyro_hea import ModelSpec
from pyro_hea.errors import CheckpointError
from pyro_hea.evaluate import Runner


def doubled(number):
    return {"double": 2 * number, "process": os.getpid()}


def failing():
    raise ArithmeticError("this unit fails")


def test_a_finished_unit_is_not_run_again(tmp_path):
    runner = Runner(folder=tmp_path, progress=False)
    first = runner.run({"one": partial(doubled, 1)})
    again = runner.run({"one": failing, "two": partial(doubled, 2)})
    assert again["one"] == first["one"]
    assert again["two"]["double"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "two.json"]


def test_what_was_finished_before_a_failure_is_kept(tmp_path):
    runner = Runner(folder=tmp_path, progress=False)
    with pytest.raises(ArithmeticError):
        runner.run({"one": partial(doubled, 1), "bad": failing})
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_results_of_another_spec_are_not_taken_for_ones_own(tmp_path):
    Runner(folder=tmp_path, progress=False).run({"one": partial(doubled, 1)})
    other = Runner(ModelSpec(training={"members": 3}), folder=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match=r"one\.json' is a result of another spec"):
        other.run({"one": partial(doubled, 1)})


def test_an_executor_gives_the_same_results_in_the_same_order(tmp_path, shuffled):
    tasks = {f"unit{i}": partial(operator.mul, i, 2) for i in range(3)}
    alone = Runner(progress=False).run(tasks)
    runner = Runner(folder=tmp_path, executor=shuffled, progress=False)
    assert list(runner.run(tasks).items()) == list(alone.items())
    assert shuffled.ran == 3
    assert json.loads((tmp_path / "unit2.json").read_text())["result"] == 4


def test_units_that_are_to_be_alone_each_have_a_fresh_process():
    done = Runner(progress=False).run({"one": os.getpid, "two": os.getpid}, alone=True)
    assert len({os.getpid(), *done.values()}) == 3
