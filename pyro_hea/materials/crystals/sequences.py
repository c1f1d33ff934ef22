"""Prototypes as sequences of choices: space group, formula units, Wyckoff positions kind by kind.

The positions of each kind of atom come in the order of their letters, so that a prototype in one
setting is one sequence. Equivalent settings of a space group give several sequences of one
prototype; those of `Prototype` are in the canonical setting, and `prototype_of_sequence` names any
of them by the canonical one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np

from pyro_hea.materials.crystals.cells import Floats
from pyro_hea.materials.crystals.prototypes import Prototype
from pyro_hea.materials.crystals.symmetry import CRYSTAL_SYSTEMS, space_group
from pyro_hea.materials.crystals.wyckoff import prototype_of

GROUPS = 230
POSITIONS = 27
"""Wyckoff positions of a space group at most."""

Choices = tuple[int, ...]
"""Space group - 1, formula units of the primitive cell - 1, then places of Wyckoff positions."""


class Begun(NamedTuple):
    """Where a sequence stands that has a space group and formula units.

    Attributes
    ----------
    kind : int
        Kind of atom whose positions are being chosen.
    left : int
        Atoms of that kind that have no position yet.
    here, before : tuple of int
        How often each position was taken by that kind, and by the kinds before it.
    """

    kind: int
    left: int
    here: tuple[int, ...]
    before: tuple[int, ...]


def sequence_of(prototype: Prototype) -> Choices:
    """The choices that make a prototype.

    Examples
    --------
    >>> sequence_of(Prototype("225:a|b", ("a", "b"), (), ()))
    (224, 0, 0, 1)
    """
    group = prototype.group
    place = {letter: k for k, letter in enumerate(group.positions)}
    units = prototype.counts[0] // prototype.formula_type[0]
    letters = [k for word in prototype.kinds for k in sorted(place[x] for x in word)]
    return (group.number - 1, units - 1, *letters)


def prototype_of_sequence(sequence: Choices, counts: tuple[int, ...]) -> Prototype:
    """The prototype of a complete sequence for a formula type, without a reference crystal.

    Examples
    --------
    >>> prototype_of_sequence((224, 0, 1, 0), (1, 1)).label  # another origin
    '225:a|b'
    """
    group = space_group(sequence[0] + 1)
    letters = list(group.positions)
    words = [""] * len(counts)
    for k, place in enumerate(sequence[2:], 2):
        words[begun(sequence[:k], counts).kind] += letters[place]
    kinds = tuple("".join(sorted(word)) for word in words)
    label = prototype_of(group, {str(k): word for k, word in enumerate(kinds)})
    return Prototype(label, kinds, (), ())


@cache
def begun(sequence: Choices, counts: tuple[int, ...]) -> Begun:
    """Where a sequence for a formula type stands; nothing is left after the last kind."""
    if len(sequence) == 2:
        none = (0,) * POSITIONS
        return Begun(0, (sequence[1] + 1) * counts[0], none, none)
    kind, left, here, before = begun(sequence[:-1], counts)
    last = sequence[-1]
    left -= _positions(sequence[0])[last][0]
    here = tuple(n + (k == last) for k, n in enumerate(here))
    if left:
        return Begun(kind, left, here, before)
    before = tuple(a + b for a, b in zip(here, before, strict=True))
    left = (sequence[1] + 1) * counts[kind + 1] if kind + 1 < len(counts) else 0
    return Begun(kind + 1, left, (0,) * POSITIONS, before)


@cache
def choices(sequence: Choices, counts: tuple[int, ...], largest: int) -> tuple[bool, ...]:
    """Which choices may follow, such that the sequence can be completed; none if it is complete.

    Parameters
    ----------
    sequence : tuple of int
        What was chosen so far.
    counts : tuple of int
        Formula type, ascending.
    largest : int
        Atoms of the primitive cell at most.

    Returns
    -------
    tuple of bool
        By space group, by formula units, or by Wyckoff position.

    Examples
    --------
    >>> choices((224, 0, 0), (1, 1), 2)[:4]  # after a, without free coordinates, only b is left
    (False, True, False, False)
    """
    if not sequence:
        return tuple(any(choices((group,), counts, largest)) for group in range(GROUPS))
    positions = _positions(sequence[0])
    every = _distinct(m for m, fixed in positions if not fixed)
    if len(sequence) == 1:
        once = tuple(sorted(m for m, fixed in positions if fixed))
        several = [
            tuple(units * count for count in counts)
            for units in range(1, largest // sum(counts) + 1)
        ]
        return tuple(_fits(n[0], n[1:], once, every, (), every) for n in several)
    kind, left, here, before = begun(sequence, counts)
    if not left:
        return ()
    later = tuple((sequence[1] + 1) * count for count in counts[kind + 1 :])
    first = max((k for k, n in enumerate(here) if n), default=0)
    used = [a + b > 0 for a, b in zip(here, before, strict=True)]
    allowed = [False] * len(positions)
    for k, (m, fixed) in enumerate(positions):
        if k < first or m > left or (fixed and used[k]):
            continue
        unused = [j for j, (_, once) in enumerate(positions) if once and not used[j] and j != k]
        after, aside = (
            tuple(sorted(positions[j][0] for j in unused if (j > k) == is_after))
            for is_after in (True, False)
        )
        free = _distinct(n for n, once in positions[k:] if not once)
        allowed[k] = _fits(left - m, later, after, free, aside, every)
    return tuple(allowed)


@cache
def _fits(
    left: int,
    later: tuple[int, ...],
    once: tuple[int, ...],
    free: tuple[int, ...],
    aside: tuple[int, ...],
    every: tuple[int, ...],
) -> bool:
    """Whether multiplicities add up to what is `left` of a kind, and to the `later` kinds.

    `once` and `aside` are multiplicities of positions without free coordinates, the latter for
    later kinds alone; `free` and `every` those of other positions, for this kind and for later
    ones.
    """
    if not left:
        if not later:
            return True
        return _fits(later[0], later[1:], tuple(sorted(once + aside)), every, (), every)
    return any(_fits(left - m, later, once, free, aside, every) for m in free if m <= left) or any(
        _fits(left - m, later, once[:k] + once[k + 1 :], free, aside, every)
        for k, m in enumerate(once)
        if m <= left and m not in once[:k]
    )


def _distinct(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(values), reverse=True))


@cache
def _positions(group: int) -> tuple[tuple[int, bool], ...]:
    """Multiplicity in the primitive cell of each position, and whether its place is fixed."""
    of = space_group(group + 1)
    return tuple((of.multiplicity(x), not p.freedom) for x, p in of.positions.items())


class PositionTable(NamedTuple):
    """What a network reads of space groups and their Wyckoff positions.

    Attributes
    ----------
    groups : ndarray, shape (230, G)
        Crystal system, centring, order of the point group, inversion, polar axes.
    positions : ndarray, shape (230, 27, F)
        Multiplicity, free coordinates, order of the site symmetry; zeros beyond the last.
    site_symmetry : ndarray of int, shape (230, 27)
        Place among all symbols.
    """

    groups: Floats
    positions: Floats
    site_symmetry: Floats


@cache
def position_table() -> PositionTable:
    """That of every space group."""
    groups, symbols = [], dict[str, int]()
    positions, symmetry = np.zeros((GROUPS, POSITIONS, 7)), np.zeros((GROUPS, POSITIONS), int)
    for row in range(GROUPS):
        group = space_group(row + 1)
        order = group.point_group_order
        groups.append(
            [
                *(float(group.crystal_system == system) for system in CRYSTAL_SYSTEMS),
                *(float(group.symbol[0] == centring) for centring in "PACIFR"),
                np.log2(order) / 3,
                float((group.rotations == -np.eye(3)).all((1, 2)).any()),
                float(len(group.polar_axes)),
            ]
        )
        for k, (letter, position) in enumerate(group.positions.items()):
            m = group.multiplicity(letter)
            free = [float(position.freedom == n) for n in range(4)]
            positions[row, k] = [np.log2(m) / 3, m / 8, np.log2(order / m) / 3, *free]
            symmetry[row, k] = symbols.setdefault(position.site_symmetry, len(symbols))
    return PositionTable(np.array(groups), positions, symmetry)


def orbits_in_order(prototype: Prototype) -> list[int]:
    """Places among `Prototype.orbits` in the order of the choices."""
    place = {letter: k for k, letter in enumerate(prototype.group.positions)}
    orbits = prototype.orbits
    return sorted(range(len(orbits)), key=lambda o: (orbits[o][1], place[orbits[o][0]]))
