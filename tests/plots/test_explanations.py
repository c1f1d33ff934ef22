import numpy as np
import pandas as pd
import pytest

from pyro_hea import plots
from pyro_hea.errors import DataError


@pytest.fixture
def table():
    index = pd.Index(["omega", "mixing_entropy …", "bulk_modulus"])
    columns = {"value": [1.5, np.nan, 150.0], "mean": [-0.3, 0.1, 0.05]}
    return pd.DataFrame(columns, index).assign(low=[-0.35, 0.05, 0], high=[-0.2, 0.2, 0.1])


def test_a_waterfall_goes_from_base_to_prediction(table):
    ax = plots.waterfall(table, 0.6, "CoNi", "single_phase")
    bars = sorted((bar.get_y(), bar.get_x(), bar.get_width()) for bar in ax.patches)
    np.testing.assert_allclose([x for _, x, _ in bars], [0.6, 0.3, 0.4])
    np.testing.assert_allclose([width for *_, width in bars], [-0.3, 0.1, 0.05])
    assert "from 0.60 (background, dotted)\nto 0.45 (CoNi, dashed)" in ax.get_xlabel()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["omega = 1.5", "mixing entropy …", "bulk modulus = 150"]


def test_the_rest_of_a_waterfall_is_summed_up():
    values = np.linspace(0.02, 0.001, 30)
    many = pd.DataFrame({"value": 1.0, "mean": values, "low": values, "high": values})
    ax = plots.waterfall(many, 0.1, "CoNi", "fcc")
    assert ax.get_yticklabels()[-1].get_text() == "10 others"
    assert f"to {0.1 + values.sum():.2f}" in ax.get_xlabel()


def test_importances_are_drawn_with_the_greatest_on_top(table):
    ax = plots.importance_bars(table.assign(published=[0.1, 0.2, 0.3]))
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == sorted(widths, reverse=True)
    assert "published model" in ax.get_legend().get_texts()[0].get_text()


def test_a_swarm_holds_every_alloy_and_shades_features_only():
    rng = np.random.default_rng(0)
    means = pd.DataFrame(rng.normal(size=(50, 2)), columns=["omega", "group …"])
    ax = plots.beeswarm(means, means[["omega"]])
    for name, points in zip(
        means.abs().mean().sort_values().index[::-1], ax.collections[:2], strict=True
    ):
        np.testing.assert_allclose(points.get_offsets()[:, 0], means[name])
        assert len(np.unique(points.get_facecolor(), axis=0)) == (50 if name == "omega" else 1)
    assert np.ptp(ax.collections[0].get_offsets()[:, 1]) < 0.85


def test_moves_on_whose_sign_the_members_agree_are_bold():
    index = pd.MultiIndex.from_product(
        [["CoNi"], ["Co"], ["Al", "Ni"]], names=["formula", "from", "to"]
    )
    moves = pd.DataFrame({"mean": [0.02, -0.01], "low": [0.01, -0.02], "high": [0.03, 0.01]}, index)
    ax = plots.element_map(moves, "CoNi", "single_phase")
    shown = {text.get_text(): text.get_fontweight() for text in ax.texts}
    assert shown == {"+2.0": "bold", "−1.0": "normal"}
    with pytest.raises(DataError, match="no alloy 'AlNi'"):
        plots.element_map(moves, "AlNi", "single_phase")


def test_a_traversal_stacks_to_the_whole():
    fractions = pd.DataFrame(
        {"Co": [0.95, 0.2], "Ni": [0.02, 0.75], "Al": [0.03, 0.05]}, [0.0, 1.0]
    )
    p = pd.DataFrame({"fcc": [0.2, 0.9], "fcc_low": [0.1, 0.8], "fcc_high": [0.3, 1.0]}, [0.0, 1.0])
    above, below = plots.traversal_plot(fractions, p, "fcc", "z0")
    names = [text.get_text() for text in above.get_legend().get_texts()]
    assert names == ["Co", "Ni", "others"]
    top = above.collections[-1].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(100)
    np.testing.assert_allclose(below.lines[0].get_ydata(), [0.2, 0.9])
