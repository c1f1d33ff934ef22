import re

import numpy as np
import pytest
from pymatgen.analysis.prototypes import get_protostructure_label_from_spglib
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from pyro_hea.errors import StructureError, UnknownElementError
from pyro_hea.materials.crystals import WyckoffStructure, space_group
from pyro_hea.materials.crystals.wyckoff import prototype_of

RUTILE = "136 | 4.594 2.959 | Ti:a:0,0,0;O:f:0.3053,0.3053,0"
WURTZITE = "186 | 3.81 6.23 | Zn:b:0.33333,0.66667,0;S:b:0.33333,0.66667,0.375"

TIGHT = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=1)


def test_rutile_is_decoded_to_six_atoms_with_the_bonds_of_rutile():
    structure = WyckoffStructure.from_text(RUTILE).structure()
    assert structure.composition.formula == "Ti2 O4"
    assert structure.volume == pytest.approx(4.594**2 * 2.959)
    titanium = structure.indices_from_symbol("Ti")[0]
    bonds = sorted(n.nn_distance for n in structure.get_neighbors(structure[titanium], 2.2))
    equatorial = np.hypot(4.594 * (0.5 - 0.3053) * np.sqrt(2), 2.959 / 2)
    apical = 4.594 * 0.3053 * np.sqrt(2)
    assert bonds == pytest.approx(sorted([equatorial] * 4 + [apical] * 2))


def test_a_primitive_cell_is_that_of_the_standard_one():
    salt = WyckoffStructure.from_text("225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5")
    primitive, standard = salt.structure(), salt.structure(primitive=False)
    assert (len(primitive), len(standard)) == (2, 8)
    assert primitive.volume * 4 == pytest.approx(standard.volume)
    assert TIGHT.fit(primitive, standard)


def test_every_crystal_survives_the_way_through_a_structure(crystals):
    for crystal in crystals.crystals:
        back = WyckoffStructure.from_structure(crystal.structure())
        assert (back.counts, back.number) == (crystal.counts, crystal.number)
        assert back.prototype == crystal.prototype
        assert back.volume_per_atom == pytest.approx(crystal.volume_per_atom, rel=2e-3)
        assert TIGHT.fit(back.structure(), crystal.structure())


@pytest.mark.slow
def test_every_packaged_crystal_survives_the_way_through_a_structure(packaged):
    other_group = 0
    for crystal in packaged.crystals:
        structure = crystal.structure()
        back = WyckoffStructure.from_structure(structure)
        assert structure.composition.reduced_formula == crystal.formula
        assert back.counts == crystal.counts
        assert back.volume_per_atom == pytest.approx(crystal.volume_per_atom, rel=2e-3)
        other_group += back.number != crystal.number
    assert other_group <= 0.001 * len(packaged)


def test_the_cell_that_a_structure_is_written_in_does_not_matter():
    crystal = WyckoffStructure.from_text(RUTILE).canonical()
    structure = crystal.structure()
    structure.make_supercell([[1, 1, 0], [0, 1, 0], [1, 0, 2]])
    structure.translate_sites(list(range(len(structure))), [0.13, 0.27, 0.41])
    rng = np.random.default_rng(0)
    turned = Structure(
        Lattice(structure.lattice.matrix @ np.linalg.qr(rng.normal(size=(3, 3)))[0]),
        structure.species,
        structure.frac_coords,
    )
    shuffled = Structure.from_sites([turned[i] for i in rng.permutation(len(turned))])
    back = WyckoffStructure.from_structure(shuffled)
    assert back.prototype == crystal.prototype
    assert back.counts == crystal.counts
    assert TIGHT.fit(back.structure(), crystal.structure())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of spglib in pymatgen
