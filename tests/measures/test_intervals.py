import numpy as np
import pytest

from pyro_hea.errors import DataError
from pyro_hea.evaluate.measures import bootstrap_interval, paired_difference


def test_the_interval_of_many_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(5, 2, 400)
    interval = bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert interval["mean"] == pytest.approx(values.mean())
    assert interval["low"] == pytest.approx(values.mean() - half, abs=0.02)
    assert interval["high"] == pytest.approx(values.mean() + half, abs=0.02)


def test_a_narrower_level_is_a_narrower_interval():
    values = [0.90, 0.93, 0.95, 0.91]
    wide, narrow = bootstrap_interval(values), bootstrap_interval(values, level=0.5)
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]
    assert wide == bootstrap_interval(values, seed=0)
    with pytest.raises(DataError, match="values is nan in row 1"):
        bootstrap_interval([0.9, np.nan])


def test_pairing_takes_the_spread_of_the_seeds_out():
    rng = np.random.default_rng(0)
    seeds = rng.normal(0, 1, 10)
    a, b = 0.1 + seeds + rng.normal(0, 0.01, 10), seeds
    difference = paired_difference(a, b)
    assert 0.08 < difference["low"] < difference["mean"] < difference["high"] < 0.12
    assert paired_difference(b, a)["mean"] == pytest.approx(-difference["mean"])
    with pytest.raises(DataError, match="a has 10 rows but b has 9"):
        paired_difference(a, b[1:])
