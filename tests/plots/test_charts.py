import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DataError
from pyro_hea.plots import (
    alloy_families,
    atlas_charts,
    atlas_responsibilities,
    descent_trail,
    descent_values,
)


@pytest.fixture
def points(rng):
    return rng.normal(size=(30, 2))


@pytest.fixture
def gamma():
    """Two charts that are sure of ten points each, and ten between them."""
    first = np.repeat([0.99, 0.6, 0.02], 10)
    return np.c_[first, 1 - first]


@pytest.fixture
def trail():
    step, start = np.meshgrid(np.arange(4), [0, 1])
    table = pd.DataFrame({"start": start.ravel(), "step": step.ravel()})
    return table.assign(value=3.0 - table["step"], x=table["step"] * 1.0, y=table["start"] * 1.0)


def test_points_that_no_chart_is_sure_of_are_open(points, gamma):
    ax = atlas_charts(points, gamma, ["x", "y"])
    filled, hollow, other = ax.collections
    np.testing.assert_array_equal(filled.get_offsets(), points[:10])
    np.testing.assert_array_equal(hollow.get_offsets(), points[10:20])
    assert len(hollow.get_facecolor()) == 0
    assert not np.array_equal(filled.get_edgecolor(), other.get_edgecolor())
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["chart 0", "chart 1"]


def test_three_coordinates_are_drawn_in_space(rng, gamma):
    ax = atlas_charts(rng.normal(size=(30, 3)), gamma, ["x", "y", "z"])
    assert ax.name == "3d"
    assert ax.get_zlabel() == "z"


def test_responsibilities_have_a_panel_for_each_chart(points, gamma):
    panels = atlas_responsibilities(points, gamma, ["x", "y"])
    assert [panel.get_title() for panel in panels] == ["chart 0", "chart 1"]
    np.testing.assert_array_equal(panels[1].collections[0].get_array(), gamma[:, 1])


def test_a_trail_goes_from_start_to_end(points, trail):
    ax = descent_trail(trail, points, ["x", "y"])
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[0, 1], [1, 1], [2, 1], [3, 1]])
    ends = {c.get_label(): c for c in ax.collections}
    assert {"start", "end"} <= ends.keys()


def test_values_are_drawn_by_step(trail):
    ax = descent_values(trail)
    assert len(ax.lines) == 2
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [3, 2, 1, 0])


def test_small_families_are_drawn_as_one(rng):
    fractions = pd.DataFrame(rng.dirichlet([1, 1, 1], 60), columns=["Co", "Ni", "Ti"])
    family = np.r_[np.repeat(np.arange(8), 6), np.arange(8, 20)]
    ax = alloy_families(fractions, family)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[0] == "12 other families (12)"
    assert texts[1:] == [f"{k}: Co Ni Ti (6)" for k in range(8)]
    drawn = np.concatenate([c.get_offsets() for c in ax.collections if len(c.get_offsets())])
    away = np.sqrt(fractions) - np.sqrt(fractions).mean()
    np.testing.assert_allclose(drawn.var(0), np.linalg.eigvalsh(away.cov(ddof=0))[:0:-1][:2])


def test_what_cannot_be_drawn_is_named(rng, gamma, trail):
    with pytest.raises(DataError, match="points of 4 coordinates cannot be drawn"):
        atlas_charts(rng.normal(size=(30, 4)), gamma, list("abcd"))
    with pytest.raises(DataError, match="value"):
        descent_values(trail.drop(columns="value"))
    with pytest.raises(DataError, match="2 alloys have 3 families; each has one"):
        alloy_families(pd.DataFrame({"Ni": [1.0, 1.0]}), [0, 1, 2])
