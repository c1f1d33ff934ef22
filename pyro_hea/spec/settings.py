"""Settings of the latent space, the features, the networks and the training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from pyro_hea.materials.alloys.features import PUBLISHED_FEATURES, RICH_FEATURES
from pyro_hea.spec.declaration import Count, Declaration, Positive, Width
from pyro_hea.spec.experts import FeatureName
from pyro_hea.spec.priors import FlowPrior, LatentPrior, Prior, VampPrior

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class Flow(Declaration):
    """Class-conditional invertible flow from z to what the decoder sees.

    Attributes
    ----------
    layers : int
        Couplings.
    hidden : int
        Width of each coupling's network.
    bins : int
        Of the splines in each coupling; with 1 it only scales and shifts.
    """

    layers: int = Field(default=4, ge=1, le=32)
    hidden: Width = 64
    bins: int = Field(default=8, ge=1, le=64)


class Latent(Declaration):
    """The latent space.

    Attributes
    ----------
    dim : int
        Coordinates of z; an even number where there is a flow.
    prior : Prior, Mixture, VampPrior or FlowPrior
        Of one coordinate, independent of the others, or of all of them together.
    flow : Flow or None
        Without a flow the decoder sees z itself.
    """

    dim: int = Field(default=8, ge=1, le=256)
    prior: LatentPrior = Prior(dist="Normal", loc=0.0, scale=1.0)
    flow: Flow | None = Flow()

    @field_validator("flow")
    @classmethod
    def _flow_has_halves(cls, flow: Flow | None, info: Any) -> Flow | None:
        odd = info.data.get("dim", 2) % 2
        if flow is not None and odd:
            raise ValueError("a flow needs an even latent dim; use an even dim or flow: null")
        if isinstance(info.data.get("prior"), FlowPrior) and odd:
            raise ValueError("the prior Flow needs an even latent dim; use one, or another prior")
        if flow is not None and isinstance(info.data.get("prior"), VampPrior):
            raise ValueError("VampPrior needs the encoder's own normals: use flow: null")
        return flow


class Features(Declaration):
    """What the head reads.

    Attributes
    ----------
    names : "rich", "published" or a list of feature names
    tables : "field" or "published"
        The field's valence electron concentration and the Takeuchi-Inoue enthalpies, or the
        element and pair tables behind the published features (30 elements).
    bins : int or None
        Quantile bins of the piecewise-linear embedding of each feature; None reads them raw.
    """

    names: (
        Literal["rich", "published"] | Annotated[tuple[FeatureName, ...], Field(min_length=1)]
    ) = "rich"
    tables: Literal["field", "published"] = "field"
    bins: int | None = Field(default=12, ge=1, le=256)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features, one by one."""
        if isinstance(self.names, str):
            return {"rich": RICH_FEATURES, "published": PUBLISHED_FEATURES}[self.names]
        return self.names


class Network(Declaration):
    """One network.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    dropout : float
        Probability that a hidden unit is dropped while training.
    activation : "silu" or "softplus"
        Of the hidden units.
    """

    hidden: tuple[Width, ...] = (128, 128)
    dropout: Fraction = 0.0
    activation: Literal["silu", "softplus"] = "silu"


class Encoder(Network):
    """The network that reads a composition.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    dropout : float
        Probability that a hidden unit is dropped while training.
    activation : "silu" or "softplus"
        Of the hidden units.
    reads : "square_roots" or "fractions"
        What it reads of a composition; square roots tell small fractions from none.
    covariance : "full" or "diagonal"
        Of the normal that it gives of w, what the decoder sees.
    """

    reads: Literal["square_roots", "fractions"] = "square_roots"
    covariance: Literal["full", "diagonal"] = "full"


class Distillation(Declaration):
    """Heads learn from teachers: ensembles of trees and a logistic regression fitted on the labels.

    Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, arXiv:1503.02531.

    Attributes
    ----------
    synthetic_alloys : int
        Compositions that no source reports, on which the heads also learn the probabilities of
        their teacher.
    trees : int
        Half of them extremely randomised, half of a random forest. They are divided among the
        members, each of which has its own teacher.
    steps : int
        Optimiser steps of the heads.
    numbers : bool
        Whether heads of numbers learn from a teacher too, which helps where labels are few.
    experts : bool
        Whether heads under an expert's prior learn from a teacher too, to whose log odds those of
        the expert are added, as far as labels let them be trusted.
    """

    synthetic_alloys: Count = 30_000
    trees: Count = 400
    steps: Count = 1000
    numbers: bool = False
    experts: bool = True


class Training(Declaration):
    """How the members are trained.

    Attributes
    ----------
    members : int
        Networks in the ensemble.
    epochs : int
        Passes over the training alloys, at most.
    batch_size : int
        Alloys in a step at most, labelled and unlabelled; an epoch has three steps or more.
    learning_rate, head_learning_rate : float
        Peaks of the one-cycle schedule, for encoder, decoder and flow, and for heads without
        distillation.
    weight_decay, head_weight_decay : float
        Decoupled (AdamW), for the same two.
    label_weight : float
        Weight α of the log loss on labels of heads without distillation (Kingma et al. 2014).
    distillation : Distillation or None
        How heads of binary and categorical targets learn before the rest: those without parents
        and without `reports`.
    mixup : float
        Parameter of the beta distribution by which labelled inputs of heads without distillation
        are mixed; 0 is off.
    jitter : float
        Share of the atoms redistributed among the elements present, anew in each batch.
    augmentation : float
        Unlabelled alloys that are trained on beside the given ones, as a share of their number:
        each the middle of two of them with the same principal element; 0 is off.
    clip_norm : float
        Largest gradient norm of a member's heads, and of the rest of its weights.
    patience : int
        Evaluations without a better validation loss after which a member stops.
    wake_sleep : float
        Length of the wake-sleep phase after training, as a share of the epochs; 0 is off. In it the
        encoder alone is trained, on alloys drawn from the model and on training alloys.
    """

    members: int = Field(default=8, ge=1, le=1024)
    epochs: Count = 160
    batch_size: int = Field(default=512, ge=2, le=10**9)
    learning_rate: Positive = 1.2e-2
    head_learning_rate: Positive = 4e-3
    weight_decay: float = Field(default=1e-4, ge=0.0, le=1e30)
    head_weight_decay: float = Field(default=0.1, ge=0.0, le=1e30)
    label_weight: float = Field(default=1.0, ge=0.0, le=1e30)
    distillation: Distillation | None = Distillation()
    mixup: float = Field(default=1.0, ge=0.0, le=1e30)
    jitter: Fraction = 0.1
    augmentation: float = Field(default=0.0, ge=0.0, le=100.0)
    clip_norm: Positive = 5.0
    patience: Count = 30
    wake_sleep: float = Field(default=0.25, ge=0.0, le=1e30)
