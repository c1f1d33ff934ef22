"""Energies are paid for once, kept, resumed, and their failures named."""

import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from pyro_hea.disorder import ASEEngine, square_lattice
from pyro_hea.disorder.energies import Energies
from pyro_hea.disorder.lattices import alloy_sites
from pyro_hea.disorder.store import EnergyStore, content_key
from pyro_hea.errors import EngineError, EngineWarning, OutputError, UnknownElementError
from pyro_hea.executors import Processes

SITES = square_lattice(3)


@dataclass(eq=False)
class Counting:
    """The number of B; fails, or ends the process, at some numbers of them."""

    fails: tuple[int, ...] = ()
    nan: tuple[int, ...] = ()
    calls: list[int] = field(default_factory=list)
    key = "counting"
    elements = None

    def energies(self, configurations):
        number = int(configurations.occupations.sum())
        self.calls.append(number)
        if number in self.fails:
            raise ValueError("no convergence")
        return np.array([np.nan if number in self.nan else float(number)])


def of(engine, file=None, budget=100, executor=None):
    return Energies(engine, SITES, ("A", "B"), budget, EnergyStore(file), executor)


def rows(*counts):
    return (np.arange(9) < np.array(counts)[:, None]).astype(np.int8)


def test_equal_configurations_are_paid_for_once():
    engine = Counting()
    energies = of(engine)
    x = rows(1, 4)
    shifted = x[:, SITES.permutations[5]]
    assert energies(np.vstack([x, shifted, x])).tolist() == [1, 4, 1, 4, 1, 4]
    assert (engine.calls, energies.used, energies.left) == ([1, 4], 2, 98)


def test_a_relaxation_that_does_not_end_is_kept_aside():
    x = (np.arange(32) < np.array([[0], [16]])).astype(np.int8)
    sites = alloy_sites("fcc", 3.59, (2, 2, 2))
    energies = Energies(ASEEngine("emt", steps=1), sites, ("Cu", "Pd"), 9)
    with pytest.warns(EngineWarning, match=r"Cu16Pd16 \(RuntimeError: not relaxed after 1 steps"):
        found = energies(x)
    assert np.isfinite(found).tolist() == [True, False]  # copper has no forces to relax


def test_an_executor_gives_the_same_energies(shuffled):
    engine = Counting(fails=(3,))
    with pytest.warns(EngineWarning, match="A6B3"):
        found = of(engine, executor=shuffled)(rows(1, 2, 3, 4))
    np.testing.assert_array_equal(found, [1, 2, np.nan, 4])
    assert shuffled.ran == 4


def test_a_budget_is_kept():
    energies = of(Counting(), budget=2)
    assert energies.within_budget(rows(1, 1, 2, 3), 5) == 3
    with pytest.raises(EngineError, match="3 more energies exceed the budget of 2"):
        energies(rows(1, 2, 3))
    assert energies.used == 0


class TestKept:
    def test_another_run_pays_for_none_again(self, tmp_path):
        file = tmp_path / "new" / "e.sqlite"
        of(Counting(), file)(rows(1, 2))
        engine = Counting()
        again = of(engine, file)
        assert again(rows(1, 2, 3)).tolist() == [1, 2, 3]
        assert (engine.calls, again.paid, again.used) == ([3], 1, 3)

    def test_what_was_known_when_a_run_ended_is_kept(self, tmp_path):
        class Ended(Counting):
            def energies(self, configurations):
                if len(self.calls) == 2:
                    raise KeyboardInterrupt
                return super().energies(configurations)

        with pytest.raises(KeyboardInterrupt):
            of(Ended(), tmp_path / "e")(rows(1, 2, 3, 4))
        engine = Counting()
        assert of(engine, tmp_path / "e")(rows(1, 2, 3, 4)).tolist() == [1, 2, 3, 4]
        assert engine.calls == [3, 4]

    def test_failures_are_kept_too(self, tmp_path):
        with pytest.warns(EngineWarning, match="no convergence"):
            of(Counting(fails=(2,)), tmp_path / "e")(rows(1, 2, 3))
        engine = Counting()
        with pytest.warns(EngineWarning, match="no convergence"):
            again = of(engine, tmp_path / "e")(rows(1, 2, 3))
        assert engine.calls == []
        assert np.isnan(again).tolist() == [False, True, False]

    def test_other_engines_sites_and_species_have_energies_of_their_own(self, tmp_path):
        of(Counting(), tmp_path / "e")(rows(1))
        others = [Counting(), Counting()]
        others[0].key = "counting, version 2"
        of(others[0], tmp_path / "e")(rows(1))
        store = EnergyStore(tmp_path / "e")
        Energies(others[1], SITES, ("A", "C"), 100, store)(rows(1))
        assert [len(other.calls) for other in others] == [1, 1]

    def test_a_file_of_something_else(self, tmp_path):
        (tmp_path / "e").write_text("no database of energies at all" * 20)
        with pytest.raises(OutputError, match=r"cannot use the energies in .* Name another file"):
            EnergyStore(tmp_path / "e")

    @pytest.mark.parametrize("energy", ["<b>", b"x", float("inf"), None])
    def test_what_is_no_energy_in_the_file_of_a_stranger(self, tmp_path, energy):
        store = EnergyStore(tmp_path / "e")
        with closing(sqlite3.connect(tmp_path / "e")) as database, database:
            database.execute("INSERT INTO energies VALUES ('a', ?, NULL)", [energy])
        with pytest.raises(OutputError, match=r"where an energy in eV is meant"):
            store.read(["a"])

    def test_a_table_of_other_columns(self, tmp_path):
        with closing(sqlite3.connect(tmp_path / "e")) as database, database:
            database.execute("CREATE TABLE energies (key TEXT, value REAL)")
        with pytest.raises(OutputError, match=r"cannot use the energies .* no such column"):
            EnergyStore(tmp_path / "e").read(["a"])

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match=r"cannot write .*file/e"):
            EnergyStore(tmp_path / "file" / "e")

    def test_many_keys_are_read_at_once(self, tmp_path):
        store = EnergyStore(tmp_path / "e")
        for i in range(3):
            store.write(content_key(str(i)), float(i), None)
        found = store.read([content_key(str(i)) for i in range(1200)])
        assert sorted(energy for energy, _ in found.values()) == [0, 1, 2]


