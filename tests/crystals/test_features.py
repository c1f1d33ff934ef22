import math

import numpy as np
import pytest

from pyro_hea.errors import UnknownElementError
from pyro_hea.materials.crystals import (
    PROPERTY_UNITS,
    WyckoffStructure,
    composition_features,
    crystal_features,
    element_table,
    geometry,
    roles_of,
)
from pyro_hea.materials.crystals.geometry import coordination_weights, neighbours

SALT = WyckoffStructure.from_text("225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5")
CAESIUM_CHLORIDE = WyckoffStructure.from_text("221 | 4.12 | Cs:a:0,0,0;Cl:b:0.5,0.5,0.5")


def test_every_element_has_every_property():
    table = element_table()
    assert table.shape == (94, len(PROPERTY_UNITS))
    assert np.isfinite(table.to_numpy(float)).all()
    assert table["electronegativity"].is_monotonic_increasing
    assert table.loc["Fe", ["s_electrons", "d_electrons", "unfilled"]].tolist() == [2, 6, 4]


def test_statistics_of_elements_are_those_by_hand():
    row = composition_features([{"Ti": 1, "O": 2}]).iloc[0]
    assert row["electronegativity_mean"] == pytest.approx((1.54 + 2 * 3.44) / 3)
    mean = (22 + 2 * 8) / 3
    assert row["atomic_number_spread"] == pytest.approx((22 - mean) / 3 + 2 * (mean - 8) / 3)
    assert row["atomic_number_range"] == 14
    assert (row["atomic_number_min"], row["atomic_number_max"]) == (8, 22)
    assert row["fraction_2_norm"] == pytest.approx(math.sqrt(5) / 3)
    ionic = 1 - math.exp(-((3.44 - 1.54) ** 2) / 4)
    assert row["ionic_character"] == pytest.approx(2 * ionic * 2 / 9)


def test_the_size_of_a_formula_does_not_matter():
    once, twice = composition_features([{"Ti": 1, "O": 2}, {"Ti": 2, "O": 4}]).to_numpy()
    assert once == pytest.approx(twice)


def test_an_element_beyond_the_table_is_named():
    with pytest.raises(UnknownElementError, match="no element 'Xx'"):
        composition_features([{"Xx": 1}])


def test_roles_are_ordered_by_amount_and_then_by_electronegativity():
    assert roles_of({"O": 3, "Ti": 1, "Sr": 1}) == ["Sr", "Ti", "O"]
    assert roles_of({"Na": 2, "O": 1}) == ["O", "Na"]


def test_neighbours_are_those_of_pymatgen(crystals):
    for crystal in crystals.crystals[::5]:
        found = neighbours(crystal)
        structure = crystal.structure()
        radius = 2.5 * crystal.volume_per_atom ** (1 / 3)
        first = 0
        for k, orbit in enumerate(crystal.orbits):
            theirs = sorted(
                n.nn_distance for n in structure.get_neighbors(structure[first], radius)
            )
            ours = sorted(found.distance[found.orbit == k])
            inner = [d for d in theirs if d < radius - 1e-6]
            assert [d for d in ours if d < radius - 1e-6] == pytest.approx(inner)
            first += crystal.group.multiplicity(orbit.letter)


def test_large_cells_are_looked_at_in_parts(crystals, monkeypatch):
    crystal = max(crystals.crystals, key=lambda c: len(c.orbits))
    whole = neighbours(crystal)
    monkeypatch.setattr(geometry, "_PAIRS", 1)
    parts = neighbours(crystal)
    assert len(crystal.orbits) > 2
    for name in ("orbit", "other", "distance"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))


def test_effective_coordination_solves_its_equation():
    for crystal, number in ((SALT, 6.05), (CAESIUM_CHLORIDE, 11.63)):  # simple cubic and bcc
        found = neighbours(crystal)
        weights = coordination_weights(found, 2)
        own = found.orbit == 0
        mean = (weights[own] @ found.distance[own]) / weights[own].sum()
        assert weights[own] == pytest.approx(
            np.exp(1 - (found.distance[own] / mean) ** 6), rel=1e-4, abs=1e-8
        )
        assert weights[own].sum() == pytest.approx(number, abs=0.05)


def test_rock_salt_has_the_features_of_rock_salt():
    structure, both = (table.iloc[0] for table in crystal_features([SALT]))
    assert (structure["point_group_order"], structure["cubic"], structure["atoms"]) == (48, 1, 2)
    assert structure["centrosymmetric"] == 1
    assert structure["coordination_mean"] == pytest.approx(6, abs=0.1)
    assert structure["own_neighbours_role_1"] == pytest.approx(0, abs=0.02)
    unit = (5.64**3 / 8) ** (1 / 3)
    assert structure["nearest_min"] == pytest.approx(2.82 / unit)
    assert both["density"] == pytest.approx(2.164, abs=0.01)  # g/cm3
    assert both["shortest_over_covalent_radii"] == pytest.approx(2.82 / (1.66 + 1.02))
    radii = 4 / 3 * np.pi * (1.66**3 + 1.02**3)
    assert both["packing"] == pytest.approx(4 * radii / 5.64**3)


def test_structure_features_know_neither_elements_nor_size():
    lead_sulfide = WyckoffStructure.from_text("225 | 7.11 | Pb:a:0,0,0;S:b:0.5,0.5,0.5")
    first, second = crystal_features([SALT, lead_sulfide])[0].to_numpy()
    assert first == pytest.approx(second)


def test_features_do_not_depend_on_the_description(crystals):
    some = crystals.crystals[::6]
    again = [WyckoffStructure.from_structure(crystal.structure()) for crystal in some]
    for one, other in zip(crystal_features(some), crystal_features(again), strict=True):
        difference = np.abs(one - other).to_numpy()
        assert difference.max() < 0.02 * max(1, one.abs().to_numpy().max())
