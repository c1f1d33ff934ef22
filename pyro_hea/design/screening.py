"""Rank any number of compositions, on a grid or streamed, in bounded memory.

Two passes over each block. A surrogate, a small network fitted to the ensemble on a sample, passes
the promising compositions on; those are checked, predicted by every member, and ranked by that
alone. Its threshold is set on a second sample, for a recall of 0.995 of the best percent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from pyro_hea.design.gathering import gather, likely_enough
from pyro_hea.design.grid import Grid
from pyro_hea.design.problem import MINIMUM, NOVELTY, Problem, check_count
from pyro_hea.design.program import first_of_each
from pyro_hea.design.result import DesignResult
from pyro_hea.design.surrogate import Surrogate
from pyro_hea.errors import ConstraintError, DataError
from pyro_hea.materials.alloys.composition import fraction_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.wishes import Wish
    from pyro_hea.materials.alloys.amounts import Alloy
    from pyro_hea.posterior import Ensemble

_BLOCK = 65536
"""Compositions in memory at a time."""

_SAMPLE = 16384
"""Compositions that the surrogate learns from, and again as many that it is measured on."""

_SMALL = 50_000
"""Grids up to this size are predicted whole, without a surrogate."""

LARGEST = 50_000_000
"""Largest grid that is screened without raising `limit`."""


def screen(
    ensemble: Ensemble,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    candidates: Iterable[Alloy] | None = None,
    step: float = 0.05,
    minimum: float = MINIMUM,
    n: int = 100,
    limit: int = LARGEST,
    exhaustive: bool = False,
    conditions: Mapping[str, float | str] | None = None,
    min_probability: float | None = None,
    min_elements: int | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> DesignResult:
    """Rank compositions by the probability that all wishes hold.

    Parameters
    ----------
    ensemble : Ensemble
    targets : mapping of target to wish
    constraints : sequence of Constraint
        They say which elements the grid is made of; all hold on what is returned.
    candidates : iterable of alloys, optional
        To rank instead of a grid; read as a stream.
    step : float
        Of the grid, as a fraction.
    minimum : float
        Compositions of the grid with less of an element that they hold are left out.
    n : int
        Alloys returned.
    limit : int
        A larger grid is refused, with its size.
    exhaustive : bool
        Show every composition to the whole ensemble, without a first pass.
    conditions, min_probability, min_elements, tolerance
        As of `sample_designs`. Candidates may be of any number of elements, and are ranked
        without a warning.
    seed : int
        Of the sample from which the first pass learns.
    progress : bool
        Show a progress bar, with the size of the grid.

    Returns
    -------
    DesignResult
        The most probable first. Attributes: `candidates` screened, the share `predicted` by the
        whole ensemble, and the `recall` of the first pass on a sample.

    Raises
    ------
    ConstraintError
        For a grid above the limit, or where no composition satisfies every constraint.
    """
    check_count(n, seed)
    of_grid = candidates is None
    problem = Problem.of(
        ensemble,
        targets,
        constraints,
        step=step if of_grid else 1e-3,
        minimum=minimum if of_grid else 0,
        novelty=NOVELTY if of_grid else 0.0,
        conditions=conditions,
        min_elements=min_elements if of_grid or min_elements else 1,
        tolerance=tolerance,
    )
    if candidates is None:
        grid = _grid_of(problem, limit)
        blocks, total = _of_grid(grid, problem), grid.size
        sample = _sample_of_grid(grid, problem, seed)
    else:
        blocks, total = _of_stream(candidates, ensemble), None
        first = list(itertools.islice(blocks, 1))
        blocks = itertools.chain(first, blocks)
        sample = _shuffled(first[0][0], seed) if first else np.zeros((0, len(ensemble.elements)))
    two_passes = not exhaustive and _use_surrogate(total, sample)
    surrogate = Surrogate.fit(problem, sample, seed) if two_passes else None
    best, scores = np.zeros((0, len(ensemble.elements))), np.zeros(0)
    screened = predicted = 0
    with tqdm(total=total, disable=not progress, desc="screening", unit="alloy") as bar:
        for block, size in blocks:
            chosen = block if surrogate is None else block[surrogate.promising(block)]
            chosen = chosen[problem.satisfied(chosen)]
            if len(chosen):
                q = problem.probability(chosen).mean(0)
                best, scores = np.concatenate([best, chosen]), np.concatenate([scores, q])
                rows = first_of_each(best)
                order = rows[np.argsort(-scores[rows], kind="stable")][:n]
                best, scores = best[order], scores[order]
            screened, predicted = screened + size, predicted + len(chosen)
            bar.update(size)
    if not len(best):
        raise ConstraintError(f"none of {screened} compositions satisfies every constraint")
    attributes = {
        "inference": "screen",
        "seed": seed,
        "candidates": screened,
        "predicted": predicted / max(screened, 1),
        "recall": 1.0 if surrogate is None else surrogate.recall,
    }
    result = gather(problem, best, attributes)
    return likely_enough(result, min_probability, warning=of_grid)


def _grid_of(problem: Problem, limit: int) -> Grid:
    region, units = problem.region, round(1 / problem.step)
    allowed = np.flatnonzero(region.upper > 0)
    fewest, _ = region.amounts(problem.minimum, problem.step)
    grid = Grid(
        tuple(region.elements[i] for i in allowed),
        tuple(int(fewest[i]) if region.must[i] else 0 for i in allowed),
        units,
    )
    if grid.size > limit:
        raise ConstraintError(
            f"a grid of {len(allowed)} elements in steps of {problem.step:g} has {grid.size:,} "
            f"compositions, above the limit of {limit:,}. Allow fewer elements, take larger "
            "steps, or raise the limit"
        )
    return grid


def _columns(grid: Grid, problem: Problem) -> list[int]:
    return [problem.region.index(element) for element in grid.elements]


def _of_grid(grid: Grid, problem: Problem) -> Iterator[tuple[NDArray[np.float64], int]]:
    columns = _columns(grid, problem)
    for start in range(0, grid.size, _BLOCK):
        amounts = grid.block(start, _BLOCK)
        yield _within(amounts, columns, problem), len(amounts)


def _within(
    amounts: NDArray[np.float64], columns: list[int], problem: Problem
) -> NDArray[np.float64]:
    """The compositions that the bounds on elements and on their number leave, (N, E)."""
    region = problem.region
    number = (amounts > 0).sum(1)
    low, high = region.lower[columns] - 1e-9, region.upper[columns] + 1e-9
    kept = (number >= region.min_elements) & (number <= region.max_elements)
    kept &= ((amounts >= low) & (amounts <= high)).all(1)
    kept &= ((amounts == 0) | (amounts >= problem.minimum - 1e-9)).all(1)
    fractions = np.zeros((int(kept.sum()), len(region.elements)))
    fractions[:, columns] = amounts[kept]
    return fractions


def _sample_of_grid(grid: Grid, problem: Problem, seed: int) -> NDArray[np.float64]:
    """Compositions drawn from all over the grid."""
    rng = np.random.default_rng(seed)
    columns, found = _columns(grid, problem), []
    for _ in range(20):
        starts = rng.integers(0, max(grid.size, 1), 2048)
        drawn = np.concatenate([grid.block(int(start), 16) for start in starts])
        found.append(_within(drawn, columns, problem))
        if sum(map(len, found)) >= 2 * _SAMPLE:
            break
    return _shuffled(np.unique(np.concatenate(found), axis=0), seed)


def _shuffled(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    return np.asarray(np.random.default_rng(seed).permutation(rows)[: 2 * _SAMPLE])


def _of_stream(
    candidates: Iterable[Alloy], ensemble: Ensemble
) -> Iterator[tuple[NDArray[np.float64], int]]:
    if isinstance(candidates, str | Mapping):
        raise DataError("candidates are many alloys: give a list, or any iterable of them")
    stream = iter(candidates)
    while block := list(itertools.islice(stream, _BLOCK)):
        table = ensemble.fractions(fraction_table(block)).to_numpy(float)
        yield table, len(table)


def _use_surrogate(total: int | None, sample: NDArray[np.float64]) -> bool:
    return len(sample) >= _SAMPLE and (total is None or total > _SMALL)