class TestFailures:
    @pytest.mark.parametrize(
        ("how", "why"),
        [({"fails": (2,)}, "ValueError: no convergence"), ({"nan": (2,)}, "energy nan")],
    )
    def test_are_kept_aside_counted_and_named(self, how, why):
        energies = of(Counting(**how))
        message = rf"no energy of 1 of 3 configurations, which are left out: A7B2 \({why}\)"
        with pytest.warns(EngineWarning, match=message):
            found = energies(rows(1, 2, 3))
        assert np.isnan(found).tolist() == [False, True, False]
        assert list(energies.failures.values()) == [why]

    def test_half_of_them_are_too_many(self):
        with pytest.raises(EngineError, match=r"no energy of 2 of 4 .* A7B2 .*, A6B3"):
            of(Counting(fails=(2, 3)))(rows(1, 2, 3, 4))

    def test_of_a_run_that_they_end_are_tried_anew_and_named_in_full(self, tmp_path):
        why = "ValueError: no convergence"
        with pytest.raises(EngineError, match=rf"A7B2 \({why}\), A6B3 \({why}\)\. Mend the"):
            of(Counting(fails=(2, 3)), tmp_path / "e")(rows(1, 2, 3, 4))
        mended = Counting()
        assert of(mended, tmp_path / "e")(rows(1, 2, 3, 4)).tolist() == [1, 2, 3, 4]
        assert mended.calls == [2, 3]

    def test_errors_of_this_package_are_not_hidden(self):
        class Knowing(Counting):
            def energies(self, configurations):
                raise UnknownElementError("the engine does not know Xx")

        with pytest.raises(UnknownElementError, match="does not know Xx"):
            of(Knowing())(rows(1))


ENDING = """
import os

import numpy as np


class Ending:
    key, elements = "ending", None

    def energies(self, configurations):
        number = int(configurations.occupations.sum())
        if number == 2:
            os._exit(1)
        return np.array([float(number)])
"""


def test_an_engine_that_ends_its_process_is_found_out(tmp_path, monkeypatch):
    (tmp_path / "ending.py").write_text(ENDING)
    monkeypatch.syspath_prepend(tmp_path)
    engine = import_module("ending").Ending()
    why = r"A7B2 \(the engine's process ended\)"
    with Processes(1) as executor, pytest.warns(EngineWarning, match=why):
        found = of(engine, executor=executor)(rows(1, 2, 3))
    np.testing.assert_array_equal(found, [1, np.nan, 3])


@dataclass(eq=False)
class Logged:
    """The number of B, which is written down."""

    log: Path
    key = "logged"
    elements = None

    def energies(self, configurations):
        number = int(configurations.occupations.sum())
        time.sleep(0.02)
        with self.log.open("a") as log:
            print(number, file=log)
        return np.array([float(number)])


@pytest.mark.filterwarnings("ignore:.*is multi-threaded:DeprecationWarning")
def test_a_run_that_is_killed_pays_for_none_twice(tmp_path):
    log = tmp_path / "log"
    x = (np.arange(49) < np.arange(40)[:, None]).astype(np.int8)

    def run():
        store = EnergyStore(tmp_path / "e.sqlite")
        return Energies(Logged(log), square_lattice(7), ("A", "B"), 100, store)(x)

    for wanted in (5, 15):
        process = get_context("fork").Process(target=run)
        process.start()
        while not log.is_file() or len(log.read_text().split()) < wanted:
            time.sleep(0.005)
        process.kill()
        process.join()
    assert run().sum() == sum(range(40))
    paid = Counter(log.read_text().split())
    assert len(paid) == 40
    assert paid.total() <= 40 + 2  # each kill may hit the one that was being written
