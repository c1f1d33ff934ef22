"""Rank any number of compositions, on a grid or streamed, in bounded memory.

The grid or stream is cut into parts, which this process or the workers of an executor screen; the
best of each are merged. There are two passes over a block. A surrogate, a small network fitted to
the ensemble on a sample, passes the promising compositions on; those are checked, predicted by
every member, and ranked by that alone. Its threshold is set on a second sample, for a recall of
0.995 of the best percent.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from pyro_hea.design import blocks
from pyro_hea.design.blocks import Best, Screening, grid_of, parts, within
from pyro_hea.design.gathering import gather, likely_enough
from pyro_hea.design.problem import MINIMUM, NOVELTY, check_count
from pyro_hea.design.result import DesignResult
from pyro_hea.design.screening_folder import (
    Progress,
    Question,
    Shipped,
    best_of_grid,
    best_of_table,
    read_surrogate,
)
from pyro_hea.design.surrogate import Surrogate
from pyro_hea.errors import ConstraintError, DataError
from pyro_hea.executors import run_tasks
from pyro_hea.files import locked
from pyro_hea.materials.alloys.composition import fraction_table

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.grid import Grid
    from pyro_hea.design.problem import Problem
    from pyro_hea.design.wishes import Wish
    from pyro_hea.materials.alloys.amounts import Alloy
    from pyro_hea.posterior import Ensemble

_SAMPLE = 16384
"""Compositions that the surrogate learns from, and again as many that it is measured on."""

_SMALL = 50_000
"""Grids up to this size are predicted whole, without a surrogate."""

_NUMBERS_AT_ONCE, _TABLES_AT_ONCE = 4096, 16
"""Parts that wait at an executor; those of a stream hold their compositions, 16 MB each."""

LARGEST = 50_000_000
"""Largest grid that is screened without raising `limit`."""


def screen(
    ensemble: Ensemble,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    candidates: Iterable[Alloy] | None = None,
    step: float = 0.05,
    min_fraction: float = MINIMUM,
    n: int = 100,
    limit: int = LARGEST,
    exhaustive: bool = False,
    conditions: Mapping[str, float | str] | None = None,
    min_probability: float | None = None,
    min_elements: int | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    progress: bool = True,
    executor: Executor | None = None,
    checkpoint: str | Path | None = None,
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
    min_fraction : float
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
    executor : concurrent.futures.Executor, optional
        What screens the parts of the grid or of the stream, as Dask's ``client.get_executor()``;
        by default this process. The result is the same for any number of workers.
    checkpoint : path, optional
        Folder in which the progress over a grid is kept: the same call goes on from there, whatever
        ended it. For workers on other computers, a folder that they see too.

    Returns
    -------
    DesignResult
        The most probable first. Attributes: `candidates` screened, the share `predicted` by the
        whole ensemble, and the `recall` of the first pass on a sample.

    Raises
    ------
    ConstraintError
        For a grid above the limit, or where no composition satisfies every constraint.
    CheckpointError
        Where a worker does not see the folder of the model, or what is kept there is damaged.
    ExecutorError
        Where workers end again and again.
    """
    check_count(n, seed)
    of_grid = candidates is None
    if not of_grid and checkpoint is not None:
        raise DataError(
            "checkpoint= keeps the progress over a grid, whose compositions have numbers; "
            "candidates are a stream: screen them in several calls instead"
        )
    settings = {
        "step": step if of_grid else 1e-3,
        "min_fraction": min_fraction if of_grid else 0,
        "novelty": NOVELTY if of_grid else 0.0,
        "conditions": conditions,
        "min_elements": min_elements if of_grid or min_elements else 1,
        "tolerance": tolerance,
    }
    question = Question(dict(targets), tuple(constraints), settings, n, seed, exhaustive)
    problem = question.problem(ensemble)
    with _folder(checkpoint, question, ensemble) as folder:
        source = _grid(problem, limit) if candidates is None else _stream(candidates, ensemble)
        surrogate = read_surrogate(problem, folder)
        if surrogate is None and not exhaustive:
            surrogate = _first_pass(problem, source, seed)
        screening = Screening(problem, surrogate, n)
        asked: Screening | Shipped = screening
        if executor is not None or checkpoint is not None:
            shipped = Shipped.written(screening, question, folder)
            asked = screening if executor is None else shipped
        done = Progress(n, len(ensemble.elements), folder if checkpoint else None)
        done.read(screening)
        tasks = ((i, partial(source.work, asked, *p)) for i, p in done.left(source.parts))
        with (
            tqdm(total=source.total, disable=not progress, desc="screening", unit="alloy") as bar,
            done,
        ):
            bar.update(done.best.screened)
            for part, best in run_tasks(tasks, executor, at_once=source.at_once):
                done.add(part, best)
                bar.update(best.screened)
    best = done.best
    if not len(best.number):
        raise ConstraintError(f"none of {best.screened} compositions satisfies every constraint")
    attributes = {
        "inference": "screen",
        "seed": seed,
        "candidates": best.screened,
        "predicted": best.predicted / max(best.screened, 1),
        "recall": 1.0 if surrogate is None else surrogate.recall,
    }
    result = gather(problem, best.fractions, attributes)
    return likely_enough(result, min_probability, warning=of_grid)


