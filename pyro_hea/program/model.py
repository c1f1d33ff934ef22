"""The Pyro program: sites and plates of the model and of its guide.

As a graph::

    features ──> y (each target) ──┐                 model: y ~ prior, z ~ prior,
                 │                 ▼                        w = flow(z | y),
                 └─> flow(z | y) ─> w ─> composition        composition ~ likelihood(w, y)
        z ───────────┘
                                                     guide: y ~ q(y | features) where unlabelled,
                                                            z ~ q(z | composition, y)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, cast

import pyro
import pyro.distributions as dist
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Transform

from pyro_hea.devices import exclusive
from pyro_hea.program.flows import CouplingFlow
from pyro_hea.program.latents import latent_prior_of, normal_of, normal_outputs
from pyro_hea.program.likelihoods import composition_likelihood, decoder_outputs
from pyro_hea.program.networks import MLP, NoEmbedding, PiecewiseLinear
from pyro_hea.program.sites import Expert
from pyro_hea.program.targets import HeadInputs, TargetModel, Values, join

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
    from pyro_hea.program.likelihoods import CompositionDistribution
    from pyro_hea.spec import ModelSpec


class AlloyModel(TargetModel):
    """K disentangled variational autoencoders of alloys, side by side in one program.

    Parameters
    ----------
    spec : ModelSpec
    elements : int
        Number of elements E of a composition.
    statistics : Statistics
        Of the training data.
    members : int, optional
        Members K, those of the spec by default.
    """

    spec: ModelSpec
    embedding: PiecewiseLinear | NoEmbedding

    def __init__(
        self, spec: ModelSpec, elements: int, statistics: Statistics, members: int | None = None
    ) -> None:
        embedding = PiecewiseLinear if spec.features.bins else NoEmbedding
        super().__init__(spec, statistics, embedding(statistics.edges), members)
        self.elements = elements
        self._flows: list[tuple[Values, Transform]] | None = None
        k = self.members
        width = self.width
        d, encoder, decoder = spec.latent.dim, spec.encoder, spec.decoder
        self.encoder = MLP(
            k,
            (elements + width, *encoder.hidden, normal_outputs(d, encoder.covariance)),
            encoder.dropout,
            activation=encoder.activation,
        )
        self.decoder = MLP(
            k,
            (d + width, *decoder.hidden, decoder_outputs(spec.likelihood, elements)),
            decoder.dropout,
            activation=decoder.activation,
        )
        flow = spec.latent.flow
        self.flow = CouplingFlow(k, d, width, flow.hidden, flow.layers, flow.bins) if flow else None
        self.latent = latent_prior_of(spec.latent, k, elements, width)

    # The program.

    def model(self, batch: AlloyBatch) -> Tensor:
        """Targets, latent and composition of each alloy; returns the composition."""
        members, alloys = self._plates(len(batch))
        with members:
            shared = self._shared(batch, "sample_prior")
            with alloys:
                y = self._sample_targets(batch, shared)
                z = pyro.sample("z", self.latent_prior())
                return pyro.sample("composition", self.likelihood(z, y), obs=batch.fractions)

    def guide(self, batch: AlloyBatch) -> Values:
        """Unlabelled targets from the features, then the latent from composition and targets.

        Returns
        -------
        dict of str to Tensor
            What was drawn: every target, labels where there are any, and "z".
        """
        members, alloys = self._plates(len(batch))
        with members:
            shared = self._shared(batch, "sample_guide")
            with alloys:
                y = self._infer_targets(batch, shared)
                z = pyro.sample("z", self.latent_posterior(batch.composition, y))
                return {**y, "z": z}

    # Its parts.

    def head_inputs(self, batch: AlloyBatch) -> HeadInputs:
        """Inputs of the heads."""
        odds = {  # the coefficients follow the bound, not the heads' own loss
            name: cast("Expert", expert).log_odds(batch.features).detach()
            for name, expert in self.experts.items()
            if name not in self.spec.distilled_targets  # whose teacher knows of the expert
        }
        return HeadInputs(self.embedding(batch.features), odds)

    def latent_prior(self) -> TorchDistribution:
        """p(z), over (d,)."""
        return self.latent.distribution(self._encoded)

    def likelihood(self, z: Tensor, y: Values) -> CompositionDistribution:
        """p(composition | z, y) for z of shape (..., K, N, d)."""
        return self.decoded(self.decoder_latent(z, y), y)

    def decoder_latent(self, z: Tensor, y: Values) -> Tensor:
        """What the decoder sees of z (..., K, N, d): w, which is z without a flow."""
        return z if self.flow is None else self._flow_at(y, self.context(y))(z)

    def decoded(self, w: Tensor, y: Values) -> CompositionDistribution:
        """p(composition | w, y)."""
        outputs = self.decoder(join(w, self.context(y)))
        return composition_likelihood(self.spec.likelihood, outputs)

    @contextmanager
    def cached_flow(self) -> Iterator[None]:
        """While the weights do not change: the model reuses the inverse map of the guide."""
        with exclusive():
            self._flows = []
            try:
                yield
            finally:
                self._flows = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what another thread may be caching while this one copies the model."""
        return self.__dict__ | {"_flows": None}

    def _flow_at(self, y: Values, context: Tensor) -> Transform:
        """The flow at values of the targets; within `cached_flow` the same object again."""
        assert self.flow is not None
        if self._flows is None:
            return self.flow(context)
        for values, flow in self._flows:
            if all(values[t.name] is y[t.name] for t in self.targets):
                return flow
        flow = self.flow(context)
        self._flows.append((y, flow))
        return flow

    def latent_posterior(self, fractions: Tensor, y: Values) -> TorchDistribution:
        """q(z | composition, y): normal in w, pushed back through the flow."""
        context = self.context(y)
        q = normal_of(self._encoded(fractions, context), self.spec.latent.dim)
        if self.flow is None:
            return q
        return dist.TransformedDistribution(q, [self._flow_at(y, context).inv])

    def _encoded(self, fractions: Tensor, context: Tensor) -> Tensor:
        read = fractions.sqrt() if self.spec.encoder.reads == "square_roots" else fractions
        return cast("Tensor", self.encoder(join(read, context)))

    def latent_mean(self, fractions: Tensor, y: Values) -> Tensor:
        """Centre of q(z | composition, y), (K, N, d): the mean of w, pushed back like its draws."""
        context = self.context(y)
        centre = self._encoded(fractions, context)[..., : self.spec.latent.dim]
        return centre if self.flow is None else self.flow(context).inv(centre)

    def _untrained(self, members: int) -> Self:
        return type(self)(self.spec, self.elements, self.statistics, members)
