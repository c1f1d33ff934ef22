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

from pyro_hea.program.flows import ConditionedFlow, CouplingFlow

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numpy.typing import NDArray
    from pyro.poutine.runtime import InferDict

    from pyro_hea.spec import Separation

    Decode: TypeAlias = Callable[[Tensor], Tensor]

UNKNOWN_CLUSTER = -1
"""Cluster of an alloy of which none is known."""

_IMPOSSIBLE = -1e4
"""Log probability of a cluster other than the known one."""

_REPULSION_STEPS = 400

_TURNS = 200
"""Of two axes at a time, after which the clusters scatter alike along all."""

_SAME = 0.1
"""Total difference of fractions that counts beside that of two alloys, which may be the same."""


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
    axes: Tensor

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
        prior, axes = spec.prior, torch.eye(dim)
        if prior is None:
            means = centroids.new_zeros(1, dim)
        elif prior.means == "centroids":
            means = centroids
        else:
            corners = torch.tensor(distant_points(clusters, dim)).to(centroids)
            means = prior.distance * prior.scale * corners
            axes = torch.tensor(even_axes(means, weights))
        self.register_buffer("axes", axes.to(centroids))
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

    def model(
        self,
        latent: Tensor,
        cluster: Tensor,
        population: int | None = None,
        decode: Decode | None = None,
    ) -> None:
        """Clusters, known or not, and the latent that T⁻¹ makes of each alloy.

        Parameters
        ----------
        latent : Tensor, shape (N, d)
        cluster : Tensor of int, shape (N,)
            `UNKNOWN_CLUSTER` where it is summed out.
        population : int, optional
            Alloys of which these are a batch.
        decode : callable, optional
            Compositions of latents (..., N // 2, d) at the targets of the first half of the alloys;
            without it lines are not straightened.
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
        if len(cluster) > 1:
            self._keep_lines_straight(latent, flow(latent), decode)

    def _keep_lines_straight(self, latent: Tensor, u: Tensor, decode: Decode | None) -> None:
        """Lines between images u of each latent of the first half and one of the second."""
        spec = self.spec
        (first, last), (starts, ends) = _halves(latent), _halves(u)
        pairs = pyro.plate("pairs", first.shape[-2], dim=-1)
        if spec.bending:
            bend = self._new_flow(first)((first + last) / 2) - (starts + ends) / 2
            apart = (ends - starts).square().sum(-1) + self.scale**2
            with pairs:
                pyro.factor("bending", -spec.bending * bend.square().sum(-1) / apart)
        if spec.straightening and decode is not None:
            share = torch.rand_like(first[..., :1])
            with torch.no_grad():
                alloys = decode(first), decode(last)
            there = decode(self._new_flow(first).inv(torch.lerp(starts, ends, share)))
            off = (there - torch.lerp(*alloys, share)).abs().sum(-1)
            apart = (alloys[1] - alloys[0]).abs().sum(-1)
            with pairs:
                pyro.factor("straightening", -spec.straightening * off / (apart + _SAME))

    def guide(
        self,
        latent: Tensor,
        cluster: Tensor,
        population: int | None = None,
        decode: Decode | None = None,
    ) -> None:
        """Learnt means, each at a point; clusters are summed out in the model."""
        if isinstance(self.means, nn.Parameter):
            with poutine.scale(scale=len(cluster) / (population or len(cluster))):
                pyro.sample("means", dist.Delta(self.means, event_dim=2))

    def _means_prior(self) -> dist.TorchDistribution:
        prior = self.spec.prior
        assert prior is not None
        width = prior.distance * prior.scale
        return dist.Normal(torch.zeros_like(self.means), width).to_event(2)

    def _new_flow(self, latent: Tensor) -> ConditionedFlow:
        """T without a context; one that was applied keeps its last image."""
        return self.flow(latent[..., :0])

    # Its parts.

    @property
    def cluster_means(self) -> Tensor:
        """Mean of each cluster in u, (C, d)."""
        return self.means @ self.axes

    def log_clusters(self, u: Tensor, means: Tensor | None = None) -> Tensor:
        """Log probability of each cluster given u (..., d), (..., C)."""
        means = self.cluster_means if means is None else means
        away = (u.unsqueeze(-2) - means).square().sum(-1) / (2 * self.scale**2)
        return (self.weights.log() - away).log_softmax(-1)

    def encode(self, latent: Tensor) -> Tensor:
        """U = T(latent), (N, d)."""
        return self.flow(latent[None, :, :0])(latent[None])[0] @ self.axes

    def decode(self, u: Tensor) -> Tensor:
        """The latent of u, (N, d)."""
        return self.flow(u[None, :, :0]).inv((u @ self.axes.T)[None])[0]


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    half = x.shape[-2] // 2
    return x[..., :half, :], x[..., half : 2 * half, :]


def even_axes(means: Tensor, weights: Tensor) -> NDArray[np.float64]:
    """Orthogonal axes on each of which the means (C, d) of clusters scatter alike, (d, d).

    Whoever standardises coordinates would else draw the clusters together along the few axes that
    take them apart.

    Examples
    --------
    >>> axes = even_axes(torch.tensor([[2.0, 0.0], [-2.0, 0.0]]), torch.tensor([0.5, 0.5]))
    >>> np.abs(axes).round(3).tolist()
    [[0.707, 0.707], [0.707, 0.707]]
    """
    points, share = means.double().cpu().numpy(), weights.double().cpu().numpy()
    off = points - share @ points
    scatter, axes = off.T @ (share[:, None] * off), np.eye(points.shape[1])
    for _ in range(_TURNS):
        most, least = np.diag(scatter).argmax(), np.diag(scatter).argmin()
        excess = scatter[most, most] - scatter[least, least]
        angle = np.arctan2(excess, 2 * scatter[most, least]) / 2
        turn, pair = np.eye(len(axes)), np.ix_([most, least], [most, least])
        turn[pair] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        scatter, axes = turn.T @ scatter @ turn, axes @ turn
    return axes


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
