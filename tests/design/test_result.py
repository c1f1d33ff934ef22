"""What a result draws of itself."""

import numpy as np
import pytest

from pyro_hea.design import MaxElements, scan_path
from pyro_hea.errors import DataError


@pytest.fixture(scope="module")
def designs(vae):
    return vae.design({"single_phase": 1}, [MaxElements(5)], n=8, seed=0)


def test_the_bars_are_the_alloys_of_the_table_with_their_probability(designs):
    ax = designs.plot_compositions()
    assert [label.get_text() for label in ax.get_yticklabels()] == list(designs.table["formula"])
    widths = {}
    for patch in ax.patches:
        row = round(patch.get_y() + patch.get_height() / 2)
        widths[row] = widths.get(row, 0) + patch.get_width()
    assert list(widths.values()) == pytest.approx([100] * 8)
    first = designs.table.iloc[0]
    assert any(f"{first['all_wishes']:.2f}" in text.get_text() for text in ax.texts)


def test_novelty_is_drawn_in_atomic_percent(designs):
    ax = designs.plot_novelty()
    drawn = ax.containers[0].lines[0].get_xydata()
    expected = designs.table[["novelty", "all_wishes"]].to_numpy() * [100, 1]
    np.testing.assert_allclose(drawn, expected)


def test_a_trail_is_drawn_element_by_element_on_the_axes_given(vae, designs):
    path = scan_path(vae.ensemble, ["CoCrFeNi", "AlCoNi"], {"single_phase": 1}, points=5)
    ax = designs.plot_novelty()
    assert path.plot_trail(ax) is ax
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["Al"], 100 * path.trail["Al"])


def test_what_is_not_there_is_not_drawn(designs):
    with pytest.raises(DataError, match="no trail: they start from no alloy"):
        designs.plot_trail()
    with pytest.raises(DataError, match="no Markov chains: ask for them with method='nuts'"):
        designs.plot_chains()
