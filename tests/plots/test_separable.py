import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DataError
from pyro_hea.plots import edit_bars, interpolation_strips, separation_panels


@pytest.fixture
def two(rng):
    """The same twenty alloys in two latents, and their clusters."""
    before, after = (pd.DataFrame(rng.normal(size=(20, 3))) for _ in range(2))
    return before, after, ["bcc", "fcc", "none", "bcc"] * 5


def test_each_alloy_is_drawn_before_and_after_with_the_marker_of_its_cluster(two):
    before, after, clusters = two
    panels = separation_panels(before, after, clusters)
    for panel, table in zip(panels, (before, after), strict=True):
        points = {c.get_label(): c.get_offsets().data for c in panel.collections}
        assert {name: len(p) for name, p in points.items()} == {
            "in no cluster": 5,
            "bcc (10)": 10,
            "fcc (5)": 5,
        }
        values, vectors = np.linalg.eigh(np.cov(table.to_numpy().T))
        expected = ((table - table.mean()).to_numpy() @ vectors[:, -1])[np.array(clusters) == "fcc"]
        np.testing.assert_allclose(np.abs(points["fcc (5)"][:, 0]), np.abs(expected), atol=1e-9)
        assert f"{100 * values[-1] / values.sum():.0f} %)" in panel.get_xlabel()


def test_clusters_differ_without_colour(two):
    panel = separation_panels(*two)[0]
    _, bcc, fcc = panel.collections
    marks = [(len(c.get_facecolor()), c.get_paths()[0].vertices.tobytes()) for c in (bcc, fcc)]
    assert marks[0] != marks[1]


def test_the_same_alloys_are_asked_for(two):
    before, after, clusters = two
    with pytest.raises(DataError, match="20 alloys before, 19 after and 20 clusters; give the"):
        separation_panels(before, after[:19], clusters)


def test_an_edit_shows_its_ends_alone():
    trail = pd.DataFrame(
        {"step": [0, 1, 2], "Al": [0.0, 0.3, 0.1], "Cr": 0.0, "Ni": [1.0, 0.7, 0.9]}
    )
    ax = edit_bars(trail, ["Al", "Cr", "Ni"])
    widths = {bars.get_label(): [bar.get_width() for bar in bars] for bars in ax.containers}
    assert sorted(widths) == ["Al", "Ni"]  # no Cr
    np.testing.assert_allclose(widths["Al"], [0, 10], atol=1e-9)
    np.testing.assert_allclose(widths["Ni"], [100, 90])
    with pytest.raises(DataError, match="Al"):
        edit_bars(trail.drop(columns="Al"), ["Al"])


def test_strips_are_labelled_by_cluster_and_position():
    fractions = pd.DataFrame(
        {"Al": [0.0, 0.1, 0.2], "Cr": 0.0, "Ni": [1.0, 0.9, 0.8]}, index=[0, 0.5, 1]
    )
    ax = interpolation_strips(fractions, ["no Al", "holds Al", "holds Al"])
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "no Al, 0.0",
        "holds Al, 0.5",
        "holds Al, 1.0",
    ]
    assert [bars.get_label() for bars in ax.containers] == ["Al", "Ni"]