@contextmanager
def _folder(
    checkpoint: str | Path | None, question: Question, ensemble: Ensemble
) -> Iterator[Path]:
    """A folder of this question and model alone: in that of checkpoints, or one that is deleted."""
    if checkpoint is None:
        with TemporaryDirectory(prefix="pyro_hea-") as temporary:
            yield Path(temporary)
        return
    folder = Path(checkpoint) / f"screen-{question.key(ensemble)[:16]}"
    with locked(folder, "screen"):
        yield folder


@dataclass(frozen=True, eq=False)
class _Source:
    """Where compositions come from.

    Attributes
    ----------
    work : callable
        Screens a part, of which it takes the numbers.
    parts : iterator of tuple
    total : int or None
        Compositions, where that is known.
    sample : callable
        Gives compositions from all over, (N, E), for a seed.
    at_once : int
        Parts that wait at an executor at a time.
    """

    work: Callable[..., Best]
    parts: Iterator[tuple[int, Any]]
    total: int | None
    sample: Callable[[int], NDArray[np.float64]]
    at_once: int


def _grid(problem: Problem, limit: int) -> _Source:
    grid = grid_of(problem)
    if grid.size > limit:
        raise ConstraintError(
            f"a grid of {len(grid.elements)} elements in steps of {problem.step:g} has "
            f"{grid.size:,} compositions, above the limit of {limit:,}. Allow fewer elements, take "
            "larger steps, or raise the limit"
        )
    sample = partial(_sample_of_grid, grid, problem)
    return _Source(best_of_grid, parts(grid.size), grid.size, sample, _NUMBERS_AT_ONCE)


def _sample_of_grid(grid: Grid, problem: Problem, seed: int) -> NDArray[np.float64]:
    """Compositions drawn from all over the grid."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(20):
        starts = rng.integers(0, max(grid.size, 1), 2048)
        number = (starts[:, None] + np.arange(16)).ravel()
        found.append(within(grid, problem, number[number < grid.size])[1])
        if sum(map(len, found)) >= 2 * _SAMPLE:
            break
    return _shuffled(np.unique(np.concatenate(found), axis=0), seed)


def _stream(candidates: Iterable[Alloy], ensemble: Ensemble) -> _Source:
    if isinstance(candidates, str | Mapping):
        raise DataError("candidates are many alloys: give a list, or any iterable of them")
    tables = _tables(iter(candidates), ensemble)
    first = next(tables, (0, np.zeros((0, len(ensemble.elements)))))
    return _Source(
        best_of_table,
        itertools.chain([first], tables),
        None,
        partial(_shuffled, first[1]),
        _TABLES_AT_ONCE,
    )


def _tables(
    stream: Iterator[Alloy], ensemble: Ensemble
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Place of the first alloy and fractions (N, E) of each block of a stream."""
    place = 0
    while block := list(itertools.islice(stream, blocks.BLOCK)):
        yield place, ensemble.fractions(fraction_table(block)).to_numpy(float)
        place += len(block)


def _shuffled(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    return np.asarray(np.random.default_rng(seed).permutation(rows)[: 2 * _SAMPLE])


def _first_pass(problem: Problem, source: _Source, seed: int) -> Surrogate | None:
    if source.total is not None and source.total <= _SMALL:
        return None
    sample = source.sample(seed)
    return Surrogate.fit(problem, sample, seed) if len(sample) >= _SAMPLE else None
