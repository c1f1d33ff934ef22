"""Rank any number of compositions, on a grid or streamed, in bounded memory.

Two passes over each block. A scout, a small network that learns from a sample what the whole
ensemble says of a composition, lets the promising ones through; those are checked, featurised and
predicted by every member, and ranked by that alone. How much the scout must let through is set on
a second sample, so that it would have kept all of its best percent but one in a hundred.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from pyro_hea.alloys.composition import fraction_table
from pyro_hea.design.bounds import check_count
from pyro_hea.design.constraints import Novel
from pyro_hea.design.grid import Grid
from pyro_hea.design.problem import MINIMUM, NOVELTY, Problem
from pyro_hea.design.result import DesignResult, gather
from pyro_hea.design.wishes import fulfilment
from pyro_hea.devices import seeded
from pyro_hea.errors import ConstraintError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.alloys.composition import Alloy
    from pyro_hea.design.region import Constraint
    from pyro_hea.design.wishes import Wish
    from pyro_hea.posterior import Ensemble

_BLOCK = 65536
"""Compositions in memory at a time."""

_SAMPLE = 16384
"""Compositions that the scout learns from, and again as many that it is measured on."""

_SMALL = 50_000
"""So few compositions are not worth a scout."""

_BEST = 0.01
"""Share of the compositions of which the scout may lose next to none."""

RECALL = 0.995
"""Share of the best percent of a sample that the scout is set to let through."""

_STEPS = 500

_MARGIN = 0.1
"""Nats by which the threshold is below what the sample asks for."""

LARGEST = 50_000_000
"""Compositions that are screened without being told to."""


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
    grid_step = step if candidates is None else 1e-3
    if not any(isinstance(c, Novel) for c in constraints):
        novel = Novel(NOVELTY if candidates is None else 0.0)
        constraints = (*constraints, novel)
    problem = Problem.of(
        ensemble, targets, constraints, step=grid_step, minimum=minimum if candidates is None else 0
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
    scouted = not exhaustive and _worth_a_scout(total, sample)
    scout = _Scout.fit(problem, sample, seed) if scouted else None
    best, scores = np.zeros((0, len(ensemble.elements))), np.zeros(0)
    screened = predicted = 0
    with tqdm(total=total, disable=not progress, desc="screening", unit="alloy") as bar:
        for block, size in blocks:
            chosen = block if scout is None else block[scout.promising(block)]
            chosen = chosen[_satisfying(problem, chosen)]
            if len(chosen):
                q = _predict(problem, chosen)
                best, scores = np.concatenate([best, chosen]), np.concatenate([scores, q])
                order = np.argsort(-scores, kind="stable")[:n]
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
        "recall": 1.0 if scout is None else scout.recall,
    }
    return gather(problem, best, attributes)


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


def _worth_a_scout(total: int | None, sample: NDArray[np.float64]) -> bool:
    return len(sample) >= _SAMPLE and (total is None or total > _SMALL)


def _satisfying(problem: Problem, fractions: NDArray[np.float64]) -> NDArray[np.bool_]:
    held = problem.holds(fractions) if len(fractions) else {}
    return np.all([np.ones(len(fractions), bool), *held.values()], axis=0)


def _predict(problem: Problem, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of all wishes by the whole ensemble, (N,)."""
    alloys = torch.tensor(fractions, device=problem.ensemble.device)
    parts = [
        fulfilment(problem.ensemble, part, problem.targets).mean(0).cpu()
        for part in alloys.split(8192)
    ]
    return np.asarray(torch.cat(parts).double().numpy() if parts else np.zeros(0))


class _Scout(nn.Module):
    """From a composition to the log odds that the ensemble would give it, roughly.

    It reads the fractions, which elements are present, and what matrix products give of the
    element and pair tables: means, variances, the enthalpy and the entropy of mixing.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        region, tables = problem.region, problem.ensemble.tables
        self.columns = torch.tensor(np.flatnonzero(region.upper > 0))
        elements = [region.elements[i] for i in self.columns]
        table = tables.properties.loc[elements].to_numpy(float)
        spread = table.std(0)
        self.properties = torch.tensor((table - table.mean(0)) / np.where(spread > 0, spread, 1))
        self.properties = self.properties.float()
        pairs = tables.mixing_enthalpy.loc[elements, elements].to_numpy(float)
        self.pairs = torch.tensor(pairs / 10).float()
        width = 2 * len(elements) + 2 * self.properties.shape[1] + 2
        self.net = nn.Sequential(
            nn.Linear(width, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 1)
        )
        self.threshold, self.recall = -np.inf, 1.0

    def forward(self, fractions: Tensor) -> Tensor:
        x = fractions[:, self.columns].float()
        mean = x @ self.properties
        variance = x @ self.properties.square() - mean.square()
        enthalpy = 2 * ((x @ self.pairs) * x).sum(1, keepdim=True)
        entropy = -torch.special.xlogy(x, x).sum(1, keepdim=True)
        inputs = [4 * x, (x > 0).float(), mean, variance, enthalpy, entropy]
        return self.net(torch.cat(inputs, 1))[:, 0]

    @torch.no_grad()
    def promising(self, fractions: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which compositions the whole ensemble should see."""
        return np.asarray(self(torch.tensor(fractions)).numpy() >= self.threshold)

    @classmethod
    def fit(cls, problem: Problem, sample: NDArray[np.float64], seed: int) -> _Scout:
        """Learn from the first half of a sample; set the threshold on the second."""
        q = torch.tensor(_predict(problem, sample))
        # below the middle, how far is all the same
        x, odds = torch.tensor(sample).float(), torch.logit(q.clamp(0.1, 1 - 1e-4)).float()
        half = len(x) // 2
        with seeded(seed):
            scout = cls(problem)
            optimizer = torch.optim.AdamW(scout.parameters(), weight_decay=1e-3)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=_STEPS)
            for _ in range(_STEPS):
                rows = torch.randint(half, (1024,))
                loss = (scout(x[rows]) - odds[rows]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        scout.requires_grad_(False)
        kept = torch.tensor(_satisfying(problem, sample[half:]))
        true, guess = q[half:][kept], scout(x[half:][kept])
        if len(true):
            best = guess[true.topk(max(1, round(_BEST * len(true)))).indices].sort().values
            scout.threshold = float(best[int((1 - RECALL) * len(best))]) - _MARGIN
            scout.recall = float((best >= scout.threshold).double().mean())
        return scout
