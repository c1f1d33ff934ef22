import math

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from pyro_hea.errors import StructureError
from pyro_hea.materials.crystals import (
    Orbit,
    WyckoffStructure,
    align,
    assignments,
    formula_type,
    prototype_like,
)
from pyro_hea.materials.crystals.cells import cell_matrix, cell_parameters, wrap

TIGHT = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=1)
WURTZITE = "186 | 3.81 6.23 | Zn:b:0.33333,0.66667,0;S:b:0.33333,0.66667,0.375"
IRON_SILICIDE = "198 | 4.48 | Fe:a:0.136,0.136,0.136;Si:a:0.841,0.841,0.841"
PEROVSKITE = "221 | 3.9 | Sr:a:0,0,0;Ti:b:0.5,0.5,0.5;O:c:0,0.5,0.5"


def described_otherwise(crystal, setting, shift):
    """The crystal in another setting, shifted along its polar axes."""
    along = np.zeros(3)
    along[list(crystal.group.polar_axes)] = shift
    orbits = []
    for orbit in crystal.orbits:
        point = setting.rotation @ np.array(orbit.point) + setting.translation + along
        images = crystal.group.images(point)
        x, y, z = (float(value) for value in images[len(images) // 2])
        orbits.append(Orbit(orbit.element, setting.letters[orbit.letter], (x, y, z)))
    full = cell_parameters(setting.lattice(cell_matrix(crystal.cell_parameters)))
    lattice = tuple(full[i] for i in crystal.group.free_lattice)
    return WyckoffStructure(crystal.number, lattice, tuple(orbits[::-1]))


def test_assignments_exchange_roles_of_equal_amounts():
    assert assignments((1, 1, 3)) == ((0, 1, 2), (1, 0, 2))
    assert len(assignments((1, 1, 1, 1))) == 24
    assert assignments((1, 2)) == ((0, 1),)
    assert len(assignments((1, 1, 2, 2, 2))) == 12


def test_a_crystal_survives_the_way_through_its_prototype(crystals):
    for crystal in crystals.crystals:
        prototype, aligned = prototype_like(crystal)
        assert prototype.label == crystal.prototype
        assert prototype.formula_type == formula_type(crystal.counts)
        assert (prototype.atoms, len(prototype.reference)) == (crystal.atoms, prototype.free)
        assert aligned.distance < 1e-4
        back = prototype.crystal(
            aligned.elements,
            aligned.assignment,
            aligned.log_volume,
            aligned.shape,
            aligned.coordinates,
        )
        assert back.counts == crystal.counts
        assert back.volume_per_atom == pytest.approx(crystal.volume_per_atom)
        assert TIGHT.fit(back.structure(), crystal.structure())


def test_members_of_a_prototype_survive_the_way_through_another_one(crystals):
    seen = {}
    for crystal in crystals.crystals:
        prototype = seen.setdefault(crystal.prototype, prototype_like(crystal)[0])
        aligned = align(crystal, prototype)
        numbers = (aligned.assignment, aligned.log_volume, aligned.shape, aligned.coordinates)
        back = prototype.crystal(aligned.elements, *numbers)
        assert TIGHT.fit(back.structure(), crystal.structure())


def test_the_description_of_a_crystal_does_not_matter(crystals):
    several = 0
    for crystal in crystals.crystals:
        prototype, plain = prototype_like(crystal)
        for setting in crystal.group.settings[::3]:
            other = described_otherwise(crystal, setting, 0.2345)
            found = align(other, prototype)
            assert found.assignment == plain.assignment
            assert found.distance < 1e-3
            assert np.abs(wrap(found.coordinates - plain.coordinates)).max(initial=0) < 1e-3
            assert found.shape == pytest.approx(plain.shape, abs=1e-3)
            several += prototype.free > 0
    assert several > 20


def test_the_mirror_image_of_a_chiral_crystal_is_the_same_to_a_model():
    crystal = WyckoffStructure.from_text(IRON_SILICIDE)
    prototype, plain = prototype_like(crystal)
    mirror = next(s for s in crystal.group.settings if s.mirrored)
    found = align(described_otherwise(crystal, mirror, 0.0), prototype)
    assert found.coordinates == pytest.approx(plain.coordinates, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "different"),
    [
        ("225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5", 1),  # cation and anion exchanged: no other
        (WURTZITE, 1),
        (PEROVSKITE, 2),  # A and B exchanged: another crystal
    ],
)
def test_assignments_that_are_one_crystal_have_one_number(text, different):
    crystal = WyckoffStructure.from_text(text)
    prototype, aligned = prototype_like(crystal)
    numbers = set()
    for k in range(len(assignments(prototype.formula_type))):
        other = prototype.crystal(
            aligned.elements, k, aligned.log_volume, aligned.shape, aligned.coordinates
        )
        numbers.add(align(other, prototype).assignment)
    assert len(numbers) == different
    assert 0 in numbers


def test_an_assignment_says_which_element_is_where():
    prototype, _ = prototype_like(WyckoffStructure.from_text(PEROVSKITE))
    shape = prototype.reference_shape
    one, other = (
        prototype.crystal(["Sr", "Ti", "O"], k, math.log(12), shape, prototype.reference)
        for k in (0, 1)
    )
    assert {one.letters["Sr"], other.letters["Sr"]} == {"a", "b"}
    assert one.letters["O"] == other.letters["O"] == "c"
    assert one.volume_per_atom == pytest.approx(12)


def test_another_prototype_is_refused(crystals):
    prototype, _ = prototype_like(WyckoffStructure.from_text(PEROVSKITE))
    with pytest.raises(StructureError, match=r"is of .*, not 221:a\|b\|c"):
        align(crystals.crystals[0], prototype)


def test_another_number_of_elements_is_refused():
    prototype, aligned = prototype_like(WyckoffStructure.from_text(PEROVSKITE))
    with pytest.raises(StructureError, match="has 3 elements, not 2"):
        prototype.crystal(["Na", "Cl"], 0, 3.0, aligned.shape, aligned.coordinates)
