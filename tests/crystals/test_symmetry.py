import numpy as np
import pytest
from pymatgen.symmetry.groups import SpaceGroup as PymatgenGroup

from pyro_hea.errors import StructureError
from pyro_hea.materials.crystals import space_group
from pyro_hea.materials.crystals.cells import wrap

SOME = (1, 2, 5, 12, 15, 19, 33, 36, 47, 62, 70, 92, 139, 148, 156, 166, 186, 194, 205, 216, 225)


@pytest.fixture(scope="module")
def tables():
    """Those of pymatgen, which take seconds to load."""
    from pymatgen.analysis.prototypes import _data

    return _data


def test_positions_are_those_of_pymatgen(tables):
    for number in range(1, 231):
        group, known = space_group(number), tables.WYCKOFF_MULTIPLICITY_DICT[str(number)]
        freedom = tables.WYCKOFF_POSITION_PARAM_DICT[str(number)]
        assert set(group.positions) == set(known)
        general = len(group.rotations) / max(known.values())  # pymatgen's may be of another cell
        for letter, position in group.positions.items():
            assert position.multiplicity == known[letter] * general, (number, letter)
            assert position.freedom == freedom[letter], (number, letter)


def test_crystal_systems_and_point_groups_are_those_of_pymatgen():
    for number in SOME:
        ours, theirs = space_group(number), PymatgenGroup.from_int_number(number)
        assert ours.crystal_system == theirs.crystal_system
        assert ours.point_group_order == len({op.rotation_matrix.tobytes() for op in theirs})


@pytest.mark.parametrize("number", SOME)
def test_settings_keep_the_operations_of_the_group(number):
    group = space_group(number)
    rng = np.random.default_rng(0)
    for setting in group.settings:
        point = rng.random(3)
        there = setting.rotation @ group.images(point).T + setting.translation[:, None]
        here = group.images(setting.rotation @ point + setting.translation)
        off = np.abs(wrap(there.T[:, None] - here)).max(-1).min(1)
        assert off.max() < 1e-9


@pytest.mark.parametrize("number", SOME)
def test_settings_rename_positions_as_pymatgen_says(number, tables):
    def renaming(letters):
        return tuple(sorted(letters.items()))

    known = {
        renaming({chr(old): chr(ord(new)) for old, new in table.items()})
        for table in tables.WYCKOFF_POSITION_RELAB_DICT[str(number)]
    }
    assert {renaming(setting.letters) for setting in space_group(number).settings} == known


def test_an_orbit_has_as_many_atoms_as_its_position_says():
    for number in SOME:
        group = space_group(number)
        for letter, position in group.positions.items():
            parameters = np.array([0.1234, 0.3217, 0.2771])[: position.freedom]
            assert len(group.orbit(letter, parameters)) == position.multiplicity
            found = group.parameters(letter, group.orbit(letter, parameters)[-1])
            assert np.abs(wrap(found - parameters)).max(-1, initial=0).min() < 1e-9


def test_a_point_on_a_more_special_position_is_refused():
    with pytest.raises(StructureError, match="4 atoms where there have to be 32"):
        space_group(225).orbit("f", np.zeros(1))


def test_a_point_off_its_position_is_refused():
    with pytest.raises(StructureError, match="no point of Wyckoff position 'a'"):
        space_group(225).parameters("a", np.array([0.1, 0, 0]))


def test_what_does_not_exist_is_named():
    with pytest.raises(StructureError, match="no space group 231"):
        space_group(231)
    with pytest.raises(StructureError, match="no Wyckoff position 'm'; allowed: a, b"):
        space_group(225).position("m")
