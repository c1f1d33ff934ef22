import numpy as np
import pytest
from matplotlib.figure import Figure

from pyro_hea.errors import DataError
from pyro_hea.plots import predictions_forest
from pyro_hea.plots.predictions import MOST_NAMES


def test_means_and_intervals_are_drawn_the_greatest_on_top(predictions):
    ax = predictions_forest(predictions, "single_phase")
    ranked = predictions.sort_values("single_phase", ascending=False)
    dots = ax.lines[0].get_xydata()
    np.testing.assert_allclose(dots[:, 0], ranked["single_phase"])
    ends = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends, ranked[["single_phase_low", "single_phase_high"]])
    assert [label.get_text() for label in ax.get_yticklabels()] == list(ranked.index)
    assert ax.yaxis_inverted()
    assert ax.get_xlabel() == "single phase (probability; mean and 94 % interval)"


def test_the_unit_is_told_and_no_probability_scale_is_forced(predictions):
    table = predictions.filter(regex="_low|_high|phase$") * 900
    ax = Figure().subplots()
    assert predictions_forest(table, "single_phase", ax, unit="HV") is ax
    assert "(HV;" in ax.get_xlabel()
    assert ax.get_xlim()[1] > 100


def test_many_alloys_are_ranked_without_names(predictions):
    table = predictions.loc[predictions.index.repeat(4)]
    assert len(table) > MOST_NAMES
    ax = predictions_forest(table, "single_phase")
    assert ax.get_ylabel() == "alloy (rank, 0 to 95)"


def test_one_alloy_is_enough_and_a_long_formula_is_cut(predictions):
    table = predictions.head(1).rename(index={"Alloy0": "Al14.5Co30Cr9.5Cu16.5Fe2Mn2.5Ni25"})
    ax = predictions_forest(table, "single_phase")
    assert ax.get_yticklabels()[0].get_text() == "Al14.5Co30Cr9.5Cu16.5Fe2Mn2.5Ni…"


def test_a_missing_column_is_named(predictions):
    with pytest.raises(DataError, match="no column 'single_phase_low'"):
        predictions_forest(predictions[["single_phase"]], "single_phase")
