"""New alloys of a cluster: drawn from its normal, and made from the alloys that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_hea.design.constraints import Novel
from pyro_hea.design.gathering import gather
from pyro_hea.design.problem import MINIMUM, STEP, Problem, check_count
from pyro_hea.design.rounding import round_compositions
from pyro_hea.errors import ConstraintError, DesignWarning, warn
from pyro_hea.explain.separable.edits import likely_wishes

if TYPE_CHECKING:
    import pandas as pd

    from pyro_hea.design import Constraint, DesignResult
    from pyro_hea.explain.separable.separable import SeparableLatent

NEW = 0.015
"""Share of the atoms by which an augmented alloy differs from any training alloy at least."""

_TRIES = 8
"""Alloys decoded for each that is wanted."""

_SPREAD = 0.5
"""Of the coordinates that are drawn anew, in standard deviations of the cluster."""

_ANEW = 0.5
"""Chance of a coordinate to be drawn anew."""


def draw(
    separable: SeparableLatent, cluster: int, n: int, spread: float, seed: int
) -> pd.DataFrame:
    """See `SeparableLatent.draw`."""
    latent = separable.latent
    rng = np.random.default_rng(seed)
    noise = torch.as_tensor(rng.standard_normal((n, latent.dim))).to(separable.means)
    u = separable.means[cluster] + spread * separable.model.scale * noise
    own = separable.trained.take(np.flatnonzero(separable.codes == cluster))
    y = latent.draw_targets(n, seed, own)
    return latent.table(latent.decode(separable.w(u), y))


def augment(
    separable: SeparableLatent,
    cluster: int,
    n: int,
    constraints: Sequence[Constraint],
    seed: int,
) -> DesignResult:
    """See `SeparableLatent.augment`."""
    check_count(n, seed)
    own = separable.trained.take(np.flatnonzero(separable.codes == cluster))
    wishes = likely_wishes(separable.ensemble, own.fractions, separable.clusters, cluster)
    if not any(isinstance(c, Novel) for c in constraints):
        constraints = [*constraints, Novel(NEW)]
    problem = Problem.of(separable.ensemble, wishes, constraints, step=STEP, min_fraction=MINIMUM)
    rng = np.random.default_rng(seed)
    count = _TRIES * n
    first, second = own.take(rng.integers(len(own), size=count)), rng.integers(len(own), size=count)
    u = (separable.u(first.w) + separable.u(own.take(second).w)) / 2
    near = separable.means[cluster] + _SPREAD * separable.model.scale * torch.as_tensor(
        rng.standard_normal(u.shape)
    ).to(u)
    anew = torch.as_tensor(rng.random(u.shape) < _ANEW, device=u.device)
    u = torch.where(anew, near, u)
    made = separable.latent.decode(separable.w(u), separable.targets_in(first, cluster))
    alloys, possible = round_compositions(made, problem.region, STEP, MINIMUM)
    inside = separable.clusters_of(alloys) == cluster
    held = possible & inside
    held[held] &= problem.satisfied(alloys[held])
    _, once = np.unique(alloys, axis=0, return_index=True)
    rows = np.flatnonzero(held & np.isin(np.arange(count), once))
    if not len(rows):
        raise ConstraintError(
            f"none of {count} alloys decoded in '{separable.names[cluster]}' is new and satisfies "
            "every constraint; loosen them"
        )
    if len(rows) < n:
        warn(
            f"{len(rows)} of {n} alloys: of {count} that were decoded, no more are new and in "
            f"'{separable.names[cluster]}'",
            DesignWarning,
        )
    about = {
        "inference": "augment",
        "candidates": count,
        "discarded": float(1 - len(rows) / count),
        "kept_cluster": float(inside.mean()),
    }
    rows = rows[:n]
    latents = {"member": np.full(len(rows), separable.member)}
    result = gather(problem, alloys[rows], about, latents=latents, best_first=False)
    name = separable.names[cluster]
    return replace(result, table=result.table.assign(cluster=name))
