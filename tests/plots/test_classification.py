import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from pyro_hea.evaluate.measures import reliability_table
from pyro_hea.plots import reliability, roc


@pytest.fixture
def alloys(rng):
    p = rng.random(150)
    y = (rng.random(150) < p).astype(float)
    return y, p, rng.integers(2, 7, 150)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_curves_have_the_areas_that_the_legend_tells(alloys):
    y, p, size = alloys
    ax = roc(y, p, size)
    for line, rows in zip(ax.lines, (size > 0, size >= 4), strict=False):
        area = roc_auc_score(y[rows], p[rows])
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(area)
        assert f"AUC {area:.3f}, n = {rows.sum()}" in line.get_label()
    assert "rate" in ax.get_xlabel()
    assert "rate" in ax.get_ylabel()
    assert len({line.get_linestyle() for line in ax.lines}) == 3  # told apart without colours


def test_unlabelled_alloys_are_left_out(alloys):
    y, p, _ = alloys
    hidden = np.where(np.arange(150) < 40, np.nan, y)
    assert legend(roc(hidden, p)) == legend(roc(y[40:], p[40:]))
    assert legend(reliability(hidden, p)) == legend(reliability(y[40:], p[40:]))


def test_a_group_of_one_class_is_said_and_not_drawn():
    ax = roc([0, 1, 1, 1], [0.2, 0.7, 0.6, 0.9], [2, 2, 5, 5])
    assert "≥ 4 elements (labels of one class only)" in legend(ax)
    assert len(ax.lines[1].get_xdata()) == 0


def test_reliability_draws_the_table_of_bins(alloys):
    y, p, _ = alloys
    p = np.where((p > 0.3) & (p < 0.4), 0.45, p)  # an empty bin
    table = reliability_table(y, p)
    full = table[table["n"] > 0]
    ax = reliability(y, p)
    (bars,) = ax.containers
    line, _, (intervals,) = bars.lines
    assert len(full) == 9
    np.testing.assert_allclose(line.get_xydata(), full[["predicted", "observed"]])
    ends = np.array([segment[:, 1] for segment in intervals.get_segments()])
    np.testing.assert_allclose(ends, full[["low", "high"]])
    counts = [text.get_text() for text in ax.texts if text.get_text().isdigit()]
    assert counts == [str(n) for n in table["n"]]
    assert "probability" in ax.get_xlabel()
    assert "frequency" in ax.get_ylabel()


@pytest.mark.parametrize("draw", [roc, reliability])
def test_they_draw_on_the_axes_they_are_given(alloys, draw):
    ax = Figure().subplots()
    assert draw(*alloys[:2], ax=ax) is ax
