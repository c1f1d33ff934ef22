"""Change an alloy so that the wishes hold: by walking in latent space, or by as little as possible.

Both start from an alloy, end at one that the ensemble is confident of, and keep their trail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.design.constraints import Novel
from pyro_hea.design.posterior import decoded_targets
from pyro_hea.design.problem import MINIMUM, STEP, Problem
from pyro_hea.design.result import DesignResult, gather
from pyro_hea.design.rounding import weigh_in
from pyro_hea.design.wishes import fulfilment
from pyro_hea.errors import ConstraintError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.composition import Alloys
    from pyro_hea.design.region import Constraint
    from pyro_hea.design.wishes import Wish
    from pyro_hea.posterior import Ensemble

CONFIDENCE = 0.95
"""Predicted probability of all wishes at which a changed alloy is content."""

_PROPOSALS = 32
"""Steps in latent space that each member tries at a time."""

_STRIDES = (0.02, 0.5)
"""Shortest and longest of these steps, in prior standard deviations."""

_WALKS = 40

_PRICE = 0.2
"""Share of the atoms that one would move for a nat of confidence that is still missing."""

_SIZES = (0.005, 0.02, 0.05, 0.1)
"""Fractions that one element gives to another in a step of `nearest_alloy`."""

_SHARES = (0.25, 0.5, 1.0)
"""Shares of the way to a known alloy that it tries as well."""

_NEAR = 100
"""Known alloys that it tries."""

_BEAM = 3
"""Alloys from which `nearest_alloy` goes on."""

_LONGEST = 24
"""Steps after which `nearest_alloy` gives up."""


def invert(
    ensemble: Ensemble,
    alloy: Alloys,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    step: float = STEP,
    minimum: float = MINIMUM,
) -> DesignResult:
    """Start from an alloy, flip its targets, and walk in latent space until the prediction agrees.

    Every member walks in its own space, from the alloy's latent. What a member does not
    reconstruct of the alloy is carried along, all of it or a share s, so that the walk begins at
    the alloy itself: x(z) = decode(z, y*) + s (x₀ - decode(z₀, y₀)). Of all that the members come
    by, the alloy that is confident enough and moved fewest atoms is returned.

    Parameters
    ----------
    ensemble : Ensemble
    alloy : formula, or anything that is one alloy of the training elements
    targets : mapping of target to wish
    constraints : sequence of Constraint
    confidence : float
        Predicted probability of all wishes that is wanted.
    seed : int
    step, minimum : float
        As of `sample_designs`.

    Returns
    -------
    DesignResult
        One alloy, with its trail.

    Raises
    ------
    ConstraintError
        Where no alloy on the walk satisfies the constraints and is confident enough.
    """
    problem = _problem(ensemble, targets, constraints, confidence, step, minimum)
    start = _start(ensemble, alloy)
    batch = ensemble.batch(pd.DataFrame([start], columns=list(ensemble.elements)))
    own = ensemble.most_probable(batch)
    wished = decoded_targets(problem, own)
    z = ensemble.encode(batch)  # (K, 1, d)
    base = torch.tensor(start) - ensemble.decode(z, own).double().cpu()
    rng = np.random.default_rng(seed)
    best_z, best_score = z.clone(), np.full(ensemble.members, np.inf)
    best_x = np.tile(start, (ensemble.members, 1))
    trails: list[NDArray[np.float64]] = []
    for _ in range(_WALKS):
        low, high = np.log(_STRIDES)
        stride = np.exp(rng.uniform(low, high, (ensemble.members, _PROPOSALS, 1)))
        noise = stride * rng.standard_normal((ensemble.members, _PROPOSALS, z.shape[-1]))
        noise[:, 0] = 0.0  # stay: the first walk only flips the targets
        tried = best_z + torch.tensor(noise).to(z)
        decoded = ensemble.decode(tried, {n: y.expand(tried.shape[:-1]) for n, y in wished.items()})
        carried = rng.uniform(0, 1, (ensemble.members, _PROPOSALS, 1))
        carried[:, ::2] = 1.0  # the rest lets go of what the member does not reconstruct
        x = (torch.tensor(carried) * base + decoded.double().cpu()).clamp_min(0.0).numpy()
        alloys, score = _scored(problem, x.reshape(-1, x.shape[-1]), start, confidence)
        score = score.reshape(x.shape[:2])
        chosen = score.argmin(1)
        better = score.min(1) < best_score
        rows = np.arange(ensemble.members)
        best_score = np.where(better, score[rows, chosen], best_score)
        found = alloys.reshape(x.shape)[rows, chosen]
        best_x = np.where(better[:, None], found, best_x)
        best_z = torch.where(
            torch.tensor(better)[:, None, None], tried[rows, chosen][:, None], best_z
        )
        trails.append(best_x)
    member = int(best_score.argmin())
    path = np.array([start, *(x[member] for x in trails)])
    count = _WALKS * _PROPOSALS * ensemble.members
    latents = {"z": best_z[member].cpu().numpy(), "member": np.array([member])}
    attributes = {"inference": "invert", "seed": seed, "candidates": count}
    return _changed(problem, path, confidence, attributes, latents)


def nearest_alloy(
    ensemble: Ensemble,
    alloy: Alloys,
    change: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    confidence: float = CONFIDENCE,
    step: float = STEP,
    minimum: float = MINIMUM,
) -> DesignResult:
    """Find the smallest change of composition that is predicted to make the wishes hold.

    A beam search over exchanges of one element for another and moves towards known alloys: it goes
    on from the alloys that gain most confidence for the atoms moved, and ends where no shorter
    way is left.

    Parameters
    ----------
    ensemble : Ensemble
    alloy : formula, or anything that is one alloy of the training elements
    change : mapping of target to wish
    constraints, confidence, step, minimum
        As of `invert`.

    Returns
    -------
    DesignResult
        One alloy, with its trail; `changes` says what was exchanged, in at.%.

    Raises
    ------
    ConstraintError
        Where no alloy within reach satisfies the constraints and is confident enough.
    """
    problem = _problem(ensemble, change, constraints, confidence, step, minimum)
    start = _start(ensemble, alloy)
    known = ensemble.known.to_numpy(float)
    beam = [[start]]
    best: list[NDArray[np.float64]] = []
    shortest, candidates = np.inf, 0
    seen = {tuple(start.round(6))}
    for _ in range(_LONGEST):
        ends = np.array([path[-1] for path in beam])
        exchanged, towards = _exchanges(ends, step), _towards(ends, known)
        parents = np.concatenate([exchanged[0], towards[0]])
        moved = np.concatenate([exchanged[1], towards[1]])
        alloys, possible = weigh_in(moved, problem.region, step, minimum)
        distance = np.abs(alloys - start).sum(1) / 2
        keys = [tuple(row) for row in alloys.round(6).tolist()]
        fresh = np.array([key not in seen for key in keys]) & possible & (distance < shortest)
        _, first = np.unique(alloys.round(6), axis=0, return_index=True)
        fresh &= np.isin(np.arange(len(alloys)), first)
        if not fresh.any():
            break
        rows = np.flatnonzero(fresh)
        seen.update(keys[row] for row in rows)
        candidates += len(rows)
        lacking = _lacking(problem, alloys[rows], confidence)
        done = lacking <= 0
        if done.any():
            row = rows[done][distance[rows][done].argmin()]
            best, shortest = [*beam[parents[row]], alloys[row]], distance[row]
        merit = distance[rows] + _PRICE * np.maximum(lacking, 0)
        merit[done] = np.inf  # nothing beyond it is nearer
        order = np.argsort(merit, kind="stable")[:_BEAM]
        beam = [[*beam[parents[rows[i]]], alloys[rows[i]]] for i in order if np.isfinite(merit[i])]
        if not beam:
            break
    path = np.array(best or beam[0] if beam else [start])
    attributes = {"inference": "nearest", "candidates": candidates}
    return _changed(problem, path, confidence, attributes, None)


def _problem(
    ensemble: Ensemble,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint],
    confidence: float,
    step: float,
    minimum: float,
) -> Problem:
    if not 0 < confidence < 1:
        raise ConstraintError(f"confidence={confidence} is not allowed; it is between 0 and 1")
    if not any(isinstance(c, Novel) for c in constraints):  # a known alloy is a good answer here
        constraints = (*constraints, Novel(0.0))
    return Problem.of(ensemble, targets, constraints, step=step, minimum=minimum)


def _start(ensemble: Ensemble, alloy: Alloys) -> NDArray[np.float64]:
    table = ensemble.fractions(alloy)
    if len(table) != 1:
        raise DataError(f"one alloy is changed at a time, not {len(table)}")
    return table.to_numpy(float)[0]


def _lacking(
    problem: Problem, alloys: NDArray[np.float64], confidence: float
) -> NDArray[np.float64]:
    """Nats by which the log odds of all wishes are below the confidence, and what is missed."""
    q = fulfilment(problem.ensemble, torch.tensor(alloys), problem.targets).double().mean(0)
    odds = torch.logit(q.clamp(1e-9, 1 - 1e-9)).cpu().numpy()
    lacking = np.log(confidence / (1 - confidence)) - odds
    cost = problem.cost(alloys)
    return np.where(cost > 0, np.maximum(lacking, 0) + cost, lacking)


def _scored(
    problem: Problem, x: NDArray[np.float64], start: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Alloys as weighed in, and their score: atoms moved, and the price of what is lacking."""
    alloys, possible = weigh_in(x, problem.region, problem.step, problem.minimum)
    distance = np.abs(alloys - start).sum(1) / 2
    lacking = np.maximum(_lacking(problem, alloys, confidence), 0)
    score = distance + _PRICE * lacking + np.where(lacking > 0, 1.0, 0.0)
    return alloys, np.where(possible, score, np.inf)


