"""Figures of disorder: what is drawn is what the table has."""

import numpy as np
import pandas as pd
import pytest

from pyro_hea import plots
from pyro_hea.errors import DataError


@pytest.fixture
def table():
    rows = pd.DataFrame({"temperature_K": [300.0, 600.0, 900.0]})
    for name, value in {"heat_capacity": [0.3, 0.2, 0.1], "ln_Z": [5.0, 4.0, 3.0]}.items():
        rows[name], rows[f"{name}_low"] = value, np.array(value) - 0.05
        rows[f"{name}_high"] = np.array(value) + 0.1
    rows = rows.assign(ln_Z_second=[5.1, 4.0, 3.0], ln_Z_second_sd=0.1)
    rows["trusted"] = [False, True, True]
    rows.attrs["units"] = {"heat_capacity": "k/site", "ln_Z": "1"}
    return rows


def test_a_quantity_with_its_interval_and_what_is_not_trusted(table):
    ax = plots.thermodynamics(table)
    assert ax.get_ylabel() == "heat capacity (k/site)"
    points = [line.get_xydata().tolist() for line in ax.lines]
    assert [[600, 0.2], [900, 0.1]] in points
    assert [[300, 0.3]] in points
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.05)
    assert band[:, 1].max() == pytest.approx(0.4)


def test_a_quantity_that_there_is_not(table):
    with pytest.raises(DataError, match="quantity 'heat' is not allowed; allowed: heat_capacity"):
        plots.thermodynamics(table, "heat")


def test_the_second_estimate_is_drawn_from_the_first(table):
    ax = plots.two_estimates(table)
    (bars,) = ax.containers
    assert bars[0].get_ydata() == pytest.approx([0.1, 0, 0])


def test_order_by_pair_and_shells_that_there_are():
    rows = [
        {"temperature_K": t, "shell": 1, "distance": 2.5, "pair": pair, "alpha": a}
        for t in (300.0, 600.0)
        for pair, a in (("Cr-Ni", -0.1), ("Cr-Cr", 0.2))
    ]
    order = pd.DataFrame(rows).assign(alpha_low=-0.3, alpha_high=0.3)
    ax = plots.short_range_order(order)
    assert [line.get_label() for line in ax.lines[:2]] == ["Cr–Ni", "Cr–Cr"]
    assert ax.lines[1].get_ydata().tolist() == [0.2, 0.2]
    with pytest.raises(DataError, match="there is no shell 2; there are the shells 1"):
        plots.short_range_order(order, 2)


def test_factors_are_bars_in_their_order():
    factors = pd.DataFrame({"factor": ["count of Cr", "Cr-Cr"], "where": "sites"})
    factors = factors.assign(share=[0.9, 0.05], alone=[0.9, 0.8], effect=[-0.1, 0.02])
    ax = plots.energy_factors(factors)
    assert [bar.get_width() for bar in ax.containers[1]] == [0.9, 0.05]
    assert [text.get_text() for text in ax.texts] == ["-100 meV", "+20 meV"]


def test_formation_energy_beside_its_mean():
    rows = pd.DataFrame({"temperature_K": [300.0, 600.0], "E_eff": [1.64, 1.67], "mean": 1.7})
    rows = rows.assign(E_eff_low=1.6, E_eff_high=1.7, trusted=True)
    ax = plots.formation_energy(rows)
    drawn = {line.get_label(): line.get_ydata().tolist() for line in ax.lines}
    assert drawn["mean of the vacancies"] == [1.7, 1.7]
