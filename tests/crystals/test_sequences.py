"""Prototypes as sequences of choices, against enumerations by hand."""

from collections import Counter
from itertools import combinations_with_replacement, product

import numpy as np
import pytest

from pyro_hea.materials.crystals import shortest_distance, space_group
from pyro_hea.materials.crystals.cells import cell_matrix
from pyro_hea.materials.crystals.placing import pushed_apart
from pyro_hea.materials.crystals.prototypes import Prototype
from pyro_hea.materials.crystals.sequences import (
    choices,
    orbits_in_order,
    prototype_of_sequence,
    sequence_of,
)


def walk(counts, largest, begun=()):
    """Every sequence to which the choices lead."""
    allowed = choices(begun, counts, largest)
    if not allowed:
        yield begun
    for choice in np.flatnonzero(allowed).tolist():
        yield from walk(counts, largest, (*begun, choice))


def by_hand(number, units, counts):
    """Every way to put whole orbits on the kinds of a formula type."""
    group = space_group(number)
    letters = list(group.positions)
    words = [
        [
            word
            for length in range(1, units * count + 1)
            for word in combinations_with_replacement(range(len(letters)), length)
            if sum(group.multiplicity(letters[x]) for x in word) == units * count
        ]
        for count in counts
    ]
    for ways in product(*words):
        times = Counter(x for word in ways for x in word)
        if all(n == 1 or group.position(letters[x]).freedom for x, n in times.items()):
            yield (number - 1, units - 1, *(x for word in ways for x in word))


@pytest.mark.parametrize("number", [2, 47, 99, 139, 166, 216, 225])
@pytest.mark.parametrize("counts", [(1,), (1, 2), (1, 1, 1)])
def test_choices_lead_to_every_prototype_and_to_no_dead_end(number, counts):
    units = 3 // len(counts)
    largest = units * sum(counts)
    found = list(walk(counts, largest, (number - 1,))) if any(
        choices((number - 1,), counts, largest)
    ) else []  # fmt: skip
    expected = [s for u in range(1, units + 1) for s in by_hand(number, u, counts)]
    assert sorted(found) == sorted(expected)


def test_a_prototype_is_its_sequence(vocabulary):
    for prototype in vocabulary.prototypes:
        sequence = sequence_of(prototype)
        again = prototype_of_sequence(sequence, prototype.formula_type)
        assert (again.label, again.kinds) == (prototype.label, prototype.kinds)
        for k, choice in enumerate(sequence):
            assert choices(sequence[:k], prototype.formula_type, vocabulary.largest)[choice]
        assert choices(sequence, prototype.formula_type, vocabulary.largest) == ()


def test_equivalent_settings_are_one_prototype():
    cscl, other = (prototype_of_sequence((220, 0, *way), (1, 1)).label for way in ((0, 1), (1, 0)))
    assert cscl == other == "221:a|b"


def test_orbits_are_in_the_order_of_the_choices():
    prototype = Prototype("47:Aa|a", ("Aq", "a"), (), ())  # A is the last position, not the first
    assert [prototype.orbits[o][0] for o in orbits_in_order(prototype)] == ["q", "A", "a"]


def test_overlapping_atoms_are_pushed_apart():
    prototype = Prototype("129:c|c", ("c", "c"), (), ())
    cell = cell_matrix((4.0, 4.0, 6.0, 90, 90, 90))
    start = np.array([[0.2, 0.25], [0.6, 0.1]])
    moved = pushed_apart(prototype, start, cell, np.full((2, 2), 1.2), 0.9)
    volume = np.log(np.linalg.det(cell) / 4)
    for ways, near in ((start, True), (moved, False)):
        ratios = [
            shortest_distance(
                prototype.crystal(("Fe", "Se"), 0, volume, (0, np.log(1.5), *[np.pi / 2] * 3), way)
            )[0]
            / 2.4
            for way in ways
        ]
        assert (min(ratios) < 0.7) == near
        assert near or min(ratios) > 0.85
