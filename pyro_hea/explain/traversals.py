"""Traversals of a latent axis, and paths from one alloy to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError
from pyro_hea.explain.explorer import decode_alloys
from pyro_hea.spec import Continuous

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.amounts import Alloy
    from pyro_hea.spec import Target
    from pyro_hea.vae import DisentangledVAE

POSITIONS = tuple(np.linspace(-3, 3, 25).tolist())
"""Where an axis is looked at, in standard deviations of the prior around its mean."""


@dataclass(frozen=True, eq=False, repr=False)
class Traversal:
    """Alloys along a way through one member's latent space.

    Attributes
    ----------
    along : str
        What the positions are: an axis, or a path from one alloy to another.
    z : DataFrame, shape (S, d)
        Points by position.
    fractions : DataFrame, shape (S, E)
        Decoded alloys by position, without elements below 1 at.%.
    predictions : DataFrame
        Of those alloys by the whole ensemble, by position, with the columns of `predict` and
        `formula`.
    """

    along: str
    z: pd.DataFrame
    fractions: pd.DataFrame
    predictions: pd.DataFrame

    def __repr__(self) -> str:
        return f"Traversal({len(self.z)} alloys along {self.along})"


def traverse(
    vae: DisentangledVAE,
    alloy: Alloy,
    axis: str,
    *,
    member: int = 0,
    positions: Sequence[float] = POSITIONS,
) -> Traversal:
    """Move an alloy along one axis of a member's latent space, its predicted targets held.

    Parameters
    ----------
    vae : DisentangledVAE
    alloy : alloy of the training elements
        Where the other axes stay.
    axis : str
        `z0`, `z1`, …
    member : int
    positions : sequence of float, optional
        Values of that axis, in standard deviations of the prior around its mean.

    Returns
    -------
    Traversal

    Raises
    ------
    DataError
        For an axis that there is not.
    UnknownElementError
        For an alloy outside the training elements.
    """
    start = _encoded(vae, alloy, member)
    if axis not in start:
        raise DataError(f"there is no axis '{axis}'; this model has {', '.join(map(str, start))}")
    mean, sd = (float(m[member, start.columns.get_loc(axis)]) for m in vae.ensemble.latent_moments)
    places = np.asarray(positions, float)
    z = pd.concat([start] * len(places)).set_axis(pd.Index(places, name="position"))
    z[axis] = mean + sd * places
    return _decoded(vae, z, _targets(vae, alloy, member), member, axis)


def path(
    vae: DisentangledVAE, start: Alloy, end: Alloy, *, member: int = 0, steps: int = 25
) -> Traversal:
    """Go straight from one alloy to another in a member's latent space.

    What is decoded with it: the class predicted of the nearer end, numbers in proportion.

    Parameters
    ----------
    vae : DisentangledVAE
    start, end : alloys of the training elements
    member : int
    steps : int

    Returns
    -------
    Traversal
        Positions from 0 to 1. The ends are what the model decodes of the two alloys.
    """
    first, last = (_encoded(vae, a, member) for a in (start, end))
    share = np.linspace(0, 1, steps)[:, None]
    points = (1 - share) * first.to_numpy() + share * last.to_numpy()
    z = pd.DataFrame(points, pd.Index(share[:, 0], name="position"), first.columns)
    here, there = (_targets(vae, alloy, member) for alloy in (start, end))
    targets = {t: _between(vae.spec.target(t), here[t], there[t], share[:, 0]) for t in here}
    return _decoded(vae, z, targets, member, f"{first.index[0]} → {last.index[0]}")


def _between(target: Target, here: float, there: float, share: np.ndarray) -> np.ndarray:
    if isinstance(target, Continuous):
        return (1 - share) * here + share * there
    return np.where(share < 0.5, here, there)


def _encoded(vae: DisentangledVAE, alloy: Alloy, member: int) -> pd.DataFrame:
    return vae.encode([alloy], member)


def _targets(vae: DisentangledVAE, alloy: Alloy, member: int) -> dict[str, float]:
    """What the member finds most probable: what it encodes the alloy with."""
    guess = vae.ensemble.most_probable(vae.ensemble.batch([alloy]))
    return {target: float(value[member, 0]) for target, value in guess.items()}


def _decoded(
    vae: DisentangledVAE,
    z: pd.DataFrame,
    targets: dict[str, float] | dict[str, np.ndarray],
    member: int,
    along: str,
) -> Traversal:
    alloys = decode_alloys(vae.ensemble, z.to_numpy(), targets, member)
    predictions = vae.predict(alloys).reset_index()
    return Traversal(along, z, alloys.set_axis(z.index), predictions.set_axis(z.index))
