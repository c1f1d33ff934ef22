"""A prototype choice by choice: space group, formula units, positions of each kind of atom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor, nn
from torch.nn.functional import one_hot

from pyro_hea.materials.crystals.sequences import (
    GROUPS,
    POSITIONS,
    Choices,
    begun,
    choices,
    position_table,
)
from pyro_hea.program.crystal_distributions import IMPOSSIBLE
from pyro_hea.program.networks import MLP, MemberLinear

BINS = 24
"""Parts of a cell edge among which a free coordinate is told."""

_WIDTH = 32
"""Numbers that stand for a space group, and for a Wyckoff position."""

_UNIT = 3.0
"""Of z_structure, whose prototypes are about that far from each other."""

_RIGHT_ANGLES = (0.0, 0.0, *[math.pi / 2] * 3)
"""Shape of a cube, to which networks add."""

_BEAM = 24
"""Sequences among which the most probable ones are looked for."""

_ONE = torch.Size()


class WyckoffDecoder(nn.Module):
    """Networks of the choices of a prototype, and of the cell and coordinates of a new one.

    Space groups and Wyckoff positions are vectors, linear maps of their features and a learnt
    offset each; a choice is the more probable the nearer its vector is to what a network asks for.

    Parameters
    ----------
    members : int
    dim : int
        Coordinates of z_structure.
    of_type : int
        Numbers by which a formula type is told.
    largest : int
        Atoms of a primitive cell at most.
    hidden : sequence of int
    dropout : float
    """

    group_features: Tensor
    position_features: Tensor
    site_symmetry: Tensor

    def __init__(
        self,
        members: int,
        dim: int,
        of_type: int,
        largest: int,
        hidden: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.largest = largest
        table, w, k = position_table(), _WIDTH, members
        symmetry = torch.tensor(table.site_symmetry, dtype=torch.int64)
        for name, value in {
            "group_features": torch.tensor(table.groups, dtype=torch.float32),
            "position_features": torch.tensor(table.positions, dtype=torch.float32).flatten(0, 1),
            "site_symmetry": symmetry.flatten(),
        }.items():
            self.register_buffer(name, value, persistent=False)
        self.group_of = MemberLinear(k, self.group_features.shape[1], w)
        self.own_group = nn.Parameter(0.1 * torch.randn(k, GROUPS, w))
        self.position_of = MemberLinear(k, self.position_features.shape[1], w)
        self.of_symmetry = nn.Parameter(0.1 * torch.randn(k, int(symmetry.max()) + 1, w))
        self.own_position = nn.Parameter(0.1 * torch.randn(k, GROUPS * POSITIONS, w))
        self.group_bias = nn.Parameter(torch.zeros(k, 1, GROUPS))
        read = dim + of_type

        def network(inputs: int, outputs: int, gain: float = 0.3) -> MLP:
            return MLP(k, (read + inputs, *hidden, outputs), dropout, gain)

        self.to_group, self.to_units = network(0, w), network(w, largest)
        self.to_position = network(3 * w + 4, w)
        self.to_shape, self.to_coordinates = network(2 * w, 5), network(4 * w + 1, 3 * BINS)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Of space groups (K, 230, w) and of Wyckoff positions (K, 230, 27, w)."""
        groups = self.group_of(self.group_features) + self.own_group
        positions = self.position_of(self.position_features) + self.own_position
        positions = positions + self.of_symmetry[:, self.site_symmetry]
        return groups, positions.unflatten(1, (GROUPS, POSITIONS))

    def log_odds(
        self, read: Tensor, before: Sequence[Choices], counts: Sequence[tuple[int, ...]]
    ) -> Tensor:
        """Log probability of each next choice, (K, M, C), of M sequences of one length.

        Of more than two choices made the length may differ.

        Parameters
        ----------
        read : Tensor, shape (K, M, d + T)
            z_structure and formula type.
        before : sequence of tuple of int
            The choices made.
        counts : sequence of tuple of int
            Formula types.
        """
        groups, positions = self.vectors()
        told = np.stack([_told(s, c, self.largest) for s, c in zip(before, counts, strict=True)])
        state = torch.from_numpy(told)
        if not before[0]:
            logits = self.to_group(read) @ groups.mT / _WIDTH**0.5 + self.group_bias
        elif len(before[0]) == 1:
            group = torch.tensor([s[0] for s in before])
            logits = self.to_units(torch.cat([read, groups[:, group]], -1))
        else:
            group = torch.tensor([s[0] for s in before])
            own, rest = positions[:, group], state[:, POSITIONS:]
            here, earlier, numbers = rest.split([POSITIONS, POSITIONS, 4], -1)
            taken = [torch.einsum("mp,kmpw->kmw", n, own) for n in (here, earlier)]
            numbers = numbers.expand(len(own), -1, -1)
            asked = self.to_position(torch.cat([read, groups[:, group], *taken, numbers], -1))
            logits = (own @ asked.unsqueeze(-1))[..., 0] / _WIDTH**0.5
        allowed = state[:, : logits.shape[-1]] > 0
        return logits.masked_fill(~allowed, IMPOSSIBLE).log_softmax(-1)

    def geometry(
        self, read: Tensor, sequences: Sequence[Choices], counts: Sequence[tuple[int, ...]]
    ) -> tuple[Tensor, Tensor]:
        """Shape of the cell (K, M, 5), and of each orbit log odds of its free coordinates.

        Orbits stand in the order of the choices, one crystal after another, (K, O, 3, `BINS`).
        """
        groups, positions = self.vectors()
        group = torch.tensor([s[0] for s in sequences])
        places = [torch.tensor(s[2:]) for s in sequences]
        number = torch.stack([one_hot(p, POSITIONS).sum(0) for p in places]).to(read)
        taken = torch.einsum("mp,kmpw->kmw", number, positions[:, group])
        about = torch.cat([read, groups[:, group], taken], -1)
        row = torch.repeat_interleave(torch.tensor([len(p) for p in places]))
        at = torch.cat(places)
        kinds = [
            c[begun(s[:k], c).kind] / sum(c)
            for s, c in zip(sequences, counts, strict=True)
            for k in range(2, len(s))
        ]
        share = torch.tensor(kinds).to(read)[:, None].expand(len(read), -1, -1)
        own = positions[:, group[row], at]
        same = (row[:, None] == row) & (at[:, None] == at)
        nth = torch.tril(same, -1).sum(-1).to(read)[:, None]  # orbits of one position differ
        of_orbit = torch.cat([about[:, row], own, own * nth, share], -1)
        shape = self.to_shape(about) + about.new_tensor(_RIGHT_ANGLES)
        return shape, self.to_coordinates(of_orbit).unflatten(-1, (3, BINS))

    def reads(self, z_s: Tensor, of_type: Tensor) -> Tensor:
        """What the networks read, (K, N, d + T), of z_structure (K, N, d) and type (N, T)."""
        return torch.cat([z_s / _UNIT, of_type.expand(*z_s.shape[:-1], -1)], -1)


