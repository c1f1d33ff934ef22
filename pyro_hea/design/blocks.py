"""Parts of a grid or of a stream, each screened on its own, and the best of several parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.grid import Grid
from pyro_hea.design.program import first_of_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.problem import Problem
    from pyro_hea.design.surrogate import Surrogate

BLOCK = 65536
"""Compositions in memory at a time."""

_MOST_BLOCKS = 16
"""Of a part: a million compositions take seconds, in which a scheduler has other things to do."""

_PARTS = 64
"""Into which a grid is cut at least, where it has so many blocks."""


@dataclass(frozen=True, eq=False)
class Best:
    """The best of some compositions, the most probable first, and how many there were.

    Attributes
    ----------
    probability : ndarray, shape (M,)
        That all wishes hold.
    number : ndarray of int, shape (M,)
        Place in the grid or the stream, which decides between equals.
    fractions : ndarray, shape (M, E)
    screened, predicted : int
        All of them, and those that the whole ensemble was shown.
    """

    probability: NDArray[np.float64]
    number: NDArray[np.int64]
    fractions: NDArray[np.float64]
    screened: int = 0
    predicted: int = 0

    @classmethod
    def none(cls, elements: int) -> Best:
        """Of no composition."""
        return cls(np.zeros(0), np.zeros(0, np.int64), np.zeros((0, elements)))

    def merged(self, other: Best, n: int) -> Best:
        """The best `n` of both; the same in any order and grouping of several."""
        probability = np.concatenate([self.probability, other.probability])
        number = np.concatenate([self.number, other.number])
        fractions = np.concatenate([self.fractions, other.fractions])
        order = np.lexsort((number, -probability))
        order = order[first_of_each(fractions[order])][:n]
        return Best(
            probability[order],
            number[order],
            fractions[order],
            self.screened + other.screened,
            self.predicted + other.predicted,
        )


@dataclass(frozen=True, eq=False)
class Screening:
    """What screens a part.

    Attributes
    ----------
    problem : Problem
    surrogate : Surrogate or None
        The first pass, where there is one.
    n : int
        Alloys that are kept.
    """

    problem: Problem
    surrogate: Surrogate | None
    n: int

    @cached_property
    def grid(self) -> Grid:
        """Every composition of the elements that the constraints allow."""
        return grid_of(self.problem)

    def of_grid(self, start: int, stop: int) -> Best:
        """The best of the compositions number `start` to `stop - 1` of the grid."""
        blocks = (
            self._of_block(*within(self.grid, self.problem, np.arange(b, min(b + BLOCK, stop))))
            for b in range(start, stop, BLOCK)
        )
        best = reduce(lambda one, other: one.merged(other, self.n), blocks)
        return Best(best.probability, best.number, best.fractions, stop - start, best.predicted)

    def of_table(self, first: int, table: NDArray[np.float64]) -> Best:
        """The best of alloys (N, E) of a stream, of which the first has that place."""
        return self._of_block(np.arange(first, first + len(table)), table)

    def _of_block(self, number: NDArray[np.int64], block: NDArray[np.float64]) -> Best:
        screened = len(block)
        if self.surrogate is not None and len(block):
            kept = self.surrogate.promising(block)
            number, block = number[kept], block[kept]
        kept = self.problem.satisfied(block)
        number, block = number[kept], block[kept]
        none = Best.none(block.shape[1])
        probability = self.problem.probability(block).mean(0) if len(block) else none.probability
        return none.merged(Best(probability, number, block, screened, len(block)), self.n)

    def numbered(self, number: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compositions of the grid by their numbers, (N, E)."""
        return _in_columns(self.grid.numbered(number), self.grid, self.problem)


def parts(size: int) -> Iterator[tuple[int, int]]:
    """Start and stop of each part of a grid of that size.

    Examples
    --------
    >>> list(parts(150_000))
    [(0, 65536), (65536, 131072), (131072, 150000)]
    """
    step = BLOCK * min(_MOST_BLOCKS, max(1, size // (BLOCK * _PARTS)))
    return ((start, min(start + step, size)) for start in range(0, size, step))


def grid_of(problem: Problem) -> Grid:
    """The grid of a problem: its allowed elements in its steps, required ones in every alloy."""
    region, units = problem.region, round(1 / problem.step)
    allowed = np.flatnonzero(region.upper > 0)
    fewest, _ = region.amounts(problem.min_fraction, problem.step)
    return Grid(
        tuple(region.elements[i] for i in allowed),
        tuple(int(fewest[i]) if region.must[i] else 0 for i in allowed),
        units,
    )


def within(
    grid: Grid, problem: Problem, number: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers (M,) and fractions (M, E) of those compositions that bounds on elements leave."""
    region, amounts = problem.region, grid.numbered(number)
    columns = [region.index(element) for element in grid.elements]
    present = (amounts > 0).sum(1)
    low, high = region.lower[columns] - 1e-9, region.upper[columns] + 1e-9
    kept = (present >= region.min_elements) & (present <= region.max_elements)
    kept &= ((amounts >= low) & (amounts <= high)).all(1)
    kept &= ((amounts == 0) | (amounts >= problem.min_fraction - 1e-9)).all(1)
    return number[kept], _in_columns(amounts[kept], grid, problem)


def _in_columns(amounts: NDArray[np.float64], grid: Grid, problem: Problem) -> NDArray[np.float64]:
    region = problem.region
    fractions = np.zeros((len(amounts), len(region.elements)))
    fractions[:, [region.index(element) for element in grid.elements]] = amounts
    return fractions
