"""A baseline of crystals: the same decoders and sites, with one latent for both halves.

z ~ N(0, I), then elements, prototype, assignment, log volume, shape and coordinates given z and the
formula type; the guide reads composition and structure together. No targets are in the program:
trees read the latent.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from torch import BoolTensor, Tensor, nn
from torch.nn.functional import softplus

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.inference.schedule import one_cycle, steps_per_epoch
from pyro_hea.program.crystal_distributions import IMPOSSIBLE, ElementsOnRoles, onto
from pyro_hea.program.crystals import SHAPE, angles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro_hea.materials.crystals import WyckoffStructure
    from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble
    from pyro_hea.program.crystal_batch import CrystalInputs, CrystalTables
    from pyro_hea.spec import CrystalSpec

_CONCENTRATION = 200.0
"""κ of free coordinates."""


class OneLatentVAE(nn.Module):
    """A variational autoencoder of crystals whose one latent is as wide as both of a spec.

    Parameters
    ----------
    spec : CrystalSpec
        Its widths, its `composition.count` and its training are taken.
    tables : CrystalTables
    """

    def __init__(self, spec: CrystalSpec, tables: CrystalTables) -> None:
        super().__init__()
        self.spec, self.tables = spec, tables
        self.dim = spec.composition.dim + spec.structure.dim
        self.roles = tables.counts.shape[1]
        prototypes, self.free = tables.coordinates.shape
        ways = tables.assignment_counts.shape[1]
        self.parts = [self.roles * tables.elements, prototypes, ways, 2, SHAPE, SHAPE, self.free]
        read = tables.elements + sum(tables.features[:2]) + SHAPE + 2 * self.free
        self.encoder = _network(read, spec.encoder.hidden, 2 * self.dim)
        decoded = self.dim + self.roles + 1
        self.decoder = _network(decoded, spec.decoder.hidden, sum(self.parts))

    def model(self, batch: CrystalInputs) -> None:
        """z, then all of a crystal given z and its formula type."""
        s, prototype = batch.formula_type, batch.prototype
        with pyro.plate("crystals", len(batch)):
            z = pyro.sample("z", dist.Normal(torch.zeros(self.dim), 1.0).to_event(1))
            elements, of_prototype, ways, volume, shape, scale, at = self.decoded(z, s)
            pyro.sample("composition", self.elements_likelihood(elements, s), obs=batch.elements)
            with poutine.mask(mask=cast("BoolTensor", prototype >= 0)):
                known = prototype.clamp_min(0)
                pyro.sample("prototype", dist.Categorical(logits=of_prototype), obs=known)
                chosen = dist.Categorical(logits=self.assignments(ways, known))
                pyro.sample("assignment", chosen, obs=batch.assignment)
                of_volume = dist.Normal(volume[..., 0] + 3.0, softplus(volume[..., 1]) + 0.005)
                pyro.sample("log_volume", of_volume, obs=batch.log_volume)
                cell = dist.StudentT(4.0, self.shape(shape, prototype), softplus(scale - 3) + 0.003)
                pyro.sample("shape", cell.mask(batch.shape_mask).to_event(1), obs=batch.shape)
                angle = dist.VonMises(self.angle(at, prototype), _CONCENTRATION)
                angle = angle.mask(batch.coordinate_mask).to_event(1)
                pyro.sample("coordinates", angle, obs=angles(batch.coordinates))

    def guide(self, batch: CrystalInputs) -> None:
        """q(z | composition, structure)."""
        with pyro.plate("crystals", len(batch)):
            loc, scale = self.posterior(batch)
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))

    def posterior(self, batch: CrystalInputs) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of z, (N, d) each."""
        composition, structure = self.tables.features[:2]
        shape = batch.shape - onto(self.tables.shape, batch.prototype)
        moved = angles(batch.coordinates) - onto(angles(self.tables.coordinates), batch.prototype)
        read = [
            batch.composition.sqrt(),
            batch.features[..., : composition + structure].clamp(-5, 5),
            shape * batch.shape_mask,
            moved.sin() * batch.coordinate_mask,
            (moved.cos() - 1) * batch.coordinate_mask,
        ]
        loc, raw = self.encoder(torch.cat(read, -1)).chunk(2, -1)
        return loc, softplus(raw) + 1e-3

    def decoded(self, z: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the decoder for each site, in the order of `model`."""
        counts = self.tables.counts[s]
        total = counts.sum(-1, keepdim=True)
        outputs = self.decoder(torch.cat([z, counts / total, total.log()], -1))
        elements, prototype, *rest = outputs.split(self.parts, -1)
        prototype = prototype + self.tables.prototype_counts.log()
        other = self.tables.prototype_type != s.unsqueeze(-1)
        return elements, prototype.masked_fill(other, IMPOSSIBLE), *rest

    def elements_likelihood(self, logits: Tensor, s: Tensor) -> ElementsOnRoles:
        """Elements on the roles of s."""
        counts, tied = self.tables.counts[s], self.tables.tied[s]
        logits = logits.unflatten(-1, (self.roles, -1))
        return ElementsOnRoles(logits, counts > 0, tied, self.spec.composition.count)

    def assignments(self, logits: Tensor, prototype: Tensor) -> Tensor:
        """Log odds of the assignments that a prototype has."""
        counts = self.tables.assignment_counts[prototype]
        return (logits + (counts.clamp_min(0.0) + 0.5).log()).masked_fill(counts < 0, IMPOSSIBLE)

    def shape(self, moved: Tensor, prototype: Tensor) -> Tensor:
        """Shape of the cell, from that of its prototype's reference."""
        return onto(self.tables.shape, prototype) + moved

    def angle(self, moved: Tensor, prototype: Tensor) -> Tensor:
        """Free coordinates in radians, from those of the reference."""
        return onto(angles(self.tables.coordinates), prototype) + moved


def fit_one_latent(model: OneLatentVAE, data: CrystalInputs, seed: int) -> OneLatentVAE:
    """Train by the ELBO on all crystals; targets play no part."""
    settings = model.spec.training
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=settings.weight_decay)
    steps = steps_per_epoch(len(data), settings)
    with seeded(seed), unvalidated():
        for epoch in range(settings.epochs):
            for step, rows in enumerate(torch.randperm(len(data)).tensor_split(steps)):
                share = (epoch * steps + step) / (settings.epochs * steps)
                optimizer.param_groups[0]["lr"] = settings.learning_rate * one_cycle(share)
                batch = data.take(rows)
                loss = Trace_ELBO().differentiable_loss(model.model, model.guide, batch)
                optimizer.zero_grad()
                (loss / len(rows)).backward()
                nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
                optimizer.step()
    return model.eval()