@cache
def _told(sequence: Choices, counts: tuple[int, ...], largest: int) -> np.ndarray:
    """Which choices may follow, and, of Wyckoff positions, what was taken and what is left."""
    allowed = choices(sequence, counts, largest)
    if len(sequence) < 2:
        width = largest if sequence else GROUPS
        return np.array([*allowed, *[False] * (width - len(allowed))], np.float32)
    kind, left, here, before = begun(sequence, counts)
    units, atoms = sequence[1] + 1, sum(counts)
    numbers = [counts[kind] / atoms, left / (units * counts[kind]), np.log2(left), np.log2(units)]
    padded = [*allowed, *[False] * (POSITIONS - len(allowed))]
    return np.array([*padded, *here, *before, *numbers], np.float32)


class WyckoffSequences(TorchDistribution):
    """A prototype of a formula type as a sequence of choices, none of which leads to a dead end.

    Parameters
    ----------
    decoder : WyckoffDecoder
    read : Tensor, shape (K, N, d + T)
        See `WyckoffDecoder.reads`.
    counts : sequence of tuple of int
        Formula type of each crystal.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.independent(constraints.integer, 1)

    def __init__(
        self, decoder: WyckoffDecoder, read: Tensor, counts: Sequence[tuple[int, ...]]
    ) -> None:
        self.decoder, self.read, self.counts = decoder, read, list(counts)
        event = torch.Size([2 + decoder.largest])
        super().__init__(read.shape[:-1], event, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability (K, N) of complete sequences (N, W), -1 beyond their ends."""
        (sequences,) = sequences_of(value.unsqueeze(0))
        largest, total = self.decoder.largest, self.read.new_zeros(self.batch_shape)
        for stage in range(3):
            several = [
                (row, sequence[:at], sequence[at])
                for row, sequence in enumerate(sequences)
                for at in ((stage,) if stage < 2 else range(2, len(sequence)))
                if not _forced(sequence, at, self.counts[row], largest)
            ]
            if not several:
                continue
            rows, before, chosen = zip(*several, strict=True)
            odds = self._log_odds(rows, before)
            at = torch.tensor(chosen).expand(len(odds), -1).unsqueeze(-1)
            total = total.index_add(-1, torch.tensor(rows), odds.gather(-1, at)[..., 0])
        return total

    def _log_odds(self, rows: Sequence[int], before: Sequence[Choices]) -> Tensor:
        counts = [self.counts[row] for row in rows]
        return self.decoder.log_odds(self.read[:, list(rows)], before, counts)

    def _complete(self, row: int, sequence: Choices) -> bool:
        return not choices(sequence, self.counts[row], self.decoder.largest)

    @torch.no_grad()
    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        """Draw sequences (..., K, N, W), -1 beyond their ends."""
        shape = torch.Size(sample_shape) + self.batch_shape
        drawn = torch.full((*shape, *self.event_shape), -1)
        for place in np.ndindex(*shape[:-1]):
            for row, sequence in enumerate(self._drawn(place[-1])):
                drawn[(*place, row)][: len(sequence)] = torch.tensor(sequence)
        return drawn

    def _drawn(self, member: int) -> list[Choices]:
        drawn: list[Choices] = [()] * len(self.counts)
        live = list(range(len(drawn)))
        while live:
            odds = self._log_odds(live, [drawn[row] for row in live])[member]
            chosen = (odds - torch.empty_like(odds).exponential_().log()).argmax(-1).tolist()
            for row, choice in zip(live, chosen, strict=True):
                drawn[row] = (*drawn[row], choice)
            live = [row for row in live if not self._complete(row, drawn[row])]
        return drawn

    @torch.no_grad()
    def likeliest(self, most: int) -> list[list[tuple[Choices, float]]]:
        """The most probable sequences of each crystal, the members averaged, by a beam search.

        Returns
        -------
        list of list of (tuple of int, float)
            Of each crystal `most` sequences or fewer with their log probabilities, best first.
        """
        nothing = torch.zeros(len(self.read))
        beams: list[list[tuple[Choices, Tensor]]] = [[((), nothing)] for _ in self.counts]
        while True:
            live = [
                (row, sequence, log_prob)
                for row, beam in enumerate(beams)
                for sequence, log_prob in beam
                if not self._complete(row, sequence)
            ]
            if not live:
                break
            rows, before, so_far = zip(*live, strict=True)
            odds = self._log_odds(rows, before) + torch.stack(so_far, -1).unsqueeze(-1)
            mean = odds.logsumexp(0)
            best = mean.topk(min(max(most, _BEAM), mean.shape[-1]), -1)
            beams = [
                [pair for pair in beam if self._complete(row, pair[0])]
                for row, beam in enumerate(beams)
            ]
            for k, (row, sequence) in enumerate(zip(rows, before, strict=True)):
                for choice in best.indices[k].tolist():
                    if mean[k, choice] > IMPOSSIBLE / 2:
                        beams[row].append(((*sequence, choice), odds[:, k, choice]))
            beams = [sorted(beam, key=_joint, reverse=True)[: max(most, _BEAM)] for beam in beams]
        number = np.log(len(self.read))
        return [[(s, _joint((s, p)) - number) for s, p in beam[:most]] for beam in beams]


def sequences_of(value: Tensor) -> list[list[Choices]]:
    """Sequences (K, N) of a tensor (K, N, W) that holds -1 beyond their ends."""
    return [[tuple(x for x in row if x >= 0) for row in some] for some in value.tolist()]


def _forced(sequence: Choices, at: int, counts: tuple[int, ...], largest: int) -> bool:
    """Whether a choice of a sequence was the only one."""
    allowed = choices(sequence[:at], counts, largest)
    return sum(allowed) == 1 and sequence[at] < len(allowed) and allowed[sequence[at]]


def _joint(pair: tuple[Choices, Tensor]) -> float:
    return float(pair[1].logsumexp(0))
