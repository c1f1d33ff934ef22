"""Flip an alloy's targets and walk in latent space until the ensemble agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.design.counterfactual import CONFIDENCE, Change, changed, shortened
from pyro_hea.design.decoder_targets import nearest_targets
from pyro_hea.design.problem import MINIMUM, STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.result import DesignResult
    from pyro_hea.design.wishes import Wish
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.posterior import Ensemble

_PROPOSALS = 32
"""Steps in latent space that each member tries at a time."""

_STRIDES = (0.02, 0.5)
"""Shortest and longest of these steps, in prior standard deviations."""

_WALKS = 40

_SHORTENED = 3
"""Members whose change is made shorter."""


def invert(
    ensemble: Ensemble,
    alloy: Alloys,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    step: float = STEP,
    min_fraction: float = MINIMUM,
) -> DesignResult:
    """Start from an alloy, flip its targets, and walk in latent space until the prediction agrees.

    Every member walks in its own space, from the alloy's latent. What a member does not
    reconstruct of the alloy is carried along, all of it or a share s, so that the walk begins at
    the alloy itself: x(z) = decode(z, y*) + s (x₀ - decode(z₀, y₀)). Where each walk ends, the
    change is made shorter (`shortened`); the shortest is returned.

    Parameters
    ----------
    ensemble : Ensemble
    alloy : formula, or anything that is one alloy of the training elements
    targets : mapping of target to wish
    constraints : sequence of Constraint
    confidence : float
        Cautious probability of all wishes that is wanted: the most doubtful member's, and less by
        the share of the atoms by which the alloy is nearer to its start than to a known alloy
        that has the property. It is no frequency.
    seed : int
    step, min_fraction : float
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
    change = Change.of(ensemble, alloy, targets, constraints, confidence, step, min_fraction)
    trails, z = _latent_walks(change, seed)
    ends = change.score(trails[:, -1], np.ones(len(trails), bool))
    best = np.argsort(ends, kind="stable")[:_SHORTENED]
    paths = {int(k): trails[k] for k in best}
    for k in best[ends[best] < 1]:  # accepted
        paths[int(k)] = np.vstack([trails[k], *shortened(change, trails[k, -1])])
    member = min(paths, key=lambda k: float(change.distance(paths[k][-1:])[0]))
    latents = {"z": z[member], "member": np.array([member])}
    count = _WALKS * _PROPOSALS * ensemble.members
    attributes = {"inference": "invert", "seed": seed, "candidates": count}
    return changed(change, paths[member], attributes, latents)


def _latent_walks(change: Change, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The way of each member from the start, (K, 1 + walks, E), and z at its end, (K, 1, d)."""
    ensemble, start = change.problem.ensemble, change.start
    batch = ensemble.batch(pd.DataFrame([start], columns=list(ensemble.elements)))
    own = ensemble.most_probable(batch)
    wished = nearest_targets(change.problem, own)
    z = ensemble.encode(batch)  # (K, 1, d)
    base = torch.tensor(start) - ensemble.decode(z, own).double().cpu()
    rng, rows = np.random.default_rng(seed), np.arange(ensemble.members)
    best_z, best_score = z.clone(), np.full(ensemble.members, np.inf)
    best_x = np.tile(start, (ensemble.members, 1))
    trails = [best_x]
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
        alloys, possible = change.rounded(x.reshape(-1, x.shape[-1]))
        score = change.score(alloys, possible).reshape(x.shape[:2])
        chosen = score.argmin(1)
        better = score.min(1) < best_score
        best_score = np.where(better, score[rows, chosen], best_score)
        found = alloys.reshape(x.shape)[rows, chosen]
        best_x = np.where(better[:, None], found, best_x)
        nearer = torch.tensor(better, device=z.device)[:, None, None]
        best_z = torch.where(nearer, tried[rows, chosen][:, None], best_z)
        trails.append(best_x)
    return np.stack(trails, 1), best_z.cpu().numpy()
