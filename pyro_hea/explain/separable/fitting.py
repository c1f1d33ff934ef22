"""Training T on the latent of a member, which stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pyro_hea.devices import seeded
from pyro_hea.inference.separation import train_separation
from pyro_hea.program.separable import UNKNOWN_CLUSTER, SeparableModel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pyro_hea.explain.separable.clusters import Clusters
    from pyro_hea.explain.separable.member_latent import Encoded, MemberLatent
    from pyro_hea.spec import Separation


@dataclass(frozen=True, eq=False)
class Fitted:
    """T as it was trained.

    Attributes
    ----------
    model : SeparableModel
    losses : list of float
        Of each step, nats per alloy.
    """

    model: SeparableModel
    losses: list[float]


def fit_separation(
    spec: Separation,
    latent: MemberLatent,
    clusters: Clusters,
    encoded: Encoded,
    codes: NDArray[np.int64],
    seed: int,
    *,
    shuffled: bool = False,
) -> Fitted:
    """Train T on encoded alloys, and on alloys drawn from the member.

    Parameters
    ----------
    spec : Separation
    latent : MemberLatent
    clusters : Clusters
    encoded : Encoded
        The alloys to train on.
    codes : array of int, shape (N,)
        Their clusters, -1 where unknown.
    seed : int
    shuffled : bool
        Deal the clusters anew among the alloys, as a test: nothing is then to be learnt.

    Raises
    ------
    DataError
        For a cluster with too few of the alloys.
    """
    clusters.check_sizes(codes)
    w, y = encoded.w, dict(encoded.y)
    cluster = torch.tensor(codes, device=w.device)
    if spec.drawn:
        drawn = latent.draw(spec.drawn, seed, encoded)
        known = np.full(len(drawn), UNKNOWN_CLUSTER)
        if clusters.rule is not None and clusters.target is None:
            known = clusters.rule(drawn.fractions)
        # as many of the given alloys as of the drawn ones
        copies = max(1, round(len(drawn) / len(w)))
        w = torch.cat([w.repeat(copies, 1), drawn.w])
        y = {name: torch.cat([value.repeat(copies), drawn.y[name]]) for name, value in y.items()}
        cluster = torch.cat([cluster.repeat(copies), torch.tensor(known, device=w.device)])
    if shuffled:
        at = torch.nonzero(cluster >= 0)[:, 0]
        order = np.random.default_rng(seed).permutation(len(at))
        cluster[at] = cluster[at[torch.tensor(order, device=w.device)]]
    count = len(clusters.names)
    sizes = torch.bincount(cluster[cluster >= 0], minlength=count).to(w)
    of_cluster = [w[cluster == c] for c in range(count)]
    centroids = torch.stack([rows.mean(0) if len(rows) else w.mean(0) for rows in of_cluster])
    weights = (sizes + 1) / (sizes + 1).sum()
    if spec.prior is None:
        weights, cluster = w.new_ones(1), torch.full_like(cluster, UNKNOWN_CLUSTER)
    with seeded(seed):
        model = SeparableModel(spec, centroids, weights).to(w.device)

    def decode(rows: Tensor, some: Tensor) -> Tensor:
        return latent.compositions(some, {name: value[rows] for name, value in y.items()})

    losses = train_separation(model, w, cluster, seed, decode)
    model.requires_grad_(False)
    return Fitted(model, losses)
