import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pyro_hea.plots import composition_bars, reconstruction
from pyro_hea.plots.compositions import MOST_BARS


def written(ax):
    return [text.get_text() for text in ax.texts]


def test_reconstruction_draws_the_elements_present_in_at_pct(designs):
    rebuilt = (designs + 0.1) / 1.5
    ax = Figure().subplots()
    assert reconstruction(designs, rebuilt, ax) is ax
    present = designs.to_numpy() > 0
    expected = 100 * np.stack([designs.to_numpy()[present], rebuilt.to_numpy()[present]], axis=1)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), expected)
    assert "(at.%)" in ax.get_xlabel()
    assert "(at.%)" in ax.get_ylabel()
    error = 100 * (rebuilt - designs).abs().to_numpy()
    (note,) = written(ax)
    assert note == (
        f"MAE {error.mean():.2f} at.% over 5 elements\n"
        f"{error[present].mean():.2f} at.% over those present"
    )


def test_reconstruction_aligns_the_elements(designs):
    true = designs.drop(columns="Hf")
    ax = reconstruction(true, designs[["Ni", "Hf", "Cr", "Co", "Al"]])
    assert "MAE 0.00 at.% over 5 elements" in written(ax)[0]


def test_bars_are_the_compositions_stacked(designs):
    ax = composition_bars(designs.head(3))
    assert [bars.get_label() for bars in ax.containers] == ["Al", "Co", "Cr", "Ni"]  # no Hf
    widths = np.array([[bar.get_width() for bar in bars] for bars in ax.containers]).T
    np.testing.assert_allclose(widths, 100 * designs.drop(columns="Hf").head(3))
    last = ax.containers[-1][0]
    assert last.get_x() + last.get_width() == pytest.approx(100)
    assert ax.get_xlabel() == "amount (at.%)"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Alloy0", "Alloy1", "Alloy2"]
    assert ax.yaxis_inverted()  # the first on top
    looks = {(to_hex(b[0].get_facecolor()), b[0].get_hatch()) for b in ax.containers}
    assert len({colour for colour, _ in looks}) == len({hatch for _, hatch in looks}) == 4


def test_symbols_stand_in_segments_wide_enough(designs):
    first = designs.head(1).copy()
    first.iloc[0] = [0.97, 0.03, 0, 0, 0]
    assert written(composition_bars(first)) == ["Al"]


def test_only_the_first_of_many_are_drawn_and_that_is_said(designs):
    ax = composition_bars(designs)
    assert len(ax.containers[0]) == MOST_BARS
    assert ax.get_ylabel() == "alloy (first 20 of 24)"


@pytest.mark.parametrize("rows", [1, 24])
def test_probabilities_stand_beside_their_bars(designs, predictions, rows):
    designs, predictions = designs.head(rows), predictions.head(rows)
    ax = Figure().subplots()
    assert composition_bars(designs, ax, predictions) is ax
    first = predictions.iloc[0]
    low, high = first["single_phase_low"], first["single_phase_high"]
    assert f"{first['single_phase']:.2f} ({low:.2f}–{high:.2f})" in written(ax)
    assert "probability of\nsingle phase\n(94 % interval)" in written(ax)
    alone = composition_bars(
        designs.head(rows), probability=predictions[["single_phase"]].head(rows)
    )
    assert f"{first['single_phase']:.2f}" in written(alone)
