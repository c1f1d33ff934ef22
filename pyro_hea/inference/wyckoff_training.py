"""The decoder of Wyckoff positions is trained alone, once the rest of the model is trained.

The same term of the ELBO, E_q[log p(prototype | z_structure, s)], with the guide as it is. Half of
the draws are of crystals as if their prototype was in no table, so that the decoder learns to read
the features of a structure and not the learnt offset of its prototype alone.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference.schedule import clip_member_gradients, one_cycle
from pyro_hea.materials.crystals.sequences import Choices, orbits_in_order, sequence_of
from pyro_hea.program.crystal_sequences import BINS, WyckoffDecoder
from pyro_hea.spec.crystals import WyckoffPositions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro_hea.materials.crystals import Prototype
    from pyro_hea.program.crystal_batch import CrystalInputs
    from pyro_hea.program.crystals import CrystalModel

_BATCH = 64
"""Crystals in a step: the latents are given, so that a step costs little."""

_SHAPE = 10.0
"""Weight of a logarithm of an axial ratio, or a radian, against a nat."""


class _Target(NamedTuple):
    """A prototype as the decoder is to choose it."""

    sequence: Choices
    coordinates: list[list[int]]
    """Of each orbit the places of its free coordinates, -1 for none."""


def train_wyckoff(
    model: CrystalModel,
    data: CrystalInputs,
    prototypes: Sequence[Prototype],
    *,
    seed: int,
    progress: bool = False,
) -> None:
    """Train the decoder of Wyckoff positions on latents of crystals; the rest stays as it is.

    Nothing is done where the spec declares none.

    Parameters
    ----------
    model : CrystalModel
    data : CrystalInputs
        The training crystals.
    prototypes : sequence of Prototype
        Those of the vocabulary.
    seed : int
        The global random state is left as it was found.
    progress : bool
        Show a progress bar.

    Raises
    ------
    TrainingDivergedError
        If a loss is not finite.
    """
    by, decoder = model.spec.structure.decoder, model.wyckoff
    if not isinstance(by, WyckoffPositions) or decoder is None:
        return
    data = data.take((data.structure_known & (data.prototype >= 0)).nonzero()[:, 0])
    unknown = replace(
        data,
        prototype=torch.full_like(data.prototype, -1),
        coordinate_mask=torch.zeros_like(data.coordinate_mask),
    )
    targets = [_target(prototype) for prototype in prototypes]
    settings = model.spec.training
    steps = math.ceil(len(data) / _BATCH)
    parameters = list(decoder.parameters())
    optimizer = torch.optim.AdamW(parameters, weight_decay=settings.weight_decay, fused=True)
    total = torch.zeros(())
    with (
        seeded(seed),
        unvalidated(),
        tqdm(total=by.epochs, desc="Wyckoff positions", disable=not progress) as bar,
    ):
        with torch.no_grad():
            model.eval()
            guides = [(q.mean, q.stddev) for q in map(model.structure_posterior, (data, unknown))]
        decoder.train()
        for epoch in range(by.epochs):
            for step, rows in enumerate(torch.randperm(len(data)).tensor_split(steps)):
                done = (epoch * steps + step) / (by.epochs * steps)
                optimizer.param_groups[0]["lr"] = settings.learning_rate * one_cycle(done)
                half = torch.rand(len(rows), 1) < 0.5
                z_s, scale = (
                    torch.where(half, a[:, rows], b[:, rows]) for a, b in zip(*guides, strict=True)
                )
                z_s = z_s + scale * torch.randn_like(z_s)
                loss = _loss(model, decoder, data.take(rows), z_s, targets)
                optimizer.zero_grad()
                loss.backward()
                clip_member_gradients(parameters, settings.clip_norm)
                optimizer.step()
                total += loss.detach()
            bar.update()
    model.eval()
    optimizer.zero_grad()
    if not math.isfinite(float(total)):
        raise TrainingDivergedError(
            "the decoder of Wyckoff positions diverged: its loss is not finite. Lower "
            "training.learning_rate or training.clip_norm"
        )


def _target(prototype: Prototype) -> _Target:
    slices = prototype.slices
    places = [
        [*range(slices[o].start, slices[o].stop), -1, -1, -1][:3]
        for o in orbits_in_order(prototype)
    ]
    return _Target(sequence_of(prototype), places)


def _loss(
    model: CrystalModel,
    decoder: WyckoffDecoder,
    batch: Any,
    z_s: Tensor,
    targets: Sequence[_Target],
) -> Tensor:
    """Nats of the prototypes, and of their free coordinates; the deviation of shapes."""
    own = [targets[k] for k in batch.prototype.tolist()]
    likelihood = model.sequence_likelihood(z_s, batch.formula_type)
    width = likelihood.event_shape[0]
    value = torch.tensor([[*t.sequence, *[-1] * (width - len(t.sequence))] for t in own])
    nats = -likelihood.log_prob(value)
    shape, odds = decoder.geometry(likelihood.read, [t.sequence for t in own], likelihood.counts)
    off = (shape - batch.shape).abs() * batch.shape_mask
    place = torch.tensor([row for t in own for row in t.coordinates])
    row = torch.repeat_interleave(torch.tensor([len(t.coordinates) for t in own]))
    at = (batch.coordinates[row[:, None], place.clamp_min(0)] % 1 * BINS).long().clamp(0, BINS - 1)
    at = at.masked_fill(place < 0, -100).expand(len(odds), -1, -1)
    of_places = cross_entropy(odds.flatten(0, 2), at.flatten(), reduction="sum")
    return (nats.sum() + _SHAPE * off.sum() + of_places) / len(own)
