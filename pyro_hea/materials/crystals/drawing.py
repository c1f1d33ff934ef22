"""Atoms of a cell as they are drawn: those on faces and edges on the opposite ones too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.crystals.wyckoff import WyckoffStructure

_EDGE = 1e-3
"""Fractional distance within which an atom lies on a face."""


def atoms_to_draw(
    positions: NDArray[np.float64], elements: Sequence[str]
) -> tuple[NDArray[np.float64], list[str]]:
    """Fractional positions (N, 3) within a cell, those at 0 along an axis at 1 too.

    Examples
    --------
    >>> positions, names = atoms_to_draw(np.array([[0.0, 0.5, 0.5], [0.3, 0.3, 0.3]]), ["Na", "Cl"])
    >>> names, positions[:, 0].tolist()
    (['Na', 'Na', 'Cl'], [0.0, 1.0, 0.3])
    """
    shown, names = [], []
    for position, name in zip(np.asarray(positions, float) % 1, elements, strict=True):
        position = np.where(position > 1 - _EDGE, 0.0, position)
        for shift in product(*[(0.0, 1.0) if x < _EDGE else (0.0,) for x in position]):
            shown.append(position + shift)
            names.append(name)
    return np.array(shown), names


def cell_to_draw(
    crystal: WyckoffStructure,
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Axes (3, 3) in Å, fractional positions and elements of the standard cell to draw."""
    structure = crystal.structure(primitive=False)
    names = [site.specie.symbol for site in structure]
    return structure.lattice.matrix, *atoms_to_draw(structure.frac_coords, names)
