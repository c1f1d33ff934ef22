"""The Pyro program of crystals: composition and structure as separate latents.

y (each target), s (formula type) ─┬─> elements     model: y ~ prior, s ~ frequencies,
z_composition ─────────────────────┘                       z_composition ~ prior,
y, s, elements ──> z_structure                             z_structure ~ p(. | elements, y, s)
z_structure, s ──> prototype ──> assignment of roles to its orbits
elements, prototype ──> log volume
z_structure, prototype ──> shape of the cell, free coordinates

                                                    guide: y ~ q(. | features) where unlabelled,
                                                           z_composition ~ q(. | elements, y),
                                                           z_structure ~ q(. | structure)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self, cast

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from pyro.distributions.util import broadcast_shape
from pyro.poutine.runtime import InferDict
from torch import BoolTensor, Tensor, nn
from torch.nn.functional import softplus

from pyro_hea.program.crystal_distributions import (
    IMPOSSIBLE,
    AroundPrototypes,
    ElementsOnRoles,
    fractions_of,
    onto,
    squared_distances,
)
from pyro_hea.program.crystal_networks import (
    FARTHEST,
    CompositionStatistics,
    CrystalFeatures,
    ElementVectors,
)
from pyro_hea.program.crystal_sequences import WyckoffDecoder, WyckoffSequences
from pyro_hea.program.flows import CouplingFlow
from pyro_hea.program.latents import normal_of
from pyro_hea.program.networks import MLP, MemberLinear
from pyro_hea.program.sites import ContinuousSite
from pyro_hea.program.targets import HeadInputs, TargetModel, Values, join
from pyro_hea.spec.crystals import PrototypeMixture, WyckoffPositions

if TYPE_CHECKING:
    from pyro_hea.materials.alloys.dataset import Statistics
    from pyro_hea.program.crystal_batch import CrystalInputs, CrystalTables
    from pyro_hea.spec import CrystalSpec
    from pyro_hea.spec.crystals import Deviations

SHAPE = 5
"""Numbers of a cell's shape: ln b/a, ln c/a, α, β, γ."""

_WITHIN, _BETWEEN = 10.0, 3.0
"""First scales of z_structure: per radian within a prototype, and between prototypes."""

_LARGEST_SCALE = 1.5
"""Of a number's guide, in standard deviations of the labels."""

_ENUMERATED: InferDict = {"enumerate": "parallel"}


