"""The tab that moves an alloy, driven as a user would."""

import pytest

from pyro_hea.errors import MissingExtraError
from pyro_hea.explain.explorer import Explorer

pytest.importorskip("anywidget")


@pytest.fixture
def widgets(holds_al):
    panel = holds_al.panel()
    controls, words = panel.children
    return [*controls.children, words]


def test_a_click_moves_the_alloy_and_says_what_moved(widgets, holds_al, without_al):
    alloy, toward, by, trim, button, words = widgets
    alloy.value, toward.value, by.value, trim.value = without_al, "holds Al", 0.7, False
    button.click()
    made = holds_al.move(without_al, "holds Al", 0.7, trim=False)
    assert f"<h3 class='pyro-hea-edit'>{made.formulas[0]}</h3>" in words.value
    assert f"{made.table['moved'].item():.1f} at.% moved" in words.value
    assert f"</div> {100 * made.fractions['Al'].item():.1f}</td>" in words.value
    by.value, trim.value = 0, True
    button.click()
    assert holds_al.move(without_al, "holds Al").formulas[0] in words.value


def test_what_is_refused_is_said_in_the_panel(widgets, without_al):
    alloy, toward, *_, button, words = widgets
    alloy.value, toward.value = without_al, "no Al"
    button.click()
    assert f"&#x27;{without_al}&#x27; is in &#x27;no Al&#x27; already" in words.value
    alloy.value = "<b>Fx</b>"
    button.click()
    assert "<b>" not in words.value


def test_it_is_a_tab_beside_the_map(vae, alloys, holds_al):
    explorer = vae.explore(alloys[:5])
    map_panel = explorer.panel
    first, second = holds_al.panel(), holds_al.panel()
    explorer.add_tab("edit", first)
    explorer.add_tab("another", second)
    assert list(explorer.panel.children) == [map_panel, first, second]
    assert list(explorer.panel.titles) == ["map", "edit", "another"]
    assert explorer.at(0.0, 0.0) is explorer.selection


def test_without_widgets_there_is_no_tab(vae, alloys, monkeypatch):
    monkeypatch.setattr("pyro_hea.explain.explorer.map_parts.find_spec", lambda name: None)
    explorer = Explorer(vae.ensemble, alloys[:5])
    with pytest.raises(MissingExtraError, match="notebooks"):
        explorer.add_tab("edit", None)
