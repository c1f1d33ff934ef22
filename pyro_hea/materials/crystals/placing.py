"""Free coordinates of orbits at which no two atoms are too near."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_hea.materials.crystals.cells import Floats
from pyro_hea.materials.crystals.prototypes import Prototype
from pyro_hea.materials.crystals.symmetry import SpaceGroup

_STEPS, _STEP = 60, 0.01
"""Steps in which atoms are pushed apart, and the length of the first in cell edges."""

_GENERIC = np.array([0.1234, 0.3217, 0.2771])


@torch.inference_mode(False)
def pushed_apart(
    prototype: Prototype, coordinates: Floats, cell: Floats, radii: Floats, share: float
) -> Floats:
    """Move atoms along their free coordinates until none is nearer than a share of the radii.

    The sum of the squared overlaps, in sums of two radii, is made smaller by Adam; it need not
    become zero. Several ways to place the atoms are moved at once, each by itself.

    Parameters
    ----------
    prototype : Prototype
    coordinates : ndarray, shape (C, K)
        Free coordinates of each way.
    cell : ndarray, shape (3, 3)
        Basis vectors of the standard cell, rows, in Å.
    radii : ndarray, shape (C, O)
        Of each orbit, in Å.
    share : float

    Returns
    -------
    ndarray, shape (C, K)

    Examples
    --------
    >>> two = Prototype("99:a|a", ("a", "a"), (), ())  # on one axis, at heights of their own
    >>> apart = pushed_apart(two, np.array([[0.0, 0.1]]), 3.0 * np.eye(3), np.ones((1, 2)), 0.7)
    >>> bool(abs(apart[0, 0] - apart[0, 1]) > 0.4)
    True
    """
    group, parts = prototype.group, prototype.slices
    if not prototype.free:
        return coordinates
    primitive = group.primitive
    maps = [_atoms(group, letter) for letter, _ in prototype.orbits]
    bases = [torch.tensor(basis @ np.linalg.inv(primitive)) for basis, _ in maps]
    origins = [torch.tensor(origin @ np.linalg.inv(primitive)) for _, origin in maps]
    size = [len(origin) for origin in origins]
    own = torch.repeat_interleave(torch.tensor(size))
    first = torch.tensor([sum(size[:k]) for k in range(len(size))])
    matrix = torch.tensor(primitive @ cell)
    shifts = torch.tensor(np.array(list(itertools.product((-1, 0, 1), repeat=3)), float))
    radius = torch.tensor(radii)
    reach = share * (radius[:, :, None] + radius[:, None, own])
    itself = torch.zeros(len(size), len(own), len(shifts), dtype=torch.bool)
    itself[torch.arange(len(size)), first, 13] = True
    free = torch.tensor(coordinates, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=_STEP)

    def overlap() -> Tensor:
        atoms = torch.cat(
            [
                torch.einsum("cf,afx->cax", free[:, part], basis) + origin
                for part, basis, origin in zip(parts, bases, origins, strict=True)
            ],
            1,
        )
        away = atoms[:, None] - atoms[:, first, None]
        away = (away - away.detach().round())[:, :, :, None] + shifts
        distance = ((away @ matrix).square().sum(-1) + 1e-6).sqrt()
        short = (1 - distance / reach.unsqueeze(-1)).clamp_min(0).masked_fill(itself, 0.0)
        return short.square().sum()

    with torch.enable_grad():
        for _ in range(_STEPS):
            loss = overlap()
            if not loss > 0:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return np.asarray(free.detach().numpy()) % 1


def _atoms(group: SpaceGroup, letter: str) -> tuple[Floats, Floats]:
    """Each atom of an orbit in the primitive cell, linear in its free coordinates.

    Returns
    -------
    basis : ndarray, shape (A, freedom, 3)
    origin : ndarray, shape (A, 3)
    """
    position = group.position(letter)
    rotations, translations = group.representatives
    basis = np.einsum("gxy,yf->gfx", rotations, position.basis)
    origin = rotations @ position.origin + translations
    points = np.einsum("f,gfx->gx", _GENERIC[: position.freedom], basis) + origin
    inside = np.round((points @ np.linalg.inv(group.primitive)) % 1, 6) % 1
    kept: NDArray[np.int_] = np.unique(inside, axis=0, return_index=True)[1]
    return basis[np.sort(kept)], origin[np.sort(kept)]
