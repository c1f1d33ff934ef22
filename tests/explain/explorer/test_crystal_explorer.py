"""Two maps of crystals, and what is decoded from the places of their cursors."""

import numpy as np
import pandas as pd
import pytest

from pyro_hea import CrystalSpec, CrystalVAE, load_crystals
from pyro_hea.errors import DataError
from pyro_hea.explain.explorer import CrystalMaps
from pyro_hea.materials.crystals import WyckoffStructure, shortest_distance

pytest.importorskip("anywidget")

SMALL = {
    "composition": {"dim": 4, "flow": None},
    "structure": {"dim": 6, "prior": {"trees": 10, "steps": 50}},
    "head": {"hidden": [8]},
    "encoder": {"hidden": [8]},
    "decoder": {"hidden": [8]},
    "head_epochs": 1,
    "training": {"members": 2, "epochs": 2},
}


@pytest.fixture(scope="module")
def crystals():
    every = load_crystals()
    return (
        every.take(np.flatnonzero(every.text.str.count(";") <= 1)[::9]).of_size(4).take(range(90))
    )


@pytest.fixture(scope="module")
def vae(crystals, few_teacher_trees):
    return CrystalVAE(CrystalSpec().with_(**SMALL)).fit(crystals, seed=0, progress=False)


@pytest.fixture(scope="module")
def explorer(vae, crystals):
    return vae.explore(crystals, member=1)


def test_each_map_is_of_principal_components_of_its_latent(vae, crystals):
    maps = CrystalMaps(vae.ensemble, crystals, 1)
    for half, z in zip(("composition", "structure"), vae.encode(crystals, 1), strict=True):
        values = np.linalg.eigvalsh(np.cov(z.to_numpy().T))[::-1]
        np.testing.assert_allclose(maps.places[half].var(0, ddof=1), values[:2], rtol=1e-4)


def test_of_one_crystal_its_own_latents_are_decoded(explorer, vae, crystals):
    composition, structure = vae.encode(crystals, 1)
    for row in (0, 17):
        chosen = explorer.of(crystals.ids[row])
        some = crystals.take([row])
        like = vae.decode(composition.iloc[[row]], structure.iloc[[row]], some, 1)
        assert chosen.crystal.text == like.crystals[0].text
        assert chosen.composition == chosen.structure == crystals.ids[row]


def test_the_structure_is_that_of_the_nearest_crystal_of_the_same_stoichiometry(explorer, crystals):
    info, place = crystals.info, explorer._maps.places["structure"]
    row = int(np.flatnonzero(info["formula"].duplicated(keep=False))[0])
    explorer.at(composition=explorer._maps.places["composition"][row])
    kind = sorted(crystals.crystals[row].counts.values())
    for other in range(0, 90, 15):
        chosen = explorer.at(structure=place[other])
        theirs = crystals.crystals[crystals.ids.index(chosen.structure)]
        assert sorted(theirs.counts.values())[0] * kind[-1] == kind[0] * max(theirs.counts.values())
        assert chosen.composition == crystals.ids[row]
    faint = explorer.maps["structure"].data[0].marker.opacity
    alike = explorer._maps.alike(row)
    np.testing.assert_array_equal(faint == 1.0, alike)


def test_a_swap_is_what_the_face_swaps(vae, crystals):
    explorer = vae.explore(crystals)
    kinds = explorer._maps._inputs.formula_type.numpy()
    first, second = np.flatnonzero(kinds == np.bincount(kinds).argmax())[[0, 5]]
    explorer.of(crystals.ids[first])
    place = explorer._maps.places["structure"][second]
    chosen = explorer.at(structure=tuple(place))
    composition, structure = vae.encode(crystals)
    row = crystals.ids.index(chosen.structure)
    like = vae.decode(composition.iloc[[first]], structure.iloc[[row]], crystals.take([first]))
    assert chosen.crystal.prototype == like.crystals[0].prototype
    assert chosen.crystal.formula == like.crystals[0].formula


