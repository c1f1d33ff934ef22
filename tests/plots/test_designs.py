import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DataError
from pyro_hea.plots import design_chains, design_judgement, design_novelty, design_trail
from pyro_hea.posterior.idata import to_inference_data


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


def idata_of(z, inference="nuts"):
    return to_inference_data(
        {"posterior": {"z": z}},
        observed={},
        constant={},
        dims={"z": ["member", "latent"]},
        default_dims=[],
        coords={"latent": ["z0"], "member": np.arange(z.shape[2])},
        attributes={"inference": inference},
    )


def test_chains_that_have_mixed_lie_near_zero_and_a_stray_one_does_not():
    z = np.random.default_rng(0).normal(size=(4, 400, 2, 1))
    z[2, :, 1] += 3.0
    mixed, stray = (design_chains(idata_of(z), member, "z0") for member in (0, 1))
    reach = [
        [np.abs(line.get_ydata()).max() for line in ax.get_lines()[:4]] for ax in (mixed, stray)
    ]
    assert max(reach[0]) < 0.1
    assert np.argmax(reach[1]) == 2
    assert reach[1][2] > 0.5


def test_a_trace_is_the_draws_themselves():
    z = np.random.default_rng(1).normal(size=(3, 50, 2, 1))
    lines = design_chains(idata_of(z), 1, "z0", "trace").get_lines()
    np.testing.assert_allclose([line.get_ydata() for line in lines], z[:, :, 1, 0])


def test_designs_without_chains_have_none_to_draw():
    with pytest.raises(DataError, match="method='nuts'"):
        design_chains(idata_of(np.zeros((1, 5, 1, 1)), "importance"))
