import sys
from types import SimpleNamespace

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from pyro_hea.errors import MissingExtraError
from pyro_hea.materials.crystals import (
    WyckoffStructure,
    check_crystals,
    compare_to_known,
    is_neutral,
    shortest_distance,
    write_cif,
)

SALT = WyckoffStructure.from_text("225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5")


def test_real_crystals_have_nothing_wrong(crystals):
    table = check_crystals(crystals.crystals)
    assert len(table) == len(crystals)
    assert table["space_group_kept"].all()
    assert (table["distance_over_radii"] > 0.75).all()
    assert table["formula"].tolist() == crystals.formulas
    distances = [
        structure.distance_matrix[~(structure.distance_matrix == 0)].min(initial=9)
        for structure in (s * (2, 2, 2) for s in crystals.structures)
    ]
    assert table["shortest_distance"].tolist() == pytest.approx(distances, rel=1e-4)


def test_the_shortest_distance_is_compared_to_covalent_radii():
    distance, ratio = shortest_distance(SALT)
    assert (distance, ratio) == (pytest.approx(2.82), pytest.approx(2.82 / (1.66 + 1.02)))
    squeezed = WyckoffStructure.from_text("225 | 3 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5")
    assert shortest_distance(squeezed)[1] == pytest.approx(1.5 / (1.66 + 1.02))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("136 | 4.594 2.959 | Ti:a:0,0,0;O:f:0.3053,0.3053,0", True),
        ("186 | 3.81 6.23 | Zn:b:0.33333,0.66667,0;S:b:0.33333,0.66667,0.5", False),  # P6_3/mmc
        ("225 | 5.64 | Na:f:0.001,0.001,0.001", False),  # atoms on each other
    ],
)
def test_a_crystal_in_too_low_a_space_group_is_found(text, kept):
    (found,) = check_crystals([WyckoffStructure.from_text(text)])["space_group_kept"]
    assert found == kept


def test_known_crystals_are_recognised(crystals):
    other_cell = crystals.structures[7]
    other_cell.scale_lattice(other_cell.volume * 1.03)
    again = WyckoffStructure.from_structure(other_cell)
    table = compare_to_known([again, SALT], crystals.take(range(3, 12)))
    assert table["new"].tolist() == [False, True]
    assert table["match"].tolist() == [crystals.ids[7], ""]
    assert table.loc[0, ["nearest", "nearest_distance"]].tolist() == [crystals.ids[7], 0]
    assert "NaCl" not in table["nearest_formula"].tolist()


def test_the_nearest_known_crystal_is_of_the_same_prototype(crystals):
    sodium = WyckoffStructure.from_text("225 | 5.1 | K:a:0,0,0;F:b:0.5,0.5,0.5")
    row = compare_to_known([sodium], crystals).iloc[0]
    nearest = crystals.info.loc[row["nearest"]]
    assert nearest["prototype"] == sodium.prototype
    rock_salt = crystals.info["prototype"] == sodium.prototype
    sharing = [f for f in crystals.info.loc[rock_salt, "formula"] if "K" in f or "F" in f]
    assert row["nearest_formula"] in sharing
    assert row["nearest_distance"] == 0.5


def test_neutrality_is_that_of_smact(monkeypatch):
    asked = []
    screening = SimpleNamespace(smact_validity=lambda formula: asked.append(formula) or True)
    monkeypatch.setitem(sys.modules, "smact", SimpleNamespace(screening=screening))
    monkeypatch.setitem(sys.modules, "smact.screening", screening)
    table = check_crystals([SALT], neutrality=True)
    assert table["neutral"].tolist() == [True]
    assert asked == ["Na1Cl1"]


def test_neutrality_without_smact_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "smact", None)
    monkeypatch.setitem(sys.modules, "smact.screening", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pyro-hea\[crystals\]"'):
        is_neutral({"Na": 1, "Cl": 1})


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")  # 1/3 has 8 digits
def test_a_cif_is_the_crystal_with_its_symmetry(crystals, tmp_path):
    for crystal in crystals.crystals[:12]:
        path = write_cif(crystal, tmp_path / "crystal.cif")
        text = path.read_text(encoding="utf-8")
        assert f"_symmetry_Int_Tables_number   {crystal.number}" in text
        assert StructureMatcher(stol=0.02).fit(Structure.from_file(path), crystal.structure())
