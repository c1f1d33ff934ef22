"""The declaration of an atlas: a mixture of charts, each a small VAE of a part of a manifold."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pyro_hea.spec.base import Spec
from pyro_hea.spec.declaration import Count, Declaration, Positive, Width


class Coupling(Declaration):
    """An invertible network: affine couplings, each followed by a fixed exchange of coordinates.

    Attributes
    ----------
    couplings : int
        Each scales and shifts one half of the coordinates given the other, then the other way.
    hidden : tuple of int
        Widths of the hidden layers of each coupling's networks.
    activation : "relu", "silu" or "softplus"
        Of the hidden units.
    largest_log_scale : float
        Bound on the logarithm of each scale.
    """

    couplings: int = Field(default=5, ge=1, le=64)
    hidden: tuple[Width, ...] = (64, 64)
    activation: Literal["relu", "silu", "softplus"] = "relu"
    largest_log_scale: Positive = 1.4


class ChartDensity(Declaration):
    """Density of each coordinate ξ of a chart: a plateau with soft edges.

    Constant up to `inner`, linear from there down to `edge` at |ξ| = 1, and beyond it
    edge · exp(−decay (|ξ| − 1)), relative to the plateau.

    Attributes
    ----------
    inner : float
    edge : float
    decay : float
    """

    inner: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.8
    edge: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    decay: Positive = 100.0


class Seeding(Declaration):
    """Where the charts start, and what each learns before the mixture is trained.

    Attributes
    ----------
    candidates : int
        Points drawn at random and parted into a cell for each chart, by k-medoids of distances
        along the manifold.
    neighbours : int
        Of these, the nearest to the middle of its cell, which a chart learns first; an even share
        of the candidates at most.
    steps : int
    learning_rate : float
    """

    candidates: Count = 1000
    neighbours: Count = 1000
    steps: Annotated[int, Field(ge=0, le=10**6)] = 800
    learning_rate: Positive = 3e-3


class MixtureTraining(Declaration):
    """How the mixture is trained.

    Attributes
    ----------
    epochs : int
    batch_size : int
    learning_rate : float
        Peak of the one-cycle schedule of Adam; in the overlap phase a third of it.
    clip_norm : float
        Largest gradient norm of a chart.
    stretch_epochs : int
        First epochs in which a decoder that stretches its coordinates is penalised.
    stretch_weight : float
        Weight λ of that penalty, λ ‖(D(ξ) − D(ξ + σ_z η)) / σ_x‖².
    """

    epochs: Annotated[int, Field(ge=0, le=10**5)] = 40
    batch_size: Count = 512
    learning_rate: Positive = 3e-3
    clip_norm: Positive = 2.0
    stretch_epochs: Annotated[int, Field(ge=0, le=10**5)] = 8
    stretch_weight: Annotated[float, Field(ge=0.0, le=1e6)] = 1.0


class Overlap(Declaration):
    """Last epochs, which let charts grow over each other's edges.

    Attributes
    ----------
    epochs : int
    stretch : float
        Factor on the coordinates of one chart at a time, whose edge thus moves inwards, while the
        responsibilities are computed that these epochs are trained with.
    """

    epochs: Count = 10
    stretch: Annotated[float, Field(gt=1.0, le=10.0)] = 1.5


class AtlasSpec(Spec):
    """Everything that defines an atlas, in one frozen value.

    The model is that of Alberti, Hertrich, Santacesaria and Sciutto, Manifold Learning by Mixture
    Models of VAEs for Inverse Problems, JMLR 2024 (arXiv:2303.15244). Charts, dims, noise, density
    and networks are theirs by default. Training is shorter: charts start at the planes of cells
    along the manifold, batches are larger, and the learning rate follows one cycle. Theirs is
    `with_(seeding={"neighbours": 100, "steps": 2000, "learning_rate": 1e-3}, training={"epochs":
    200, "batch_size": 128, "learning_rate": 1e-4, "stretch_epochs": 50}, overlap__epochs=50)`, at
    a rate that stays the same, with seeds that are far apart in a straight line.

    Attributes
    ----------
    charts : int
        Number of charts K.
    dim : int
        Dimension d of the manifold.
    noise : float
        Standard deviation σ_x of a point around its chart, in the unit of the points.
    latent_noise : float
        Standard deviation σ_z of the guide's normal of a chart's coordinates.
    decoder : Coupling
        T, from coordinates and zeros to a point.
    latent_flow : Coupling or None
        S, from ξ to the decoder's coordinates z; a chart of one coordinate has none.
    density : ChartDensity
    seeding : Seeding
    training : MixtureTraining
    overlap : Overlap or None

    Examples
    --------
    >>> spec = AtlasSpec.shipped("torus")
    >>> spec.charts, spec.dim, spec.noise
    (6, 2, 0.05)
    >>> spec.with_(overlap=None)
    AtlasSpec().with_(charts=6, noise=0.05, training__epochs=60, overlap=None)
    """

    _folder: ClassVar[str] = "shipped_charts"

    charts: Annotated[int, Field(ge=1, le=1000)] = 2
    dim: Annotated[int, Field(ge=1, le=256)] = 2
    noise: Positive = 0.01
    latent_noise: Positive = 0.01
    decoder: Coupling = Coupling()
    latent_flow: Coupling | None = Coupling(couplings=3)
    density: ChartDensity = ChartDensity()
    seeding: Seeding = Seeding()
    training: MixtureTraining = MixtureTraining()
    overlap: Overlap | None = Overlap()