@torch.no_grad()
def decode_one_latent(
    model: OneLatentVAE, ensemble: CrystalEnsemble, z: Tensor, s: Tensor
) -> list[WyckoffStructure]:
    """The most probable crystals at latents (N, d), of given formula types."""
    elements, prototype, ways, volume, shape, _, at = model.decoded(z, s)
    named = model.elements_likelihood(elements, s).likeliest
    chosen = prototype.argmax(-1)
    assignment = model.assignments(ways, chosen).argmax(-1)
    cells = torch.where(
        ensemble.vocabulary.shape_mask[chosen],
        model.shape(shape, chosen),
        onto(model.tables.shape, chosen),
    )
    turns = model.angle(at, chosen) / (2 * torch.pi)
    found = []
    for row, index in enumerate(chosen.tolist()):
        made = ensemble.vocabulary.prototypes[index]
        names: Sequence[str] = [
            ensemble.vocabulary.elements[e] for e in named[row, : len(made.kinds)].tolist()
        ]
        found.append(
            made.crystal(
                names,
                int(assignment[row]),
                float(volume[row, 0] + 3.0),
                cells[row].tolist(),
                (turns[row, : made.free] % 1).tolist(),
            )
        )
    return found


def _network(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    widths, layers = [inputs, *hidden], list[nn.Module]()
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
