"""Distributions of what a crystal is made of: elements on roles, and a latent with prototypes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from pyro.distributions.util import broadcast_shape
from torch import Tensor
from torch.nn.functional import one_hot

_ONE = torch.Size()

IMPOSSIBLE = -1e9
"""Log odds of what cannot be: its probability is exactly zero, and its gradient finite."""


class ElementsOnRoles(TorchDistribution):
    """An element for each role of a formula type, none of them twice.

    Elements are drawn role by role among those that are left. Of roles with equal counts, a later
    one has a later element.

    Parameters
    ----------
    logits : Tensor, shape (..., R, E)
        Of each element on each role.
    roles : Tensor of bool, shape (..., R)
        Which roles the formula type has, the first ones.
    tied : Tensor of bool, shape (..., R)
        Whether a role has the same count as the one before it.
    count : int
        How often the elements count; see `CompositionLatent`.

    Examples
    --------
    >>> roles = torch.tensor([True, True])
    >>> d = ElementsOnRoles(torch.zeros(2, 3), roles, torch.tensor([False, True]))
    >>> d.log_prob(torch.tensor([[0, 1], [0, 2], [1, 2]])).exp()   # 1/2 · 1/2, 1/2 · 1/2, 1/2 · 1
    tensor([0.2500, 0.2500, 0.5000])
    """

    arg_constraints: ClassVar = {"logits": constraints.independent(constraints.real, 2)}
    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(
        self,
        logits: Tensor,
        roles: Tensor,
        tied: Tensor,
        count: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        self.logits, self.roles, self.tied, self.count = logits, roles, tied, count
        batch = broadcast_shape(logits.shape[:-2], roles.shape[:-1])
        super().__init__(batch, logits.shape[-2:-1], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> ElementsOnRoles:
        """The same distribution for a larger batch."""
        batch = torch.Size(batch_shape)
        return ElementsOnRoles(
            self.logits.expand(batch + self.logits.shape[-2:]),
            self.roles.expand(batch + self.event_shape),
            self.tied.expand(batch + self.event_shape),
            self.count,
            False,
        )

    @property
    def _room(self) -> Tensor:
        """How many later roles follow with the same count, (..., R): these need later elements."""
        after = torch.zeros_like(self.tied, dtype=torch.long)
        for role in range(self.tied.shape[-1] - 2, -1, -1):
            after[..., role] = self.tied[..., role + 1] * (1 + after[..., role + 1])
        return after

    def _log_odds(self, role: int, before: list[Tensor], room: Tensor) -> Tensor:
        """Log probability of each element on a role, given those on the roles before it."""
        logits = self.logits[..., role, :]
        index = torch.arange(logits.shape[-1], device=logits.device)
        out = torch.zeros_like(logits, dtype=torch.bool)
        for other in before:
            out = out | (index == other[..., None])
        later = (~out).flip(-1).cumsum(-1).flip(-1) - (~out).long()
        out = out | (later < room[..., role, None])
        if before:
            out = out | (self.tied[..., role, None] & (index <= before[-1][..., None]))
        return logits.masked_fill(out, IMPOSSIBLE).log_softmax(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of elements (..., R); what stands beyond the roles is ignored."""
        value, room = value.long(), self._room
        total = self.logits.new_zeros(())
        for role in range(self.event_shape[0]):
            present = self.roles[..., role]
            if not present.any():
                break
            before = list(value[..., :role].unbind(-1))
            log_odds = self._log_odds(role, before, room)
            batch = broadcast_shape(log_odds.shape[:-1], value.shape[:-1])
            at = value[..., role, None].expand(*batch, 1)
            chosen = log_odds.expand(*batch, log_odds.shape[-1]).gather(-1, at)[..., 0]
            total = total + torch.where(present, chosen, 0.0)
        return self.count * total

    @torch.no_grad()
    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        """Draw elements, role by role; 0 beyond the roles."""
        return self._drawn(self._extended_shape(sample_shape)[:-1], random=True)

    @property
    def likeliest(self) -> Tensor:
        """The most probable element on each role in turn, (..., R)."""
        return self._drawn(self.batch_shape, random=False)

    def _drawn(self, batch: torch.Size, random: bool) -> Tensor:
        wide, drawn = self.expand(batch), list[Tensor]()
        room = wide._room
        for role in range(self.event_shape[0]):
            log_odds = wide._log_odds(role, drawn, room)
            if random:
                log_odds = log_odds - torch.empty_like(log_odds).exponential_().log()
            drawn.append(log_odds.argmax(-1))
        return torch.stack(drawn, -1) * wide.roles