@pytest.mark.filterwarnings("ignore:gcd is deprecated:FutureWarning")
def test_prototypes_are_those_of_pymatgen(crystals):
    for crystal in crystals.crystals:
        # AB2_tP6_136_a_f:O-Ti: an element's letters with numbers before them
        label = get_protostructure_label_from_spglib(crystal.structure(), init_symprec=0.01)
        number, *words = label.split(":")[0].split("_")[2:]
        letters = {
            str(k): "".join(x * int(n or 1) for n, x in re.findall(r"(\d*)([a-zA-Z])", word))
            for k, word in enumerate(words)
        }
        assert prototype_of(space_group(int(number)), letters) == crystal.prototype


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (  # the anion at the origin instead of the cation
            "225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5",
            "225 | 5.64 | Na:b:0.5,0.5,0.5;Cl:a:0,0,0",
        ),
        (  # perovskite, either cation at the origin
            "221 | 3.9 | Sr:a:0,0,0;Ti:b:0.5,0.5,0.5;O:c:0,0.5,0.5",
            "221 | 3.9 | Sr:b:0.5,0.5,0.5;Ti:a:0,0,0;O:d:0,0.5,0",
        ),
        (  # axes of an orthorhombic cell exchanged
            "47 | 3 4 5 | Na:a:0,0,0;Cl:b:0.5,0,0",
            "47 | 4 3 5 | Na:a:0,0,0;Cl:e:0,0.5,0",
        ),
    ],
)
def test_descriptions_of_one_crystal_are_one_prototype(one, other):
    first, second = WyckoffStructure.from_text(one), WyckoffStructure.from_text(other)
    assert TIGHT.fit(first.structure(), second.structure())
    assert first.prototype == second.prototype
    assert first.canonical().letters == second.canonical().letters


def test_the_canonical_setting_is_the_same_crystal(crystals):
    for crystal in crystals.crystals:
        assert TIGHT.fit(crystal.canonical().structure(), crystal.structure())


def test_text_is_read_as_it_is_written(crystals):
    for text in crystals.text:
        assert WyckoffStructure.from_text(text).text == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("225 | 5.64", "is no crystal; write 'space group"),
        ("225 | 5.64 | Na:a:0,0", "is no crystal"),
        ("225 | 5.64 6 | Na:a:0,0,0", "a cubic lattice has the positive parameters a, not 5.64 6"),
        ("12 | 5 6 7 -90 | Na:a:0,0,0", "parameters a, b, c, β"),
        ("225 | 5.64 | Na:z:0,0,0", "no Wyckoff position 'z'"),
        ("300 | 5.64 | Na:a:0,0,0", "no space group 300"),
    ],
)
def test_malformed_text_is_refused(text, why):
    with pytest.raises(StructureError, match=why):
        WyckoffStructure.from_text(text)


def test_an_unknown_element_is_named():
    with pytest.raises(UnknownElementError, match="no element 'Nk'"):
        WyckoffStructure.from_text("225 | 5.64 | Nk:a:0,0,0")


def test_a_cell_that_cannot_be_is_refused():
    flat = WyckoffStructure.from_text("1 | 3 3 3 60 60 170 | Na:a:0,0,0")
    with pytest.raises(StructureError, match="no cell has the angles"):
        flat.structure()


CUBE = Lattice.cubic(4)


@pytest.mark.parametrize(
    ("structure", "why"),
    [
        (
            Structure(CUBE, [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]),
            "partly occupied .*K.*; write an ordered model",
        ),
        (Structure(CUBE, [{"Na": 0.7}], [[0, 0, 0]]), "partly occupied"),
        (
            Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [0.01, 0, 0]]),
            r"atoms 1 \(Na\) and 2 \(Cl\) overlap: they are 0.04 Å apart",
        ),
        (Structure(CUBE, ["X0+"], [[0, 0, 0]]), "'X' is no element"),
        (Structure(CUBE, [], []), "no atoms"),
        (
            Structure(CUBE, ["H"], [[0, 0, 0]]) * (13, 13, 13),
            "2197 atoms in the cell; at most 2000",
        ),
    ],
)
def test_structures_that_cannot_be_read_are_refused(structure, why):
    with pytest.raises(StructureError, match=why):
        WyckoffStructure.from_structure(structure)


def test_a_structure_in_which_spglib_finds_nothing_is_refused(monkeypatch):
    monkeypatch.setattr("spglib.get_symmetry_dataset", lambda *_, **__: None)
    with pytest.raises(StructureError, match=r"spglib finds no symmetry at symprec 0\.01 Å"):
        WyckoffStructure.from_structure(Structure(CUBE, ["Na"], [[0, 0, 0]]))


def test_a_structure_without_symmetry_is_read():
    rng = np.random.default_rng(1)
    structure = Structure(
        Lattice.from_parameters(4, 5, 6, 80, 95, 105), ["Na", "Cl", "O"], rng.random((3, 3))
    )
    crystal = WyckoffStructure.from_structure(structure)
    assert (crystal.number, crystal.atoms) == (1, 3)
    assert TIGHT.fit(crystal.structure(), structure)
