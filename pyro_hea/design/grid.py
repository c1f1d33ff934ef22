"""Compositions on a grid, counted first and then made a block at a time.

A grid of k elements in steps of 1/u, each with a smallest amount, is every way to put the remaining
units into k boxes. Compositions are numbered in order, so that any block of them is made without
those before it.

Examples
--------
>>> grid = Grid(("Al", "Co"), (0, 0), 4)
>>> len(grid)
5
>>> grid.block(0, 3)
array([[0.  , 1.  ],
       [0.25, 0.75],
       [0.5 , 0.5 ]])
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = 2**62
"""Of a number that an array holds."""


@dataclass(frozen=True)
class Grid:
    """Every composition of some elements in steps of one part in `units`.

    Attributes
    ----------
    elements : tuple of str
    fewest : tuple of int
        Units that each element has at least.
    units : int
    """

    elements: tuple[str, ...]
    fewest: tuple[int, ...]
    units: int

    @property
    def free(self) -> int:
        """Units that are not spoken for."""
        return self.units - sum(self.fewest)

    @property
    def size(self) -> int:
        """Number of compositions, however large."""
        k = len(self.elements)
        return comb(self.free + k - 1, k - 1) if self.free >= 0 else 0

    def __len__(self) -> int:
        return self.size

    @cached_property
    def _ways(self) -> NDArray[np.int64]:
        """Ways to put at most so many units (columns) into so many boxes (rows)."""
        k = len(self.elements)
        ways = [
            [min(comb(u + boxes, boxes), _LARGEST) for u in range(self.free + 1)]
            for boxes in range(k)
        ]
        return np.array(ways, dtype=np.int64)

    def block(self, start: int, count: int) -> NDArray[np.float64]:
        """Compositions number `start` to `start + count - 1`, (count, k)."""
        return self.numbered(np.arange(start, min(start + count, self.size), dtype=np.int64))

    def numbered(self, number: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compositions of these numbers (N,), (N, k)."""
        left = np.full(len(number), self.free)
        k = len(self.elements)
        amounts = np.zeros((len(number), k), np.int64)
        for box in range(k - 1):
            # Those with fewer than a units here come first: ways(left) - ways(left - a) of them.
            ways = self._ways[k - 1 - box]
            remaining = ways[left] - number  # ways with at least this amount
            # the largest a with ways(left - a) >= remaining
            rest = np.searchsorted(ways, remaining)
            amounts[:, box] = left - rest
            number = number - (ways[left] - ways[rest])
            left = rest
        amounts[:, -1] = left
        return np.asarray((amounts + np.array(self.fewest)) / self.units)
