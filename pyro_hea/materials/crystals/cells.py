"""Cells: free lattice parameters, basis vectors and fractional coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pyro_hea.errors import StructureError

Floats = NDArray[np.float64]

# Free parameters among a, b, c, alpha, beta, gamma.
FREE_LATTICE: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "triclinic": (0, 1, 2, 3, 4, 5),
        "monoclinic": (0, 1, 2, 4),
        "orthorhombic": (0, 1, 2),
        "tetragonal": (0, 2),
        "trigonal": (0, 2),
        "hexagonal": (0, 2),
        "cubic": (0,),
    }
)


def wrap(difference: Floats) -> Floats:
    """Differences of fractional coordinates, in [-0.5, 0.5]."""
    return difference - np.rint(difference)


def distinct(points: Floats) -> Floats:
    """Each of some fractional coordinates (N, 3) once, in their order; exact but for rounding."""
    # The odd offset keeps round coordinates off the edges of the grid.
    keys = np.floor(points * 1e6 + 1 / np.pi).astype(int) % 1_000_000
    return points[np.sort(np.unique(keys, axis=0, return_index=True)[1])]


def full_lattice(
    crystal_system: str, lattice: Iterable[float]
) -> tuple[float, float, float, float, float, float]:
    """a, b, c, α, β, γ from the free ones."""
    full = [0.0, 0.0, 0.0, 90.0, 90.0, 90.0]
    for place, value in zip(FREE_LATTICE[crystal_system], lattice, strict=True):
        full[place] = value
    if crystal_system in {"trigonal", "hexagonal"}:
        full[5] = 120.0
    full[1] = full[1] or full[0]
    full[2] = full[2] or full[0]
    a, b, c, alpha, beta, gamma = full
    return a, b, c, alpha, beta, gamma


def cell_matrix(parameters: tuple[float, float, float, float, float, float]) -> Floats:
    """Basis vectors as rows, a along x and b in the plane of x and y, in Angstrom.

    Raises
    ------
    StructureError
        If no cell has these angles.
    """
    a, b, c = parameters[:3]
    cos_alpha, cos_beta, cos_gamma = (math.cos(math.radians(x)) for x in parameters[3:])
    sin_gamma = math.sin(math.radians(parameters[5]))
    y = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    square = 1 - cos_beta**2 - y**2
    if square <= 0:
        raise StructureError(f"no cell has the angles {parameters[3:]} degrees")
    return np.array(
        [
            [a, 0, 0],
            [b * cos_gamma, b * sin_gamma, 0],
            [c * cos_beta, c * y, c * math.sqrt(square)],
        ]
    )


def cell_parameters(matrix: Floats) -> tuple[float, float, float, float, float, float]:
    """a, b, c in the unit of `matrix` and α, β, γ in degrees."""
    a, b, c = (float(x) for x in np.linalg.norm(matrix, axis=1))
    metric = matrix @ matrix.T
    alpha, beta, gamma = (
        math.degrees(math.acos(metric[i, j] / math.sqrt(metric[i, i] * metric[j, j])))
        for i, j in ((1, 2), (0, 2), (0, 1))
    )
    return a, b, c, alpha, beta, gamma