def _exchanges(
    alloys: NDArray[np.float64], step: float
) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Every exchange of two elements of alloys (B, E): which alloy it starts from, and where to."""
    parents, moved = [], []
    for i, x in enumerate(alloys):
        for giver in np.flatnonzero(x > 0):
            sizes = {size for size in _SIZES if size >= step - 1e-9 and size < x[giver]}
            for size in (*sorted(sizes), x[giver]):
                after = np.tile(x, (len(x), 1))
                after[:, giver] -= size
                after[np.arange(len(x)), np.arange(len(x))] += size
                moved.append(np.delete(after, giver, axis=0))
                parents.append(np.full(len(x) - 1, i))
    return np.concatenate(parents), np.concatenate(moved)


def _towards(
    alloys: NDArray[np.float64], known: NDArray[np.float64]
) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Every move towards one of the nearest known alloys, as `_exchanges` gives them."""
    shares = np.array(_SHARES)[:, None, None]
    moved = []
    for x in alloys:
        near = known[np.argsort(np.abs(known - x).sum(1), kind="stable")[:_NEAR]]
        moved.append(((1 - shares) * x + shares * near).reshape(-1, len(x)))
    return np.repeat(np.arange(len(alloys)), len(moved[0])), np.concatenate(moved)


def _changed(
    problem: Problem,
    path: NDArray[np.float64],
    confidence: float,
    attributes: dict[str, object],
    latents: Mapping[str, np.ndarray] | None,
) -> DesignResult:
    """The last alloy of a path, which must be content, with the path as its trail."""
    path = path[np.r_[True, np.any(np.diff(path, axis=0) != 0, axis=1)]]
    q = fulfilment(problem.ensemble, torch.tensor(path), problem.targets).double().mean(0)
    failed = [name for name, ok in problem.holds(path[-1:]).items() if not ok.all()]
    if failed or q[-1] < confidence:
        why = f"{', '.join(failed)} does not hold" if failed else f"it is predicted at {q[-1]:.2f}"
        raise ConstraintError(
            f"no way was found to an alloy that satisfies every constraint at a confidence of "
            f"{confidence:g}: at the end of the best, {why}. Lower the confidence or loosen the "
            "constraints"
        )
    trail = pd.DataFrame(path, columns=list(problem.ensemble.elements)).assign(
        all_wishes=q.cpu().numpy(), moved=np.abs(path - path[0]).sum(1) / 2
    )
    trail.insert(0, "step", range(len(trail)))
    attributes = {**attributes, "confidence": confidence, "moved": float(trail["moved"].iloc[-1])}
    return gather(problem, path[-1:], attributes, latents=latents, trail=trail)
