import pandas as pd
import pytest

from pyro_hea import plots
from pyro_hea.errors import DataError

TABLE = pd.DataFrame(
    {
        "target": ["single_phase"] * 4 + ["phase"],
        "source": ["ann", "ann", "bob", "bob", "ann"],
        "true": ["0", "1", "0", "1", "fcc"],
        "right": [0.9, 0.8, 0.7, 0.95, 0.5],
        "right_low": [0.85, 0.7, 0.4, 0.9, 0.4],
        "right_high": [0.94, 0.9, 0.8, 0.99, 0.6],
    }
)


def test_each_source_and_class_of_a_target_has_its_mean_and_interval():
    ax = plots.source_reliability(TABLE, "single_phase")
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names[0] == "ann: single phase = 0"
    assert names[3] == "bob: single phase = 1"
    drawn = {tuple(point) for line in ax.lines for point in line.get_xydata()}
    assert drawn == {(0.9, 0), (0.8, 1), (0.7, 2), (0.95, 3)}
    spans = {tuple(span[:, 0]) for part in ax.collections for span in part.get_segments()}
    assert spans == {(0.85, 0.94), (0.7, 0.9), (0.4, 0.8), (0.9, 0.99)}
    assert ax.get_xlim()[0] < 0.4


def test_classes_are_told_apart_without_colour():
    markers = {line.get_marker() for line in plots.source_reliability(TABLE, "single_phase").lines}
    assert len(markers) == 2


def test_a_table_without_intervals_is_refused():
    with pytest.raises(DataError, match="right_low"):
        plots.source_reliability(TABLE.drop(columns="right_low"), "single_phase")