def test_the_table_holds_checks_and_predictions(explorer, vae):
    chosen = explorer.at((0.1, 0.2), (0.3, -0.1))
    told = chosen.table.iloc[0]
    assert told["distance_over_radii"] == pytest.approx(shortest_distance(chosen.crystal)[1])
    predicted = vae.predict([chosen.crystal.structure()]).iloc[0]
    assert told["gap"] == pytest.approx(predicted["gap"], rel=1e-3, abs=1e-3)


def test_the_cell_is_drawn_with_its_edges(explorer, crystals):
    chosen = explorer.of(crystals.ids[3])
    edges, *atoms = explorer.cell.data
    assert {trace.name for trace in atoms} == set(chosen.crystal.counts)
    ends = np.array([edges.x, edges.y, edges.z]).T.reshape(12, 3, 3)
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    cell = chosen.crystal.structure(primitive=False).lattice.abc
    np.testing.assert_allclose(np.sort(lengths), np.sort(np.repeat(cell, 4)))


def test_a_press_on_a_map_moves_its_cursor_and_the_words(vae, crystals):
    explorer = vae.explore(crystals)
    first, second, _, words = explorer.panel.children[1].children
    before = words.value
    first.children[1].place = tuple(map(float, explorer._maps.places["composition"][40]))
    assert explorer.selection.composition == crystals.ids[40]
    assert words.value != before
    second.children[1].place = (0.5, 0.5)
    assert explorer.maps["structure"].layout.shapes[0].xanchor == 0.5


def test_what_was_kept_comes_back_as_a_table(vae, crystals):
    explorer = vae.explore(crystals)
    assert explorer.picked.empty
    explorer.keep()
    explorer.panel.children[0].children[1].click()
    table = explorer.picked
    assert len(table) == 2
    again = WyckoffStructure.from_text(table["text"][0])
    assert again.formula == table["formula"][0] == explorer.selection.crystal.formula
    assert {"gap_low", "space_group", "composition"} < set(table.columns)


def test_colours_are_of_labels_and_predictions(vae, crystals):
    explorer = vae.explore(crystals)
    explorer.panel.children[0].children[0].value = "gap (predicted, eV)"
    shown = explorer.maps["composition"].data[0].marker.color
    np.testing.assert_allclose(shown, vae.predict(crystals)["gap"], rtol=1e-5)
    with pytest.raises(DataError, match="no colour 'gap'"):
        explorer.colour("gap")


def test_bad_places_are_named(explorer, vae, crystals):
    with pytest.raises(DataError, match="no crystal 'mp-0' is on the maps"):
        explorer.of("mp-0")
    with pytest.raises(DataError, match="give a place"):
        explorer.at()
    with pytest.raises(DataError, match=r"two numbers, as \(0.5, -1.2\), not 'here'"):
        explorer.at("here")
    with pytest.raises(DataError, match=r"no member 1.5"):
        vae.explore(crystals, member=1.5)
    with pytest.raises(DataError, match="no member 2"):
        vae.explore(crystals, member=2)


def test_without_widgets_python_answers(vae, crystals, monkeypatch):
    monkeypatch.setattr("pyro_hea.explain.explorer.map_parts.find_spec", lambda name: None)
    explorer = vae.explore(crystals)
    assert explorer.panel is None
    assert "static" in repr(explorer)
    assert explorer.at(composition=(0.0, 0.0)).crystal.formula
    assert explorer._repr_mimebundle_()["text/plain"] == repr(explorer)


def test_text_of_strangers_is_escaped(vae, crystals):
    text = crystals.text.rename(lambda i: f"<b>{i}</b>")
    targets = pd.DataFrame(crystals.targets.to_numpy(), text.index, crystals.targets.columns)
    panel = vae.explore(type(crystals)(text, targets)).panel
    assert "<b>mp-" not in panel.children[1].children[3].value
