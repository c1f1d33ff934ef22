"""The declaration of a separable latent: an invertible network, and the prior of what it gives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pyro_hea.spec.declaration import Count, Declaration, Positive, Width


class ClusterPrior(Declaration):
    """Prior of u: a mixture with one normal for each cluster, of the same width in all directions.

    Attributes
    ----------
    means : "centroids", "simplex" or "learnt"
        The mean of each cluster in the latent of the model, which is the published choice; the
        corners of a regular simplex, or with more clusters than coordinates points that are as far
        apart as they can be; or learnt, from those corners on, with a normal prior.
    distance : float
        Between two means on the simplex, in standard deviations of a cluster.
    scale : float
        Standard deviation of each coordinate of a cluster.
    """

    means: Literal["centroids", "simplex", "learnt"] = "simplex"
    distance: Positive = 8.0
    scale: Positive = 1.0


class Separation(Declaration):
    """An invertible network T on the latent of a trained model, and how it is trained.

    Attributes
    ----------
    layers : int
        Couplings, each after a permutation and an ActNorm.
    hidden : int
        Width of each coupling's network.
    bins : int
        Of the splines in each coupling; with 1 it only scales and shifts, as published.
    prior : ClusterPrior or None
        Of u = T(w). None is one standard normal: T is then trained without clusters.
    discrimination : float
        Weight of the log probability of the known cluster given u, beside the log density of both.
    bending : float
        Weight of the squared distance by which T takes the middle of two latents off the middle of
        their images, as a share of the squared distance of these.
    straightening : float
        Weight of the share of the atoms by which an alloy on the straight line between two images
        decodes off the mixture of the two alloys, as a share of that by which these differ.
    drawn : int
        Alloys drawn from the model that T is trained on beside the given ones. Their clusters are
        known where a rule on compositions says them.
    steps : int
        Of the optimiser.
    batch_size : int
    learning_rate : float
        Peak of the one-cycle schedule.
    weight_decay : float
        Decoupled (AdamW).
    """

    layers: int = Field(default=8, ge=1, le=64)
    hidden: Width = 64
    bins: int = Field(default=1, ge=1, le=64)
    prior: ClusterPrior | None = ClusterPrior()
    discrimination: float = Field(default=8.0, ge=0.0, le=1e6)
    bending: float = Field(default=300.0, ge=0.0, le=1e6)
    straightening: float = Field(default=300.0, ge=0.0, le=1e6)
    drawn: int = Field(default=10000, ge=0, le=10**7)
    steps: Count = 1000
    batch_size: Count = 512
    learning_rate: Positive = 0.003
    weight_decay: float = Field(default=1e-4, ge=0.0, le=1e3)

    @classmethod
    def published(cls) -> Separation:
        """The recipe of Zhang, Carvalho and Freitas (arXiv:2305.01713), on a smaller latent.

        Examples
        --------
        >>> Separation.published().prior
        ClusterPrior(means='centroids', distance=8.0, scale=0.6324555320336759)
        """
        prior = ClusterPrior(means="centroids", scale=0.4**0.5)
        off = {"discrimination": 0.0, "bending": 0.0, "straightening": 0.0, "drawn": 0}
        return cls.model_validate({"prior": prior, "learning_rate": 5e-4, **off})