class AroundPrototypes(TorchDistribution):
    """A mixture of normals, one around the centre of each prototype, of the same widths.

    Parameters
    ----------
    log_weight : Tensor, shape (..., N, P)
        Normalised; `IMPOSSIBLE` for a prototype of another formula type.
    centres : Tensor, shape (K, P, d)
    scale : Tensor, shape (K, 1, d)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = False

    def __init__(
        self, log_weight: Tensor, centres: Tensor, scale: Tensor, validate_args: bool | None = None
    ) -> None:
        self.log_weight, self.centres, self.scale = log_weight, centres, scale
        super().__init__(log_weight.shape[:-1], centres.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> AroundPrototypes:
        """The same distribution for a larger batch."""
        weight = self.log_weight.expand(torch.Size(batch_shape) + self.log_weight.shape[-1:])
        return AroundPrototypes(weight, self.centres, self.scale, False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, (..., N)."""
        distance = squared_distances(value, self.centres, self.scale)
        constant = self.scale.log().sum(-1) + self.scale.shape[-1] * math.log(2 * math.pi) / 2
        return (self.log_weight - distance / 2).logsumexp(-1) - constant

    @torch.no_grad()
    def sample(self, sample_shape: Any = _ONE) -> Tensor:
        """Draw a prototype, then around its centre."""
        shape = torch.Size(sample_shape) + self.log_weight.shape
        noise = torch.empty(shape).exponential_().log().to(self.log_weight)
        chosen = (self.log_weight - noise).argmax(-1)
        centres = self.centres.expand(*shape[:-2], *self.centres.shape[-2:])
        at = chosen[..., None].expand(*chosen.shape, self.event_shape[0])
        loc = centres.gather(-2, at)
        return loc + self.scale * torch.randn_like(loc)


def squared_distances(z: Tensor, centres: Tensor, scale: Tensor) -> Tensor:
    """Squared distance of each z (..., K, N, d) from each centre (K, P, d), in scales, (..., N, P).

    Examples
    --------
    >>> squared_distances(torch.zeros(1, 1, 2), torch.tensor([[[3.0, 4.0]]]), torch.ones(1, 1, 2))
    tensor([[[25.]]])
    """
    z, centres = z / scale, centres / scale
    both = z @ centres.mT
    return (z.square().sum(-1, keepdim=True) - 2 * both) + centres.square().sum(-1).unsqueeze(-2)


def onto(values: Tensor, index: Tensor) -> Tensor:
    """Rows (..., P, d) of each of N, `index` (N,): (..., N, d); zeros where it is negative."""
    chosen = values.index_select(-2, index.clamp_min(0))
    return torch.where((index >= 0).unsqueeze(-1), chosen, torch.zeros((), dtype=values.dtype))


def fractions_of(elements: Tensor, counts: Tensor, number: int) -> Tensor:
    """Atomic fractions (..., E) of elements on roles (..., R) with their counts, 0 for no role.

    Examples
    --------
    >>> fractions_of(torch.tensor([2, 0, 0]), torch.tensor([1.0, 3.0, 0.0]), 4)
    tensor([0.7500, 0.0000, 0.2500, 0.0000])
    """
    share = counts / counts.sum(-1, keepdim=True)
    return (one_hot(elements.long(), number) * share.unsqueeze(-1)).sum(-2)
