"""Networks that make configurations, one for each temperature: R(x | y).

K members, one for each temperature, S draws, N sites, C species, M bits.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from pyro_hea.program.networks import MLP

if TYPE_CHECKING:
    from pyro_hea.disorder.ideal import IdealSolution

_AT_ONCE = 2**24
"""Numbers that are held at a time."""


class Generator(nn.Module, ABC):
    """What makes configurations and knows how probable each is.

    Parameters
    ----------
    members : int
        K.
    ideal : IdealSolution
        What it is near to at the start.
    """

    prior: Tensor
    counts: Tensor

    def __init__(self, members: int, ideal: IdealSolution) -> None:
        super().__init__()
        self.members, self.ideal = members, ideal
        self.register_buffer("prior", torch.tensor(ideal.fractions).log().float())
        self.register_buffer("counts", torch.tensor(ideal.counts).float())

    @abstractmethod
    def draw(self, n: int) -> Tensor:
        """Configurations with y drawn and forgotten, (K, n, N)."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Log probability of configurations (K, S, N) with y summed out, (K, S)."""


class MixtureGenerator(Generator):
    """Sites independent given M bits y.

    Where the counts are fixed, species are drawn without replacement: the chance of each is in
    proportion to how many are left of it, times what the network gives.

    Parameters
    ----------
    members : int
    ideal : IdealSolution
    bits : int
        M.
    hidden : int
    """

    def __init__(self, members: int, ideal: IdealSolution, bits: int, hidden: int = 64) -> None:
        super().__init__(members, ideal)
        self.bits = bits
        self.network = MLP(members, (bits, hidden, ideal.sites * len(ideal.species)), gain=0.5)

    def every_y(self) -> Tensor:
        """All values of y, as -1 and 1, (2ᴹ, M)."""
        states = torch.arange(2**self.bits, device=self.prior.device)[:, None]
        return ((states >> torch.arange(self.bits)) & 1).to(self.prior.dtype) * 2 - 1

    def _logits(self, y: Tensor) -> Tensor:
        """Of each species on each site given y (..., M), (K, ..., N, C)."""
        outputs = self.network(y).unflatten(-1, (self.ideal.sites, len(self.ideal.species)))
        return outputs if self.ideal.fixed else (outputs + self.prior).log_softmax(-1)

    def draw(self, n: int) -> Tensor:
        """Configurations with y drawn and forgotten, (K, n, N)."""
        every = self.every_y()
        return self.draw_given(every[torch.randint(len(every), (self.members, n))])

    def draw_given(self, y: Tensor) -> Tensor:
        """Configurations given y (K, S, M), (K, S, N)."""
        logits = self._logits(y)
        if self.ideal.fixed:
            return _without_replacement(lambda i, _: logits[:, :, i], self.counts, logits.shape)
        return (logits + _gumbel(logits)).argmax(-1)

    def log_prob_given(self, x: Tensor, y: Tensor) -> Tensor:
        """Log probability of configurations (K, S, N) given y (K, S, M), (K, S)."""
        logits = self._logits(y)
        hot = one_hot(x, logits.shape[-1]).to(logits.dtype)
        scores = (hot * logits).sum((-1, -2))
        if self.ideal.fixed:
            left = _remaining(hot, self.counts)
            taken, free = (hot * left).sum(-1).log(), (left * logits.exp()).sum(-1).log()
            scores = scores + (taken - free).sum(-1)
        return scores

    def log_prob(self, x: Tensor) -> Tensor:
        """Log probability of configurations (K, S, N) with y summed out, (K, S)."""
        logits = self._logits(self.every_y())  # (K, 2ᴹ, N, C)
        rows = max(1, _AT_ONCE // (self.members * 2**self.bits))
        parts = [self._summed(part, logits) for part in x.split(rows, 1)]
        return torch.cat(parts, 1) - self.bits * math.log(2)

    def _summed(self, x: Tensor, logits: Tensor) -> Tensor:
        hot = one_hot(x, logits.shape[-1]).to(logits.dtype)
        scores = hot.flatten(-2) @ logits.flatten(-2).transpose(-1, -2)  # (K, S, 2ᴹ)
        if self.ideal.fixed:
            left = _remaining(hot, self.counts)
            scores = scores + (hot * left).sum(-1).log().sum(-1, keepdim=True)
            weights = logits.exp().transpose(-1, -2)  # (K, 2ᴹ, C, N)
            for site in range(x.shape[-1]):
                scores = scores - (left[:, :, site] @ weights[..., site].transpose(-1, -2)).log()
        return scores.logsumexp(-1)


class LocalGenerator(Generator):
    """Site after site, each given those of its neighbours that have been made.

    The same network at every site, as of a convolution: it reads the species of the nearest
    neighbours as far as they are earlier, and which are. It has no y.

    Parameters
    ----------
    members : int
    ideal : IdealSolution
    neighbours : Tensor of int, shape (N, W)
        Of each site, in an order that is alike for all sites; -1 for none.
    hidden : int
    """

    neighbours: Tensor
    earlier: Tensor

    def __init__(
        self, members: int, ideal: IdealSolution, neighbours: Tensor, hidden: int = 32
    ) -> None:
        super().__init__(members, ideal)
        species = len(ideal.species)
        earlier = (neighbours < torch.arange(ideal.sites)[:, None]) & (neighbours >= 0)
        self.register_buffer("neighbours", neighbours.clamp_min(0))
        self.register_buffer("earlier", earlier.float())
        width = neighbours.shape[1] * (species + 1)
        self.network = MLP(members, (width, hidden, hidden, species), gain=0.01)

    def _inputs(self, hot: Tensor, sites: slice) -> Tensor:
        """What the network reads at sites, (K, S, sites, W (C + 1))."""
        earlier = self.earlier[sites]
        seen = hot[:, :, self.neighbours[sites]] * earlier[..., None]
        return torch.cat([seen.flatten(-2), earlier.expand(*seen.shape[:-1])], -1)

    def _logits(self, hot: Tensor, sites: slice) -> Tensor:
        """Of the species at sites, (K, S, sites, C), before normalisation."""
        inputs = self._inputs(hot, sites)
        logits = self.network(inputs.flatten(1, 2)).unflatten(1, inputs.shape[1:3])
        return logits if self.ideal.fixed else logits + self.prior

    def draw(self, n: int) -> Tensor:
        """Configurations, (K, n, N)."""
        shape = (self.members, n, self.ideal.sites, len(self.ideal.species))
        counts = self.counts if self.ideal.fixed else None
        return _without_replacement(
            lambda i, hot: self._logits(hot, slice(i, i + 1))[:, :, 0],
            counts,
            shape,
            self.prior.new_zeros(shape),
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """Log probability of configurations (K, S, N), (K, S)."""
        width = self.neighbours.shape[1] * (len(self.ideal.species) + 1)
        rows = max(1, 4 * _AT_ONCE // (self.members * x.shape[-1] * width))
        return torch.cat([self._log_prob(part) for part in x.split(rows, 1)], 1)

    def _log_prob(self, x: Tensor) -> Tensor:
        hot = one_hot(x, len(self.ideal.species)).to(self.prior.dtype)
        logits = self._logits(hot, slice(None))
        if self.ideal.fixed:
            logits = logits + _remaining(hot, self.counts).clamp_min(0).log()
        return logits.log_softmax(-1).gather(-1, x[..., None]).squeeze(-1).sum(-1)


def _remaining(hot: Tensor, counts: Tensor) -> Tensor:
    """How many of each species are left before each site, (K, S, N, C)."""
    return counts - (hot.cumsum(-2) - hot)


def _without_replacement(
    logits: Callable[[int, Tensor], Tensor],
    counts: Tensor | None,
    shape: tuple[int, ...],
    hot: Tensor | None = None,
) -> Tensor:
    """Draw site by site, the chance of a species in proportion to how many are left of it.

    Parameters
    ----------
    logits : callable
        From a site and the one-hot sites before it to (K, S, C).
    counts : Tensor, shape (C,), or None
        None draws with replacement.
    shape : tuple of int
        (K, S, N, C).
    hot : Tensor, optional
        Zeros of that shape, in which what is drawn is written for `logits`.

    Returns
    -------
    Tensor, shape (K, S, N)
    """
    left = None if counts is None else counts.expand(*shape[:2], shape[3]).clone()
    made = []
    for site in range(shape[2]):
        here = logits(site, hot if hot is not None else torch.empty(0))
        if left is not None:
            here = here + left.log()
        species = (here + _gumbel(here)).argmax(-1)
        drawn = one_hot(species, shape[3]).to(here.dtype)
        if left is not None:
            left -= drawn
        if hot is not None:
            hot[:, :, site] = drawn
        made.append(species)
    return torch.stack(made, -1)


def _gumbel(like: Tensor) -> Tensor:
    return -(-torch.rand_like(like).clamp_min(1e-20).log()).clamp_min(1e-20).log()
