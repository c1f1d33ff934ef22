"""Edits of one alloy in a separable latent, as designs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pyro_hea.design.counterfactual import CONFIDENCE, Change, shortened
from pyro_hea.design.gathering import gather
from pyro_hea.design.problem import MINIMUM, STEP, Problem
from pyro_hea.errors import ConstraintError, DataError, DesignWarning, warn
from pyro_hea.posterior import predict
from pyro_hea.spec import Binary, Continuous

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.design import Constraint, DesignResult, Wish
    from pyro_hea.explain.separable.clusters import Clusters
    from pyro_hea.explain.separable.member_latent import Encoded
    from pyro_hea.explain.separable.separable import SeparableLatent
    from pyro_hea.materials.alloys.amounts import Alloy
    from pyro_hea.posterior import Ensemble

    Floats = NDArray[np.float64]

_SHARES = np.linspace(0.05, 1.5, 30)
"""Shares of a way that a move without `by` tries."""

_NEAR = 8
"""Alloys of the other cluster toward which a move without `by` is tried as well."""


@dataclass(frozen=True, eq=False)
class ClusterChange(Change):
    """A change of one alloy, accepted in a cluster, or where a target's class is likely enough.

    Attributes
    ----------
    separable : SeparableLatent
    cluster : int
    """

    separable: SeparableLatent
    cluster: int

    def shortfall(self, alloys: Floats) -> Floats:
        """As of `Change` for a target; else below 0 in the cluster and above it elsewhere, (N,)."""
        if self.separable.clusters.target is not None:
            return super().shortfall(alloys)
        missed = np.where(self.separable.clusters_of(alloys) == self.cluster, -1.0, 1.0)
        cost = self.problem.cost(alloys)
        return np.where(cost > 0, np.maximum(missed, 0) + cost, missed)


def move(
    separable: SeparableLatent,
    alloy: Alloy,
    cluster: int,
    by: float | None,
    constraints: Sequence[Constraint],
    trim: bool,
    confidence: float,
) -> DesignResult:
    """See `SeparableLatent.move`."""
    start = _one(separable, alloy)
    change = _change(separable, start, cluster, constraints, confidence)
    y = separable.targets_in(start, cluster)
    u, means = separable.u(start.w), separable.means
    own = int(separable.cluster_or_likeliest(start, u)[0])
    if own == cluster:
        raise DataError(
            f"'{start.fractions.index[0]}' is in '{separable.names[cluster]}' already; clusters: "
            f"{', '.join(separable.names)}"
        )
    ways, shares = (means[cluster] - means[own])[None], np.array([by])
    if by is None:
        near = _nearest_alloys(separable, u, cluster)
        ways, shares = torch.cat([ways, near - u]), _SHARES
    there = u + torch.as_tensor(shares).to(u)[:, None] * ways[:, None]  # (W, S, d)
    # on the way to another alloy, what is particular of this one fades
    carried = np.ones((len(ways), len(shares)))
    carried[1:] -= np.minimum(shares, 1.0)
    there = there.flatten(0, 1)
    alloys, possible = change.rounded(_carried(separable, start, there, y, carried.ravel()))
    held = possible & change.problem.satisfied(alloys)
    if not held.any():
        raise ConstraintError(
            f"no alloy on the way of '{start.fractions.index[0]}' to "
            f"'{separable.names[cluster]}' satisfies every constraint; loosen them"
        )
    accepted = held & (change.shortfall(alloys) <= 0)
    met = bool(accepted.any())
    if met:
        last = int(np.where(accepted, change.distance(alloys), np.inf).argmin())
    else:
        last = int(np.flatnonzero(held)[held[: len(shares)].sum() - 1])
        warn(
            f"'{start.fractions.index[0]}' does not reach '{separable.names[cluster]}': no alloy "
            "on the way is in it. A larger `by` or a lower `confidence` may do",
            DesignWarning,
        )
    way, share = divmod(last, len(shares))
    first = way * len(shares)
    path = [change.start, *alloys[first : last + 1][held[first : last + 1]]]
    shorter = shortened(change, alloys[last]) if met else [alloys[last]]
    needed = float(change.distance(shorter[-1][None])[0]) if met else np.nan
    undone = shorter[1:] if trim else []
    probability = separable.model.log_clusters(there[last]).exp()[cluster]
    about = {
        "inference": "move",
        "toward": separable.names[cluster],
        "by": float(shares[share]),
        "met": met,
        "candidates": len(alloys),
    }
    return _result(change, path, about, float(probability), needed, undone)


def _nearest_alloys(separable: SeparableLatent, u: Tensor, cluster: int) -> Tensor:
    """Images of the alloys of a cluster that are nearest to u (1, d), (n, d)."""
    own = separable.trained.take(np.flatnonzero(separable.codes == cluster))
    places = separable.u(own.w)
    return places[(places - u).square().sum(-1).argsort()[:_NEAR]]


def arithmetic(
    separable: SeparableLatent,
    alloy: Alloy,
    minus: Tensor,
    plus: Tensor,
    constraints: Sequence[Constraint],
) -> DesignResult:
    """See `SeparableLatent.arithmetic`; `minus` and `plus` are points of u, (d,)."""
    start = _one(separable, alloy)
    u = separable.u(start.w)
    cluster = int(separable.cluster_or_likeliest(start, u)[0])
    change = _change(separable, start, cluster, constraints, CONFIDENCE)
    there = u - minus + plus
    alloys, possible = change.rounded(_carried(separable, start, there, start.y))
    if not (possible & change.problem.satisfied(alloys))[0]:
        raise ConstraintError(
            f"what '{start.fractions.index[0]}' becomes misses a constraint; loosen them"
        )
    about = {"inference": "arithmetic", "candidates": 1}
    likeliest = separable.model.log_clusters(there)[0].exp().max()
    return _result(change, [change.start, alloys[0]], about, float(likeliest), np.nan)


def _one(separable: SeparableLatent, alloy: Alloy) -> Encoded:
    return separable.latent.encode([alloy])


def _change(
    separable: SeparableLatent,
    start: Encoded,
    cluster: int,
    constraints: Sequence[Constraint],
    confidence: float,
) -> ClusterChange:
    ensemble = separable.ensemble
    wishes = likely_wishes(ensemble, start.fractions, separable.clusters, cluster)
    problem = Problem.of(
        ensemble, wishes, constraints, step=STEP, min_fraction=MINIMUM, novelty=0.0
    )
    at = start.fractions.to_numpy(float)[0]
    return ClusterChange(problem, at, confidence, separable, cluster)


def likely_wishes(
    ensemble: Ensemble, alloys: pd.DataFrame, clusters: Clusters, cluster: int
) -> dict[str, Wish]:
    """The class that is asked of a target; without one, what most of the alloys are predicted.

    A number stays within their intervals.
    """
    if clusters.target is not None:
        return {clusters.target: clusters.values[cluster]}
    predicted = predict(ensemble, alloys)
    wishes: dict[str, Wish] = {}
    for declared in ensemble.spec.targets:
        name = declared.name
        if isinstance(declared, Continuous):
            low, high = predicted[f"{name}_low"].min(), predicted[f"{name}_high"].max()
            wishes[name] = (float(low), float(high))
        elif isinstance(declared, Binary):
            wishes[name] = int(predicted[name].median() > 0.5)
        else:
            wishes[name] = str(predicted[name].mode()[0])
    return wishes


def _carried(
    separable: SeparableLatent,
    start: Encoded,
    u: Tensor,
    y: Mapping[str, Tensor],
    share: Floats | None = None,
) -> Floats:
    """Alloys decoded at u (S, d), with a share (S,) of what is not reconstructed of the start.

    With all of it a move by nothing gives the alloy itself.
    """
    latent = separable.latent
    missed = start.fractions.to_numpy(float) - latent.decode(start.w, start.y)
    decoded = latent.decode(separable.w(u), y)
    carried = missed if share is None else share[:, None] * missed
    return np.maximum(decoded + carried, 0.0)


def _result(
    change: ClusterChange,
    decoded: Sequence[Floats],
    about: Mapping[str, Any],
    probability: float,
    needed: float,
    undone: Sequence[Floats] = (),
) -> DesignResult:
    """A result of alloys decoded on the way, and of those from which parts were then undone."""
    problem, separable = change.problem, change.separable
    path = np.array([*decoded, *undone])
    trimmed = np.arange(len(path)) >= len(decoded)
    new = np.r_[True, np.any(np.diff(path, axis=0) != 0, axis=1)]
    path, trimmed = path[new], trimmed[new]
    moved = change.distance(path)
    trail = pd.DataFrame(path, columns=list(problem.ensemble.elements)).assign(
        all_wishes=problem.probability(path).mean(0), moved=moved, trimmed=trimmed
    )
    trail.insert(0, "step", range(len(trail)))
    latents = {"member": np.array([separable.member])}
    result = gather(problem, path[-1:], about, latents=latents, trail=trail)
    columns: dict[str, Any] = {
        "cluster": separable.name_of(int(separable.clusters_of(path[-1:])[0])),
        "cluster_probability": probability,
        "moved": 100 * float(moved[-1]),
        "needed": 100 * needed,
    }
    table = result.table.assign(**columns)
    units = {"cluster_probability": "1", "moved": "at.%", "needed": "at.%"}
    table.attrs["units"] = {**table.attrs.get("units", {}), **units}
    return replace(result, table=table)
