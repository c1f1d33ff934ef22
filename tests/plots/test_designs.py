import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DataError
from pyro_hea.plots.designs import design_judgement, design_novelty, design_trail


def test_a_trail_draws_the_elements_that_occur():
    trail = pd.DataFrame({"step": [0, 1], "Co": [0.5, 0.2], "Cu": 0.0, "Ni": [0.5, 0.8]})
    ax = design_trail(trail.assign(all_wishes=[0.1, 0.9]), ["Co", "Cu", "Ni"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Co", "Ni"]
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata(), [50, 80])


def test_novelty_is_drawn_in_at_percent_with_its_interval():
    table = pd.DataFrame({"novelty": [0.1, 0.3], "all_wishes": [0.9, 0.7]})
    table = table.assign(all_wishes_low=[0.8, 0.5], all_wishes_high=[0.95, 0.8])
    ax = design_novelty(table)
    points = ax.containers[0].lines[0]
    np.testing.assert_allclose(points.get_xdata().astype(float), [10, 30])


def test_a_table_without_what_is_drawn_is_refused():
    with pytest.raises(DataError, match="novelty"):
        design_novelty(pd.DataFrame({"all_wishes": [1.0]}))
    with pytest.raises(DataError, match="no column 'Fe'"):
        design_trail(pd.DataFrame({"step": [0]}), ["Fe"])


def test_a_judgement_is_drawn_with_the_mean_of_each_group():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(size=100)
    ax = design_judgement(predicted, predicted**2, bins=4)
    means = ax.get_lines()[2]
    rows = np.sort(predicted).reshape(4, 25)
    np.testing.assert_allclose(means.get_xdata(), rows.mean(1))
    np.testing.assert_allclose(means.get_ydata(), (rows**2).mean(1))
    with pytest.raises(DataError, match="one judgement for each"):
        design_judgement([0.5], [0.1, 0.2])
