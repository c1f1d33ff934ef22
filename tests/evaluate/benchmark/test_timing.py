import numpy as np
import pandas as pd
import pytest
from small import small_spec

from pyro_hea.evaluate import Runner, benchmark
from pyro_hea.evaluate.benchmark import timing

SPEC = small_spec(training__epochs=10)


@pytest.mark.parametrize("elements", [10, 70])
def test_synthetic_alloys_are_compositions_of_two_to_six_elements(elements):
    alloys = timing.synthetic_alloys(2000, elements)
    assert len(alloys.elements) == elements
    assert np.allclose(alloys.fractions.sum(axis=1), 1)
    assert set(alloys.number_of_elements) == set(range(2, 7))
    assert (alloys.fractions > 0).any().all()
    assert alloys.labels["single_phase"].notna().sum() == 1000
    with pytest.raises(ValueError, match="not 500"):
        timing.synthetic_alloys(5, 500)


def test_exponents_are_those_of_a_power_law():
    rows = {"size": [10, 100, 1000]}
    rows |= {"prepare (s)": [1, 1, 1], "epoch (s)": [1, 10, 100], "memory (MiB)": [1, 9, 90_000]}
    found = timing._exponents(pd.DataFrame(rows))
    assert found == pytest.approx({"prepare (s)": 0, "epoch (s)": 1, "memory (MiB)": 4})


@pytest.mark.slow
def test_a_small_run_times_everything(tmp_path, monkeypatch):
    def here(_, tasks, *, alone=False):
        """A process for each unit, as `test_units` has it, would mostly import."""
        return {name: unit() for name, unit in tasks.items()}

    monkeypatch.setattr(Runner, "run", here)
    monkeypatch.setattr(timing, "REPEATS", 1)
    monkeypatch.setattr(timing, "_MANY", 2000)
    monkeypatch.setattr(timing, "_COMPARED", (1,))
    monkeypatch.setattr(timing, "GROWTH", {"alloys": (200, 400), "members": (1, 2)})
    monkeypatch.setattr(timing, "_START", {"alloys": 200, "members": 1, "elements": 30})
    monkeypatch.setattr(timing, "_SCREENED", {"few": ("Al", "Co", "Cr", "Ni")})
    result = benchmark.speed(Runner(SPEC, tmp_path, "cpu", progress=False), 1)
    done = result.content["results"]
    assert set(done) == {
        "speed-commands",
        "speed-train1-seed0",
        "speed-train8-seed0",
        "speed-answers",
        "speed-screen-few",
        "speed-workers1",
        "speed-workers2",
        "speed-profile1",
        "speed-profile8",
        "speed-targets1",
        "speed-alloys200",
        "speed-alloys400",
        "speed-members1",
        "speed-members2",
    }
    numbers = [value for unit in done.values() for value in unit.values()]
    assert np.isfinite(numbers).all()
    assert done["speed-train8-seed0"]["peak (MiB)"] > 0
    screened = done["speed-screen-few"]
    assert screened["compositions"] == 1771
    assert screened["recall of the best percent"] == 1
    assert 0.9 < screened["shown to the ensemble"] < 1  # all but those that are known alloys
    assert len(result.figure.axes) == 4
