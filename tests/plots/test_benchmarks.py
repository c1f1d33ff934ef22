import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DataError
from pyro_hea.plots import curve_panels, interval_panels


def test_each_measure_has_a_panel_with_its_means_and_intervals():
    table = pd.DataFrame(
        {
            "measure": ["AUC", "AUC", "log loss"],
            "name": ["a", "b", "a"],
            "mean": [0.1, 0.2, 0.3],
            "low": [0.0, 0.1, 0.1],
            "high": [0.2, 0.4, 0.5],
        }
    )
    auc, loss = interval_panels(table, reference=0.0)
    assert (auc.get_xlabel(), loss.get_xlabel()) == ("AUC", "log loss")
    assert [tick.get_text() for tick in auc.get_yticklabels()] == ["a", "b"]
    means = auc.lines[0]
    assert means.get_xdata().tolist() == [0.1, 0.2]
    bars = [segment[:, 0].tolist() for segment in auc.collections[0].get_segments()]
    assert bars == [pytest.approx([0.0, 0.2]), pytest.approx([0.1, 0.4])]


def test_groups_stand_apart_in_a_row_and_in_the_legend():
    rows = [
        {"measure": "AUC", "name": "a", "group": group, "mean": 0.1, "low": 0.0, "high": 0.2}
        for group in ("all", "≥ 4 elements")
    ]
    (panel,) = interval_panels(pd.DataFrame(rows))
    heights = {line.get_ydata()[0] for line in panel.lines if line.get_marker() in "os"}
    assert len(heights) == 2
    legend = panel.figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["all", "≥ 4 elements"]


def test_curves_have_a_panel_for_each_pair_of_labels_in_the_order_of_the_table():
    table = pd.DataFrame(
        [
            {"x_label": x, "y_label": y, "name": name, "x": size, "mean": np.sqrt(size)}
            for y in ("time (s)", "memory (MiB)")
            for x in ("alloys", "members", "elements")
            for name in ("one", "two")
            for size in (1000, 10, 100)
        ]
    )
    panels = curve_panels(table, logarithmic=True)
    labels = [(panel.get_ylabel(), panel.get_xlabel()) for panel in panels]
    assert labels == list(dict.fromkeys(zip(table["y_label"], table["x_label"], strict=True)))
    assert {panel.get_xscale() for panel in panels} == {"log"}
    assert {panel.get_yscale() for panel in panels} == {"log"}
    line = panels[0].lines[0]
    assert line.get_xdata().tolist() == [10, 100, 1000]


@pytest.mark.parametrize("draw", [interval_panels, curve_panels])
def test_a_column_that_is_missing_is_named(draw):
    with pytest.raises(DataError, match="has no column"):
        draw(pd.DataFrame({"name": ["a"], "mean": [1.0]}))
