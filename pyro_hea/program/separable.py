"""The Pyro program of a separable latent: clusters, and the latent that T makes of them.

As a graph::

    cluster ──> u ──T⁻¹──> latent of a trained model, which is observed

The cluster of an alloy is known, or summed out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_hea.program.networks import CouplingFlow

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyro.poutine.runtime import InferDict

    from pyro_hea.spec import Separation

UNKNOWN_CLUSTER = -1
"""Cluster of an alloy of which none is known."""

_IMPOSSIBLE = -1e4
"""Log probability of a cluster other than the known one."""

_REPULSION_STEPS = 400


class SeparableModel(nn.Module):
    """An invertible network on a latent of d coordinates, and a normal for each of C clusters.

    Parameters
    ----------
    spec : Separation
    centroids : Tensor, shape (C, d)
        Mean of each cluster in the latent of the trained model.
    weights : Tensor, shape (C,)
        Share of each cluster.
    """

    weights: Tensor
    fixed_means: Tensor

    def __init__(self, spec: Separation, centroids: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.spec = spec
        clusters, dim = centroids.shape
        self.flow = CouplingFlow(
            1,
            dim,
            0,
            spec.hidden,
            spec.layers,
            spec.bins,
            permuted=range(spec.layers),
            normalised=True,
        )
        self.register_buffer("weights", weights)
        prior = spec.prior
        if prior is None:
            means = centroids.new_zeros(1, dim)
        elif prior.means == "centroids":
            means = centroids
        else:
            corners = torch.tensor(distant_points(clusters, dim)).to(centroids)
            means = prior.distance * prior.scale * corners
        self.means: Tensor | nn.Parameter
        if prior is not None and prior.means == "learnt":
            self.means = nn.Parameter(means)
        else:
            self.register_buffer("means", means)

    @property
    def scale(self) -> float:
        """Standard deviation of each coordinate of u in a cluster."""
        return 1.0 if self.spec.prior is None else self.spec.prior.scale

    # The program.

    def model(self, latent: Tensor, cluster: Tensor, population: int | None = None) -> None:
        """Clusters, known or not, and the latent that T⁻¹ makes of each alloy.

        Parameters
        ----------
        latent : Tensor, shape (N, d)
        cluster : Tensor of int, shape (N,)
            `UNKNOWN_CLUSTER` where it is summed out.
        population : int, optional
            Alloys of which these are a batch.
        """
        spec, means, latent = self.spec, self.means, latent.unsqueeze(0)
        if isinstance(means, nn.Parameter):
            with poutine.scale(scale=len(cluster) / (population or len(cluster))):
                means = pyro.sample("means", self._means_prior())
        flow = self.flow(latent[..., :0])
        with pyro.plate("member", 1, dim=-2), pyro.plate("alloys", len(cluster), dim=-1):
            which = torch.zeros_like(cluster)
            if spec.prior is not None:
                enumerated: InferDict = {"enumerate": "parallel"}
                which = pyro.sample("cluster", dist.Categorical(self.weights), infer=enumerated)
                other = (cluster != UNKNOWN_CLUSTER) & (cluster != which)
                pyro.factor("known_cluster", _IMPOSSIBLE * other)
            u = dist.Normal(means[which], self.scale).to_event(1)
            pyro.sample("latent", dist.TransformedDistribution(u, [flow.inv]), obs=latent)
            if spec.prior is not None and spec.discrimination:
                known = cluster != UNKNOWN_CLUSTER
                log_odds = self.log_clusters(flow(latent), means)
                right = log_odds.gather(-1, cluster.clamp_min(0).expand(1, -1).unsqueeze(-1))
                pyro.factor("discrimination", spec.discrimination * known * right.squeeze(-1))
        if spec.bending and len(cluster) > 1:
            ends, middle = flow(latent), self._middle(latent)
            bend = (self.flow(middle[..., :0])(middle) - self._middle(ends)).square().sum(-1)
            apart = _differences(ends).square().sum(-1)
            with pyro.plate("pairs", bend.shape[-1], dim=-1):
                pyro.factor("bending", -spec.bending * bend / (apart + self.scale**2))

    def guide(self, latent: Tensor, cluster: Tensor, population: int | None = None) -> None:
        """Learnt means, each at a point; clusters are summed out in the model."""
        if isinstance(self.means, nn.Parameter):
            with poutine.scale(scale=len(cluster) / (population or len(cluster))):
                pyro.sample("means", dist.Delta(self.means, event_dim=2))

    def _means_prior(self) -> dist.TorchDistribution:
        prior = self.spec.prior
        assert prior is not None
        width = prior.distance * prior.scale
        return dist.Normal(torch.zeros_like(self.means), width).to_event(2)

    @staticmethod
    def _middle(x: Tensor) -> Tensor:
        half = x.shape[-2] // 2
        return (x[..., :half, :] + x[..., half : 2 * half, :]) / 2

    # Its parts.

    def log_clusters(self, u: Tensor, means: Tensor | None = None) -> Tensor:
        """Log probability of each cluster given u (..., d), (..., C)."""
        means = self.means if means is None else means
        away = (u.unsqueeze(-2) - means).square().sum(-1) / (2 * self.scale**2)
        return (self.weights.log() - away).log_softmax(-1)

    def encode(self, latent: Tensor) -> Tensor:
        """U = T(latent), (N, d)."""
        return self.flow(latent[None, :, :0])(latent[None])[0]

    def decode(self, u: Tensor) -> Tensor:
        """The latent of u, (N, d)."""
        return self.flow(u[None, :, :0]).inv(u[None])[0]


def _differences(x: Tensor) -> Tensor:
    half = x.shape[-2] // 2
    return x[..., :half, :] - x[..., half : 2 * half, :]


def distant_points(count: int, dim: int) -> NDArray[np.float64]:
    """Points whose nearest two are at a distance of 1, as far from each other as they can be.

    Up to dim + 1 they are the corners of a regular simplex; more of them repel each other on a
    sphere.

    Parameters
    ----------
    count, dim : int

    Returns
    -------
    array, shape (count, dim)
        Around the origin.

    Examples
    --------
    >>> distant_points(2, 4).round(3).tolist()
    [[0.5, 0.0, 0.0, 0.0], [-0.5, 0.0, 0.0, 0.0]]
    """
    if count == 1:
        return np.zeros((1, dim))
    if count <= dim + 1:
        corners = np.eye(count) - 1 / count
        axes = np.linalg.svd(corners)[2][: count - 1]
        points = np.zeros((count, dim))
        points[:, : count - 1] = corners @ axes.T
        points *= np.where(points[0] < 0, -1, 1)
        return points / 2**0.5
    points = np.random.default_rng(0).standard_normal((count, dim))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    for step in range(_REPULSION_STEPS):
        away = points[:, None] - points
        square = np.square(away).sum(-1) + np.eye(count)
        push = (away / square[..., None] ** 3).sum(1)
        push /= np.linalg.norm(push, axis=1).max()
        points += 0.1 * (1 - step / _REPULSION_STEPS) * push
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    square = np.square(points[:, None] - points).sum(-1) + 4 * np.eye(count)
    return np.asarray(points / np.sqrt(square.min()))
