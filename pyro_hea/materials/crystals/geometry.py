"""Distances between the atoms of a crystal."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyro_hea.materials.crystals.cells import Floats
from pyro_hea.materials.crystals.wyckoff import WyckoffStructure

_REACH = 2.5  # cutoff, in units of the cube root of the volume per atom
_PAIRS = 2_000_000  # distances computed at once


@dataclass(frozen=True)
class Neighbours:
    """Every neighbour of one atom of each orbit, flat; pairs (P,).

    Attributes
    ----------
    orbit, other : ndarray of int, shape (P,)
        Orbit of the atom, and of its neighbour.
    distance : ndarray, shape (P,)
        In Å.
    """

    orbit: NDArray[np.int_]
    other: NDArray[np.int_]
    distance: Floats


def neighbours(crystal: WyckoffStructure) -> Neighbours:
    """Neighbours of one atom of each orbit.

    Examples
    --------
    >>> salt = WyckoffStructure.from_text("225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5")
    >>> found = neighbours(salt)
    >>> round(float(found.distance.min()), 2), int((found.distance < 2.9).sum())  # six of either
    (2.82, 12)
    """
    matrix, points = crystal.atoms_of_orbits()
    orbit_of = np.repeat(np.arange(len(points)), [len(atoms) for atoms in points])
    every = np.vstack(points)
    first = np.array([atoms[0] for atoms in points])
    volume = abs(float(np.linalg.det(matrix)))
    radius = _REACH * (volume / len(every)) ** (1 / 3)
    heights = 1 / np.linalg.norm(np.linalg.inv(matrix), axis=0)
    difference = every - first[:, None]
    difference -= np.floor(difference)  # into one cell: an image at most `radius` away
    spans = [range(-int(np.ceil(radius / h)) - 1, int(np.ceil(radius / h)) + 1) for h in heights]
    shifts = np.array(list(itertools.product(*spans)))
    pairs = []
    at_once = max(1, _PAIRS // (len(every) * len(shifts)))  # what fits into memory
    for start in range(0, len(first), at_once):
        vectors = (difference[start : start + at_once, :, None] + shifts) @ matrix
        distance = np.linalg.norm(vectors, axis=-1)
        inside = (distance < radius) & (distance > 1e-4)
        orbit, atom, _ = np.nonzero(inside)
        pairs.append((orbit + start, orbit_of[atom], distance[inside]))
    orbits, others, distances = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return Neighbours(orbits, others, distances)


def coordination_weights(found: Neighbours, orbits: int) -> Floats:
    """How much each neighbour counts towards the effective coordination number, (P,).

    exp(1 - (d / d̄)⁶) with the mean distance d̄ that these weights make (Hoppe, Z. Kristallogr. 150
    (1979) 23); their sum over the neighbours of an atom is its coordination number.
    """
    shortest = np.full(orbits, np.inf)
    np.minimum.at(shortest, found.orbit, found.distance)
    mean = shortest
    for _ in range(8):  # it has converged
        weights = np.exp(1 - (found.distance / mean[found.orbit]) ** 6)
        total = np.bincount(found.orbit, weights, orbits)
        mean = np.bincount(found.orbit, weights * found.distance, orbits) / np.maximum(total, 1e-9)
    return np.asarray(np.exp(1 - (found.distance / mean[found.orbit]) ** 6))