class CrystalModel(TargetModel):
    """K variational autoencoders of crystals, with one latent each for composition and structure.

    Parameters
    ----------
    spec : CrystalSpec
    tables : CrystalTables
    statistics : Statistics
        Of the training data; the scales of the targets are read.
    members : int, optional
        Members K, those of the spec by default.
    """

    spec: CrystalSpec
    embedding: CrystalFeatures

    def __init__(
        self,
        spec: CrystalSpec,
        tables: CrystalTables,
        statistics: Statistics,
        members: int | None = None,
    ) -> None:
        embedding = CrystalFeatures(tables.elements, *tables.features)
        super().__init__(spec, statistics, embedding, members)
        self.tables = tables
        for name, tensor in tables.tensors().items():
            self.register_buffer(f"table_{name}", tensor)
        k, width, hidden = self.members, self.width, spec.decoder.hidden
        n, roles = tables.elements, tables.counts.shape[1]
        d_c, d_s = spec.composition.dim, spec.structure.dim
        prototypes, free = tables.coordinates.shape
        residuals = SHAPE + 2 * free

        # The composition's half.
        read = (tables.features[0] + n, *spec.encoder.hidden, 2 * d_c)
        self.composition_encoder = MLP(k, read, spec.encoder.dropout, gain=0.1)
        flow = spec.composition.flow
        of_type = roles + 1
        self.flow = (
            CouplingFlow(k, d_c, width + of_type, flow.hidden, flow.layers, flow.bins)
            if flow
            else None
        )
        context = d_c + width + of_type
        self.element_vectors = ElementVectors(k, n, roles, d_c)
        decoded = (context, *hidden, roles * n)
        self.composition_decoder = MLP(k, decoded, spec.decoder.dropout, gain=0.1)

        # The structure's half.
        self.centre_of = MemberLinear(k, tables.descriptors.shape[1], d_s, gain=_BETWEEN)
        self.own_centre = nn.Parameter(torch.randn(k, prototypes, d_s))
        self.structure_encoder = MLP(k, (residuals + d_s, *spec.encoder.hidden, d_s), gain=0.1)
        self.from_residuals = MemberLinear(k, SHAPE + free, d_s, gain=0.0)
        self.to_residuals = MemberLinear(k, d_s, SHAPE + free, gain=0.0)
        with torch.no_grad():  # the first residuals pass as they are
            some = torch.arange(min(d_s, SHAPE + free))
            self.from_residuals.weight[:, some, some] = _WITHIN
            self.to_residuals.weight[:, some, some] = 1 / _WITHIN
        self.geometry = MLP(k, (d_s, *hidden, SHAPE + 2 * free), gain=0.1)
        self.raw_precision = nn.Parameter(torch.zeros(k, 1, d_s))
        self.statistics_of = CompositionStatistics(tables.properties)
        context = self.statistics_of.outputs + width + of_type
        prior = spec.structure.prior
        self.structure_flow: CouplingFlow | None = None
        if isinstance(prior, PrototypeMixture):
            self.weights = MLP(k, (context, *prior.hidden, prototypes), prior.dropout, gain=0.1)
            self.raw_spread = nn.Parameter(torch.zeros(k, 1, d_s))
        else:
            self.structure_flow = CouplingFlow(
                k, d_s, context, prior.hidden, prior.layers, prior.bins
            )
        assignments = tables.assignment_counts.shape[1]
        self.assigner = MLP(k, (d_c + d_s, *hidden, assignments), gain=0.1)

        # What both set.
        self.log_volume_of = nn.Parameter(torch.full((k, n, 1), 3.0))
        self.volume = MLP(k, (n + d_s, *hidden, 2), gain=0.1)
        self.raw_shape_scale = nn.Parameter(torch.full((k, 1, SHAPE), -3.0))

        # Trained after the rest.
        self.wyckoff: WyckoffDecoder | None = None
        by = spec.structure.decoder
        if isinstance(by, WyckoffPositions):
            self.wyckoff = WyckoffDecoder(k, d_s, of_type, tables.largest, by.hidden, by.dropout)

    @property
    def trained_apart(self) -> tuple[str, ...]:
        """Beside the heads the weights of the prototypes and the decoder of positions."""
        return (*super().trained_apart, "weights.", "wyckoff.")

    # The program.

    def model(self, batch: CrystalInputs) -> None:
        """Targets, formula type, latents, composition and structure of each crystal."""
        known = batch.structure_known
        members, crystals = self._plates(len(batch))
        with members:
            shared = self._shared(batch, "sample_prior")
            with crystals:
                y = self._sample_targets(batch, shared)
                s = pyro.sample("formula_type", self.formula_type_prior(), obs=batch.formula_type)
                z_c = pyro.sample("z_composition", self.composition_prior())
                seen = self.seen(z_c, y, s)
                elements = self.elements_likelihood(seen, s)
                pyro.sample("composition", elements, obs=batch.elements)
                with poutine.mask(mask=cast("BoolTensor", known)):
                    prior = self.structure_prior(batch.composition, y, s)
                    z_s = pyro.sample("z_structure", prior)
                self._structure(batch, y, z_c, z_s, s)

    def _structure(
        self, batch: CrystalInputs, y: Values, z_c: Tensor, z_s: Tensor, s: Tensor
    ) -> None:
        """Prototype, assignment, volume, shape and coordinates, observed."""
        in_table = batch.structure_known & (batch.prototype >= 0)
        prototype = batch.prototype.clamp_min(0)
        centre = self.centre(batch)
        with poutine.mask(mask=cast("BoolTensor", in_table)):
            pyro.sample("prototype", self.prototype_likelihood(z_s, s), obs=prototype)
            assignment = self.assignment_likelihood(self.code(z_c, y, s), z_s, prototype)
            pyro.sample("assignment", assignment, obs=batch.assignment, infer=_ENUMERATED)
        with poutine.mask(mask=cast("BoolTensor", batch.structure_known)):
            volume = self.volume_likelihood(batch.composition, centre)
            pyro.sample("log_volume", volume, obs=batch.log_volume)
            shape, coordinates = self.geometry_likelihood(z_s, centre, batch.prototype)
            shape = shape.mask(batch.shape_mask).to_event(1)
            pyro.sample("shape", shape, obs=batch.shape)
            coordinates = coordinates.mask(batch.coordinate_mask).to_event(1)
            pyro.sample("coordinates", coordinates, obs=angles(batch.coordinates))

    def guide(self, batch: CrystalInputs) -> Values:
        """Unlabelled targets from the features, then each latent from its own half.

        Returns
        -------
        dict of str to Tensor
            What was drawn: every target, "z_composition" and "z_structure".
        """
        members, crystals = self._plates(len(batch))
        with members:
            shared = self._shared(batch, "sample_guide")
            with crystals:
                y = self._infer_targets(batch, shared)
                z_c = pyro.sample("z_composition", self.composition_posterior(batch, y))
                with poutine.mask(mask=cast("BoolTensor", batch.structure_known)):
                    z_s = pyro.sample("z_structure", self.structure_posterior(batch))
                return {**y, "z_composition": z_c, "z_structure": z_s}

    # Priors.

    def formula_type_prior(self) -> TorchDistribution:
        """p(s), by how many training crystals have each formula type."""
        return dist.Categorical(probs=self.get_buffer("table_type_counts"))

    def composition_prior(self) -> TorchDistribution:
        """p(z_composition), over (d,)."""
        prior = self.spec.composition.prior.distribution(self.raw_shape_scale.new_zeros(()))
        return prior.expand([self.spec.composition.dim]).to_event(1)

    def seen(self, z_c: Tensor, y: Values, s: Tensor) -> Tensor:
        """What networks read of z_composition, the targets and the formula type, together."""
        return join(self.code(z_c, y, s), self.context(y), self._type(s))

    def code(self, z_c: Tensor, y: Values, s: Tensor) -> Tensor:
        """What the decoder sees of z_composition, (..., K, N, d)."""
        if self.flow is None:
            return z_c
        return cast("Tensor", self.flow(join(self.context(y), self._type(s)))(z_c))

    def latent_of_code(self, code: Tensor, y: Values, s: Tensor) -> Tensor:
        """z_composition that has such a code; the inverse of `code`."""
        if self.flow is None:
            return code
        return cast("Tensor", self.flow(join(self.context(y), self._type(s))).inv(code))

    def structure_prior(self, fractions: Tensor, y: Values, s: Tensor) -> TorchDistribution:
        """p(z_structure | composition, y, s), over (d,)."""
        if self.structure_flow is None:
            return AroundPrototypes(
                self.prototype_log_weights(fractions, y, s),
                self.prototype_centres,
                self._spread(self.raw_spread),
            )
        read = join(self.statistics_of(fractions), self.context(y), self._type(s))
        batch = broadcast_shape(read.shape[:-1], (self.members, 1))
        zero = read.new_zeros(*batch, self.spec.structure.dim)
        base = dist.Normal(zero, torch.ones_like(zero)).to_event(1)
        return dist.TransformedDistribution(base, [self.structure_flow(read)])

    def near(self, centre: Tensor) -> Tensor:
        """z_structure as its prior draws it around centres (K, N, d); with a flow the centres."""
        if self.structure_flow is not None:
            return centre
        return centre + self._spread(self.raw_spread) * torch.randn_like(centre)

    def prototype_log_weights(self, fractions: Tensor, y: Values, s: Tensor) -> Tensor:
        """Log of how probable each prototype is before z_structure is known, (..., K, N, P)."""
        return self.log_weights_of(self.statistics_of(fractions), y, s)

    def log_weights_of(self, statistics: Tensor, y: Values, s: Tensor) -> Tensor:
        """The same by `statistics_of` the composition, which take long to compute."""
        prior = self.get_buffer("table_prototype_counts").log()
        weights = self.weights(join(statistics, self.context(y), self._type(s)))
        return self._of_type(weights + prior, s).log_softmax(-1)

    # Likelihoods.

    def elements_likelihood(self, seen: Tensor, s: Tensor) -> ElementsOnRoles:
        """p(elements on the roles of s | z_composition, y)."""
        counts = self.get_buffer("table_counts")[s]
        logits = self.composition_decoder(seen).unflatten(-1, (counts.shape[-1], -1))
        logits = logits + self.element_vectors.logits(seen[..., : self.spec.composition.dim])
        tied = self.get_buffer("table_tied")[s]
        return ElementsOnRoles(logits, counts > 0, tied, self.spec.composition.count)

    def prototype_likelihood(self, z_s: Tensor, s: Tensor) -> TorchDistribution:
        """p(prototype | z_structure, s): the nearer its centre, the more probable."""
        distance = squared_distances(z_s, self.prototype_centres, self._spread(self.raw_precision))
        return dist.Categorical(logits=self._of_type(-distance / 2, s))

    def sequence_likelihood(self, z_s: Tensor, s: Tensor) -> WyckoffSequences:
        """p(prototype | z_structure, s) of any prototype, choice by choice."""
        assert self.wyckoff is not None
        counts = self.get_buffer("table_counts")[s].int().tolist()
        whole = [tuple(n for n in row if n) for row in counts]
        return WyckoffSequences(self.wyckoff, self.wyckoff.reads(z_s, self._type(s)), whole)

    def assignment_likelihood(
        self, code: Tensor, z_s: Tensor, prototype: Tensor
    ) -> TorchDistribution:
        """p(assignment of roles to orbits | z_composition, z_structure), of a prototype."""
        counts = self.get_buffer("table_assignment_counts")[prototype]
        logits = self.assigner(join(code, z_s)) + (counts.clamp_min(0.0) + 0.5).log()
        return dist.Categorical(logits=logits.masked_fill(counts < 0, IMPOSSIBLE))

    def volume_likelihood(self, fractions: Tensor, centre: Tensor) -> TorchDistribution:
        """p(ln of the volume per atom in Å³ | composition, prototype)."""
        outputs = self.volume(join(fractions.sqrt(), centre))
        loc = (fractions @ self.log_volume_of + outputs[..., :1])[..., 0]
        return _scattered(self.spec.log_volume, loc, outputs[..., 1] - 3.0)

    def geometry_likelihood(
        self, z_s: Tensor, centre: Tensor, prototype: Tensor
    ) -> tuple[TorchDistribution, TorchDistribution]:
        """p(shape | z_structure) over (..., 5), and p(coordinates in radians) over (..., C)."""
        free = self.get_buffer("table_coordinates").shape[1]
        away = z_s - centre
        outputs = self.geometry(centre)
        moved = self.to_residuals(away) + outputs[..., : SHAPE + free]
        shape = onto(self.get_buffer("table_shape"), prototype) + moved[..., :SHAPE]
        at = onto(angles(self.get_buffer("table_coordinates")), prototype) + moved[..., SHAPE:]
        largest = self.spec.coordinates.largest_concentration
        concentration = largest * torch.sigmoid(outputs[..., SHAPE + free :] - 3.0) + 1.0
        return (
            _scattered(self.spec.shape, shape, self.raw_shape_scale.expand_as(shape)),
            dist.VonMises(at, concentration),
        )

    # Guide.

    def composition_posterior(self, batch: CrystalInputs, y: Values) -> TorchDistribution:
        """q(z_composition | elements, y): normal in its code, pushed back through the flow."""
        q = self.code_posterior(batch)
        if self.flow is None:
            return q
        # With a branch for each class that is summed over.
        context = join(self.context(y), self._type(batch.formula_type))
        q = q.expand(broadcast_shape(q.batch_shape, context.shape[:-1]))
        return dist.TransformedDistribution(q, [self.flow(context).inv])

    def code_posterior(self, batch: CrystalInputs) -> TorchDistribution:
        """Guide of what the decoder sees of z_composition."""
        dim = self.spec.composition.dim
        read = self._read_composition(batch.composition, batch.features)
        loc, raw = self.composition_encoder(read).split(dim, -1)
        present = self.get_buffer("table_counts")[batch.formula_type] > 0
        loc = loc + self.element_vectors.encode(batch.elements, present)
        return normal_of(torch.cat([loc, raw], -1), dim)

    def structure_posterior(self, batch: CrystalInputs) -> TorchDistribution:
        """q(z_structure | structure): around the centre of its prototype."""
        shape = batch.shape - onto(self.get_buffer("table_shape"), batch.prototype)
        shape = shape * batch.shape_mask
        reference = onto(angles(self.get_buffer("table_coordinates")), batch.prototype)
        moved = angles(batch.coordinates) - reference
        sines, cosines = moved.sin() * batch.coordinate_mask, moved.cos() - 1
        cosines = cosines * batch.coordinate_mask
        centre = self.centre(batch)
        # The mean is linear, which holds for crystals unlike those of the training too.
        away = torch.atan2(sines, moved.cos()) * batch.coordinate_mask
        loc = centre + self.from_residuals(torch.cat([shape, away], -1))
        raw = self.structure_encoder(join(shape, sines, cosines, centre))
        return normal_of(join(loc, raw), self.spec.structure.dim)

    # Its parts.

    @property
    def prototype_centres(self) -> Tensor:
        """Around which the members of each prototype lie in z_structure, (K, P, d)."""
        return self.centre_by_features(self.get_buffer("table_descriptors")) + self.own_centre

    def centre(self, batch: CrystalInputs) -> Tensor:
        """Centre of each crystal's prototype, (K, N, d); by its features if it is in no table."""
        known = (batch.prototype >= 0).unsqueeze(-1)
        by_features = self.centre_by_features(batch.structure_features)
        return torch.where(known, onto(self.prototype_centres, batch.prototype), by_features)

    def centre_by_features(self, features: Tensor) -> Tensor:
        """Centre (K, N, d) of a prototype by its structure features (N, D) alone."""
        return cast("Tensor", self.centre_of(features.clamp(-FARTHEST, FARTHEST)))

    def head_inputs(self, batch: CrystalInputs) -> HeadInputs:
        """What the heads read; in training not every structure, so that they know formulas too."""
        known = batch.structure_known
        if self.training and self.spec.structure_dropout:
            known = known & (torch.rand(len(known)) >= self.spec.structure_dropout).to(known)
        return HeadInputs(self.embedding(batch.features, known, batch.composition), {})

    def head(self, name: str, inputs: HeadInputs, given: Tensor | None) -> Tensor:
        """Outputs of a target's head, the calibrated scale of a number bounded; see `TargetModel`.

        A label is never much less certain than all labels are from their mean. Of a logarithm, the
        mean would else be beyond all bounds.
        """
        outputs, site = super().head(name, inputs, given), self.site(name)
        if not isinstance(site, ContinuousSite) or site.outputs == 1:
            return outputs
        loc, raw = outputs.unbind(-1)
        most = torch.as_tensor(_LARGEST_SCALE / site.temperature).to(raw)
        return torch.stack([loc, raw.minimum(most.expm1().log())], -1)

    def fractions(self, elements: Tensor, s: Tensor) -> Tensor:
        """Atomic fractions (..., E) of elements on the roles of a formula type."""
        return fractions_of(elements, self.get_buffer("table_counts")[s], self.tables.elements)

    def _read_composition(self, fractions: Tensor, features: Tensor) -> Tensor:
        own = features[..., : self.embedding.of_composition]
        return join(fractions.sqrt(), own.clamp(-FARTHEST, FARTHEST))

    def _type(self, s: Tensor) -> Tensor:
        """A formula type as networks read it: the share of the atoms on each role, and ln atoms."""
        counts = self.get_buffer("table_counts")[s]
        total = counts.sum(-1, keepdim=True)
        return torch.cat([counts / total, total.log()], -1)

    def _of_type(self, logits: Tensor, s: Tensor) -> Tensor:
        other = self.get_buffer("table_prototype_type") != s.unsqueeze(-1)
        return logits.masked_fill(other, IMPOSSIBLE)

    @staticmethod
    def _spread(raw: Tensor) -> Tensor:
        return softplus(raw) + 0.05

    def _untrained(self, members: int) -> Self:
        return type(self)(self.spec, self.tables, self.statistics, members)


def angles(coordinates: Tensor) -> Tensor:
    """Fractional coordinates in radians between -π and π."""
    return 2 * math.pi * (coordinates - coordinates.round())


def _scattered(declared: Deviations, loc: Tensor, raw: Tensor) -> TorchDistribution:
    scale = softplus(raw) + declared.smallest
    if declared.dist == "StudentT":
        return dist.StudentT(4.0, loc, scale)
    return getattr(dist, declared.dist)(loc, scale)
