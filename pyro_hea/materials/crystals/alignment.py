"""Crystals of one prototype written alike, so that their coordinates can be compared.

There are many ways to write the same crystal: other origins, axes, atoms of an orbit. `align` takes
the one nearest to a reference crystal of the prototype.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pyro_hea.errors import StructureError
from pyro_hea.materials.crystals.cells import Floats, cell_matrix, cell_parameters, wrap
from pyro_hea.materials.crystals.features import roles_of
from pyro_hea.materials.crystals.prototypes import Prototype, assignments, cell_shape, formula_type
from pyro_hea.materials.crystals.symmetry import SpaceGroup
from pyro_hea.materials.crystals.wyckoff import WyckoffStructure

_AS_GOOD = 0.02  # root mean square of fractional coordinates within which two ways are equal


@dataclass(frozen=True)
class Aligned:
    """A crystal as one of its prototype.

    Attributes
    ----------
    elements : tuple of str
        Of each role.
    assignment : int
        Place among `assignments`.
    log_volume : float
        Logarithm of the volume per atom in Å³.
    shape : ndarray, shape (5,)
        `SHAPE`.
    coordinates : ndarray, shape (K,)
        Free coordinates in [0, 1), in the order of `Prototype.orbits`.
    distance : float
        Root mean square difference to the coordinates of the reference.
    """

    elements: tuple[str, ...]
    assignment: int
    log_volume: float
    shape: Floats
    coordinates: Floats
    distance: float


def prototype_like(crystal: WyckoffStructure) -> tuple[Prototype, Aligned]:
    """The prototype whose reference is this crystal, in the canonical setting."""
    crystal = crystal.canonical()
    group, counts, letters = crystal.group, crystal.counts, crystal.letters
    kinds = sorted(counts, key=lambda e: (counts[e], letters[e]))
    own = sorted(crystal.orbits, key=lambda o: (kinds.index(o.element), o.letter, o.point))
    coordinates = [
        value
        for orbit in own
        for value in group.parameters(orbit.letter, np.array(orbit.point))[0].tolist()
    ]
    prototype = Prototype(
        crystal.prototype,
        tuple(letters[element] for element in kinds),
        tuple(coordinates),
        tuple(cell_shape(crystal.cell_parameters).tolist()),
    )
    return prototype, align(crystal, prototype)


def align(crystal: WyckoffStructure, prototype: Prototype) -> Aligned:
    """See a crystal as one of its prototype, as near to the reference as can be.

    Settings of the space group, shifts along polar axes, the mirror image of a chiral crystal,
    points of an orbit and the order of orbits with one letter are gone through. Of assignments
    that are as good the first is taken.

    Raises
    ------
    StructureError
        If the crystal is of another prototype.
    """
    group, roles = crystal.group, roles_of(crystal.counts)
    ways = assignments(formula_type(crystal.counts))
    best: list[tuple[float, Floats, Floats] | None] = [None] * len(ways)
    for setting in group.settings:
        letters = {element: setting.renamed(word) for element, word in crystal.letters.items()}
        matching = [
            k
            for k, way in enumerate(ways)
            if len(roles) == len(way) == len(prototype.kinds)
            and all(
                letters[roles[role]] == kind
                for role, kind in zip(way, prototype.kinds, strict=True)
            )
        ]
        if not matching:
            continue
        matrix = setting.lattice(cell_matrix(crystal.cell_parameters))
        shape = cell_shape(cell_parameters(matrix))
        off = float(np.square(shape - prototype.reference_shape).sum())
        moved = [
            (
                orbit.element,
                setting.letters[orbit.letter],
                setting.rotation @ np.array(orbit.point) + setting.translation,
            )
            for orbit in crystal.orbits
        ]
        for k in matching:
            of_kind = [roles[role] for role in ways[k]]
            for squares, found in _placed(group, prototype, moved, of_kind):
                distance = math.sqrt((squares + off) / max(1, prototype.free))
                known = best[k]
                if known is None or distance < known[0] - 1e-9:
                    best[k] = (distance, shape, found)
    distances = [np.inf if way is None else way[0] for way in best]
    if not np.isfinite(min(distances)):
        raise StructureError(f"{crystal.formula} is of {crystal.prototype}, not {prototype.label}")
    chosen = next(k for k, d in enumerate(distances) if d <= min(distances) + _AS_GOOD)
    way = best[chosen]
    assert way is not None
    distance, shape, found = way
    volume = math.log(crystal.volume_per_atom)
    return Aligned(tuple(roles), chosen, volume, shape, found % 1, distance)


def _placed(
    group: SpaceGroup,
    prototype: Prototype,
    moved: Sequence[tuple[str, str, Floats]],
    of_kind: Sequence[str],
) -> list[tuple[float, Floats]]:
    """Ways to put orbits on those of the prototype: sum of squares and coordinates (K,)."""
    from scipy.optimize import linear_sum_assignment  # takes long to import

    places: dict[tuple[str, int], list[int]] = {}
    for k, place in enumerate(prototype.orbits):
        places.setdefault(place, []).append(k)
    own = {
        (letter, kind): [p for e, x, p in moved if (e, x) == (of_kind[kind], letter)]
        for letter, kind in places
    }
    reference = np.array(prototype.reference)
    found = []
    for shift in _polar_shifts(group, prototype, places, own):
        squares, coordinates = 0.0, np.empty(prototype.free)
        for place, indices in places.items():
            position = group.position(place[0])
            if not position.freedom:
                continue
            targets = np.array([reference[prototype.slices[k]] for k in indices])
            costs = np.empty((len(indices), len(indices)))
            nearest = np.empty((len(indices), len(indices), position.freedom))
            for row, point in enumerate(own[place]):
                choices = group.parameters(place[0], point + shift)
                off = wrap(choices[:, None] - targets)  # (choices, places, freedom)
                square = np.square(off).sum(-1)
                at = square.argmin(0)
                costs[row] = square.min(0)
                nearest[row] = targets + off[at, np.arange(len(targets))]
            rows, columns = linear_sum_assignment(costs)
            squares += float(costs[rows, columns].sum())
            for row, column in zip(rows, columns, strict=True):
                coordinates[prototype.slices[indices[column]]] = nearest[row, column]
        found.append((squares, coordinates))
    return found


def _polar_shifts(
    group: SpaceGroup,
    prototype: Prototype,
    places: Mapping[tuple[str, int], Sequence[int]],
    own: Mapping[tuple[str, int], Sequence[Floats]],
) -> list[Floats]:
    """Shifts along polar axes that put some orbit where one of the reference is."""
    axes = list(group.polar_axes)
    if not axes:
        return [np.zeros(3)]
    rarest = min(places, key=lambda place: len(places[place]))
    position = group.position(rarest[0])
    point = own[rarest][0]
    shifts = []
    for k in places[rarest]:
        target = position.at(np.array(prototype.reference[prototype.slices[k]]))
        for image in group.images(point):
            shift = np.zeros(3)
            shift[axes] = wrap(target - image)[axes]
            shifts.append(shift)
    return list(np.unique(np.round(shifts, 6), axis=0))
