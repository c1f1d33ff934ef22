"""The Pyro program: sites and plates of the model and of its guide.

features ──> y (each target) ──┐                 model: y ~ prior, z ~ prior,
             │                 ▼                        w = flow(z | y),
             └─> flow(z | y) ─> w ─> composition        composition ~ likelihood(w, y)
    z ───────────┘
                                                 guide: y ~ q(y | features) where unlabelled,
                                                        z ~ q(z | composition, y)
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self, cast

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from pyro.poutine.runtime import InferDict
from torch import BoolTensor, Tensor, nn
from torch.nn.functional import softplus

from pyro_hea.likelihoods import CompositionMultinomial
from pyro_hea.networks import MLP, CouplingFlow, PiecewiseLinear

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyro_hea.dataset import AlloyBatch
    from pyro_hea.spec import Binary, ModelSpec

MEMBERS_DIM = -2
"""Plate of the ensemble's members."""

ALLOYS_DIM = -1
"""Plate of the alloys."""

_SUMMED: InferDict = {"enumerate": "parallel"}
"""A discrete target is summed over, not sampled."""

_SMALLEST_SCALE = 1e-4
"""Of the guide's normal, which may not collapse to a point."""


class AlloyModel(nn.Module):
    """K disentangled variational autoencoders of alloys, side by side in one program.

    Parameters
    ----------
    spec : ModelSpec
    elements : int
        Number of elements E of a composition.
    edges : Tensor, shape (F, bins + 1)
        Bin edges of the features' embedding.
    members : int, optional
        Members K, those of the spec by default.
    """

    prior_logits: Tensor
    latent_loc: Tensor
    latent_scale: Tensor

    def __init__(
        self, spec: ModelSpec, elements: int, edges: Tensor, members: int | None = None
    ) -> None:
        super().__init__()
        self.spec = spec
        self.elements = elements
        self.members = members or spec.training.members
        k, latent, targets = self.members, spec.latent, len(spec.targets)
        self.embedding = PiecewiseLinear(edges)
        self.heads = nn.ModuleDict(
            {
                t.name: MLP(k, (self.embedding.outputs, *spec.head.hidden, 1), spec.head.dropout)
                for t in spec.targets
            }
        )
        encoder = (elements + targets, *spec.encoder.hidden, 2 * latent.dim)
        decoder = (latent.dim + targets, *spec.decoder.hidden, elements)
        self.encoder = MLP(k, encoder, spec.encoder.dropout)
        self.decoder = MLP(k, decoder, spec.decoder.dropout)
        self.flow = (
            CouplingFlow(k, latent.dim, targets, latent.flow.hidden, latent.flow.layers)
            if latent.flow
            else None
        )
        probs = torch.tensor([t.prior.probs for t in spec.targets])
        self.register_buffer("prior_logits", probs.logit(), persistent=False)
        loc, scale = torch.full((2, latent.dim), latent.prior.loc)
        self.register_buffer("latent_loc", loc, persistent=False)
        self.register_buffer("latent_scale", scale.fill_(latent.prior.scale), persistent=False)

    # The program.

    def model(self, batch: AlloyBatch) -> Tensor:
        """Targets, latent and composition of each alloy; returns the composition."""
        with self._plates(len(batch)):
            y = {
                target.name: pyro.sample(
                    target.name,
                    dist.Bernoulli(logits=prior),
                    obs=batch.targets.get(target.name),
                    obs_mask=cast("BoolTensor | None", batch.labelled.get(target.name)),
                )
                for target, prior in zip(self.spec.targets, self.prior_logits, strict=True)
            }
            z = pyro.sample("z", self.latent_prior())
            return pyro.sample("composition", self.likelihood(z, y), obs=batch.fractions)

    def guide(self, batch: AlloyBatch) -> None:
        """Unlabelled targets from the features, then the latent from composition and targets."""
        features = self.embedding(batch.features)
        with self._plates(len(batch)):
            y = {t.name: self._infer_target(t, features, batch) for t in self.spec.targets}
            pyro.sample("z", self.latent_posterior(batch.composition, y))

    # Its parts.

    def latent_prior(self) -> TorchDistribution:
        """p(z), over (d,)."""
        return dist.Normal(self.latent_loc, self.latent_scale).to_event(1)

    def likelihood(self, z: Tensor, y: Mapping[str, Tensor]) -> CompositionMultinomial:
        """p(composition | z, y) for z of shape (..., K, N, d)."""
        context = self._context(y)
        w = self.flow(context)(z) if self.flow is not None else z
        logits = self.decoder(_join(w, context))
        return CompositionMultinomial(self.spec.likelihood.total_count, logits)

    def latent_posterior(self, fractions: Tensor, y: Mapping[str, Tensor]) -> TorchDistribution:
        """q(z | composition, y): normal in w, pushed back through the flow."""
        context = self._context(y)
        q = self._posterior_of_w(fractions, context)
        if self.flow is None:
            return q
        return dist.TransformedDistribution(q, [self.flow(context).inv])

    def _posterior_of_w(self, fractions: Tensor, context: Tensor) -> dist.Independent:
        loc, raw = self.encoder(_join(fractions.sqrt(), context)).chunk(2, -1)
        return dist.Normal(loc, softplus(raw - 2.0) + _SMALLEST_SCALE).to_event(1)

    def latent_mean(self, fractions: Tensor, y: Mapping[str, Tensor]) -> Tensor:
        """Centre of q(z | composition, y), (K, N, d): the mean of w, pushed back like its draws."""
        context = self._context(y)
        centre = self._posterior_of_w(fractions, context).base_dist.loc
        return centre if self.flow is None else self.flow(context).inv(centre)

    def target_logits(self, name: str, embedded: Tensor) -> Tensor:
        """Logits of q(y = 1 | features), (K, N), from embedded features."""
        return self.heads[name](embedded)[..., 0]

    def _infer_target(self, target: Binary, features: Tensor, batch: AlloyBatch) -> Tensor:
        name = target.name
        if name in batch.targets and name not in batch.labelled:
            return batch.targets[name]
        logits = self.target_logits(name, features)
        if name not in batch.targets:
            return pyro.sample(name, dist.Bernoulli(logits=logits), infer=_SUMMED)
        known = batch.labelled[name]
        # The constant logits keep the noise of z on labelled rows out of the head's gradient.
        q = dist.Bernoulli(logits=logits.masked_fill(known, 0.0))
        with poutine.mask(mask=cast("BoolTensor", ~known)):
            guess = pyro.sample(f"{name}_unobserved", q, infer=_SUMMED)
        return torch.where(known, batch.targets[name], guess)

    def _context(self, y: Mapping[str, Tensor]) -> Tensor:
        """Targets as inputs of the networks, (..., T)."""
        columns = torch.broadcast_tensors(*(y[name] for name in self.spec.target_names))
        return torch.stack(columns, -1)

    @contextmanager
    def _plates(self, alloys: int) -> Iterator[None]:
        with ExitStack() as plates:
            plates.enter_context(pyro.plate("members", self.members, dim=MEMBERS_DIM))
            plates.enter_context(pyro.plate("alloys", alloys, dim=ALLOYS_DIM))
            yield

    def member(self, index: int) -> Self:
        """One member as a model of its own, with copies of its weights."""
        with torch.random.fork_rng([]):  # its first weights are thrown away
            single = type(self)(self.spec, self.elements, self.embedding.edges, members=1)
        parameters = {n: p.detach()[index : index + 1] for n, p in self.named_parameters()}
        single.to(self.embedding.edges).load_state_dict(self.state_dict() | parameters)
        return single.train(self.training)


def _join(*columns: Tensor) -> Tensor:
    """Columns side by side, their batches broadcast against each other."""
    batch = torch.broadcast_shapes(*(c.shape[:-1] for c in columns))
    return torch.cat([c.expand(*batch, c.shape[-1]) for c in columns], -1)
