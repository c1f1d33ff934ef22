"""Manifolds whose points, distances and minima are known: the toys of the published method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from pyro_hea.errors import DataError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Draw = Callable[[int, np.random.Generator], "NDArray[np.float64]"]


@dataclass(frozen=True)
class Toy:
    """A manifold with a known answer.

    Attributes
    ----------
    name : str
        Of the shipped `AtlasSpec` too.
    noise : float
        Standard deviation of its points around it.
    draw : callable
        From a number and a generator to points on it, spread evenly.
    distance : callable
        From points (N, n) to their distances from it, (N,).
    objective : callable or None
        To be minimised on it, from a tensor (M, n).
    minimum : float or None
        Of the objective.
    betti : tuple of int
        Betti numbers.
    """

    name: str
    noise: float
    draw: Draw
    distance: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    betti: tuple[int, ...]
    objective: Callable[[Tensor], Tensor] | None = None
    minimum: float | None = None

    def points(self, n: int = 10240, seed: int = 0, noisy: bool = True) -> NDArray[np.float64]:
        """Draw points of the manifold, (n, coordinates)."""
        rng = np.random.default_rng(seed)
        points = self.draw(n, rng)
        return points + self.noise * rng.normal(size=points.shape) if noisy else points


def toy(name: str) -> Toy:
    """The toy of that name: circles, ring, sphere, swiss_roll or torus.

    Examples
    --------
    >>> circles = toy("circles")
    >>> bool((circles.distance(circles.points(100, noisy=False)) < 1e-9).all())
    True
    """
    if name not in TOYS:
        raise DataError(f"there is no toy '{name}'.{nearest(name, TOYS)} Toys: {', '.join(TOYS)}")
    return TOYS[name]


def _turn(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(0, 2 * np.pi, n)


def _circles(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    angle, side = _turn(n, rng), rng.choice([-1.5, 1.5], n)
    return np.c_[side + np.cos(angle), np.sin(angle)]


def _ring(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    radius, angle = np.sqrt(rng.uniform(0.5**2, 1.5**2, n)), _turn(n, rng)
    return np.c_[radius * np.cos(angle), radius * np.sin(angle)]


def _sphere(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    points = rng.normal(size=(n, 3))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def _torus(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    around, along = np.zeros(0), np.zeros(0)
    while len(around) < n:  # the outer side has more area
        a, b = _turn(n, rng), _turn(n, rng)
        kept = rng.uniform(0, 4, n) < 3 + np.cos(b)
        around, along = np.r_[around, a[kept]], np.r_[along, b[kept]]
    a, b = around[:n], along[:n]
    radius = 3 + np.cos(b)
    return np.c_[radius * np.cos(a), radius * np.sin(a), np.sin(b)]


_ROLL = 1.5 * np.pi, 4.5 * np.pi


def _swiss_roll(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    turn: NDArray[np.float64] = np.zeros(0)
    while len(turn) < n:  # evenly by length
        some = rng.uniform(*_ROLL, n)
        turn = np.r_[turn, some[rng.uniform(0, np.hypot(1, _ROLL[1]), n) < np.hypot(1, some)]]
    turn = turn[:n]
    return np.c_[turn * np.cos(turn), rng.uniform(0, 21, n), turn * np.sin(turn)]


def _off_circles(x: NDArray[np.float64]) -> NDArray[np.float64]:
    each = [np.abs(np.hypot(x[:, 0] - side, x[:, 1]) - 1) for side in (-1.5, 1.5)]
    return np.asarray(np.minimum(*each))


def _off_ring(x: NDArray[np.float64]) -> NDArray[np.float64]:
    radius = np.hypot(x[:, 0], x[:, 1])
    return np.asarray(np.maximum(np.maximum(0.5 - radius, radius - 1.5), 0.0))


def _off_sphere(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.abs(np.linalg.norm(x, axis=1) - 1))


def _off_torus(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.abs(np.hypot(np.hypot(x[:, 0], x[:, 1]) - 3, x[:, 2]) - 1))


def _off_swiss_roll(x: NDArray[np.float64]) -> NDArray[np.float64]:
    turn = np.linspace(*_ROLL, 40_000)
    spiral = cKDTree(np.c_[turn * np.cos(turn), turn * np.sin(turn)])
    flat = spiral.query(x[:, [0, 2]])[0]
    beyond = np.maximum(np.maximum(-x[:, 1], x[:, 1] - 21), 0.0)
    return np.asarray(np.hypot(flat, beyond))


def _to_west(x: Tensor) -> Tensor:
    return 0.1 * ((x[:, 0] + 1).square() + x[:, 1].square())


def _to_origin(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def _to_south(x: Tensor) -> Tensor:
    return x[:, 0].square() + x[:, 1].square() + (x[:, 2] + 2).square()


def _to_far_west(x: Tensor) -> Tensor:
    return (x[:, 0] + 5).square() + x[:, 1].square() + x[:, 2].square()


TOYS = {
    t.name: t
    for t in (
        Toy("circles", 0.01, _circles, _off_circles, (2, 2), _to_origin, 0.25),
        Toy("ring", 0.01, _ring, _off_ring, (1, 1), _to_west, 0.0),
        Toy("sphere", 0.01, _sphere, _off_sphere, (1, 0, 1), _to_south, 1.0),
        Toy("torus", 0.01, _torus, _off_torus, (1, 2, 1), _to_far_west, 1.0),
        Toy("swiss_roll", 0.05, _swiss_roll, _off_swiss_roll, (1, 0, 0)),
    )
}
