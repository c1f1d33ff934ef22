"""Figures show themselves in a notebook and are saved in one call; elements keep their look."""

import numpy as np
import pandas as pd
import pytest

from pyro_hea import plots
from pyro_hea.plots._elements import element_style

PNG = b"\x89PNG"
DESIGNS = pd.DataFrame({"Co": [0.5, 0.2], "Ni": [0.5, 0.8]}, index=["CoNi", "CoNi4"])
ROWS = {"measure": ["AUC", "loss"], "name": "a", "mean": [0.8, 0.4], "low": 0.3, "high": 0.9}


@pytest.mark.parametrize(
    "drawn",
    [
        lambda: plots.composition_bars(DESIGNS),
        lambda: plots.composition_bars(DESIGNS).figure,
        lambda: plots.interval_panels(pd.DataFrame(ROWS)),
        lambda: plots.interval_panels(pd.DataFrame(ROWS)).figure,
    ],
    ids=["axes", "their figure", "panels", "the figure of panels"],
)
def test_a_notebook_without_a_backend_shows_the_figure(drawn):
    from IPython.core.formatters import DisplayFormatter

    shown, _ = DisplayFormatter().format(drawn())
    assert shown["image/png"].startswith(PNG)


def test_axes_and_panels_are_saved_in_one_call(tmp_path):
    plots.composition_bars(DESIGNS).save(tmp_path / "bars.png")
    plots.interval_panels(pd.DataFrame(ROWS)).save(tmp_path / "panels.pdf")
    assert (tmp_path / "bars.png").read_bytes().startswith(PNG)
    assert (tmp_path / "panels.pdf").read_bytes().startswith(b"%PDF")


def test_an_element_has_the_same_colour_whatever_is_drawn_beside_it():
    def colour(fractions):
        bars = plots.composition_bars(fractions).containers
        return {str(b.get_label()): b.patches[0].get_facecolor() for b in bars}

    alone = colour(pd.DataFrame({"Ni": [1.0]}, index=["Ni"]))
    assert colour(DESIGNS)["Ni"] == alone["Ni"]
    assert colour(DESIGNS)["Co"] != alone["Ni"]
    way = DESIGNS.set_axis([0.0, 1.0])
    table = pd.DataFrame({"fcc": [0.4, 0.6]}, index=[0.0, 1.0])
    above, _ = plots.traversal_plot(way, table, "fcc", "z0")
    bands = {str(band.get_label()): band.get_facecolor()[0] for band in above.collections}
    np.testing.assert_allclose(bands["Ni"], alone["Ni"])


def test_elements_that_meet_in_one_alloy_look_different():
    common = "Al Co Cr Cu Fe Hf Mn Mo Nb Ni Si Ta Ti V W Zr Pd Ag Au Pt Mg Zn".split()
    looks = {element_style(element)[:2] for element in common}
    assert len(looks) == len(common)


def test_a_trail_has_whole_steps():
    trail = pd.DataFrame({"step": [0, 1, 2], "Co": [0.5, 0.4, 0.2], "Ni": [0.5, 0.6, 0.8]})
    ax = plots.design_trail(trail, ["Co", "Ni"])
    ax.figure.canvas.draw()
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_curves_over_a_condition_have_their_bands():
    rows = {"test_temperature_C": [800.0, 25.0], "hardness": [310.0, 520.0]}
    table = pd.DataFrame(rows, index=["AlCoCrFeNi"] * 2)
    table = table.assign(hardness_low=[250.0, 470.0], hardness_high=[390.0, 580.0])
    ax = plots.condition_curve(table, "hardness", "test_temperature_C", unit="HV")
    assert ax.get_xlabel() == "test temperature (°C)"
    assert ax.lines[0].get_xydata().tolist() == [[25.0, 520.0], [800.0, 310.0]]
    band = ax.collections[0].get_paths()[0].vertices
    assert {470.0, 580.0} <= set(band[band[:, 0] == 25, 1])
