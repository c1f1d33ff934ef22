"""The ideal solution: how probable a configuration is where no energy matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from pyro_hea.errors import DataError

Configurations = NDArray[np.int8]
"""Species of each site, by its index, (S, N)."""


@dataclass(frozen=True, eq=False)
class IdealSolution:
    """Sites that are occupied independently of each other, or with every species counted.

    Attributes
    ----------
    species : tuple of str
    fractions : ndarray, shape (C,)
    sites : int
    fixed : bool
        Whether each configuration has exactly these fractions.
    """

    species: tuple[str, ...]
    fractions: NDArray[np.float64]
    sites: int
    fixed: bool = False

    def __post_init__(self) -> None:
        wrong = abs(self.counts - self.fractions * self.sites).max() > 1e-6
        if self.fixed and wrong:
            raise DataError(
                f"{_formula(self.species, self.fractions)} does not fit {self.sites} sites: the "
                f"nearest composition that does is {_formula(self.species, self.counts)}"
            )

    @classmethod
    def of(
        cls, composition: Mapping[str, float], sites: int, *, fixed: bool = False
    ) -> IdealSolution:
        """The ideal solution of a composition, whose amounts need not sum to 1.

        Raises
        ------
        DataError
            For a fixed composition that these sites cannot have; it names the nearest.

        Examples
        --------
        >>> IdealSolution.of({"Ni": 1, "Cr": 1}, 4, fixed=True).counts
        array([2, 2])
        >>> IdealSolution.of({"Ni": 2, "Cr": 1}, 4, fixed=True)
        Traceback (most recent call last):
            ...
        pyro_hea.errors.DataError: Ni0.667Cr0.333 does not fit 4 sites: the nearest composition \
that does is Ni3Cr1
        """
        present = {name: float(amount) for name, amount in composition.items() if amount > 0}
        amounts = np.array(list(present.values()))
        if not len(amounts) or not np.isfinite(amounts).all():
            raise DataError(f"{dict(composition)} is no composition: it needs an amount above 0")
        return cls(tuple(present), amounts / amounts.sum(), sites, fixed)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Sites of each species, (C,); for free fractions the nearest whole numbers."""
        exact = self.fractions * self.sites
        counts = np.floor(exact + 1e-9).astype(int)
        missing = self.sites - int(counts.sum())
        counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
        return counts

    @cached_property
    def entropy(self) -> float:
        """Of the whole cell, in nats: the logarithm of the number of equally likely states."""
        if self.fixed:
            return float(gammaln(self.sites + 1) - gammaln(self.counts + 1).sum())
        return float(-self.sites * (self.fractions * np.log(self.fractions)).sum())

    def log_prob(self, configurations: Configurations) -> NDArray[np.float64]:
        """Log probability of configurations (..., N), which have the counts where they are fixed."""
        if self.fixed:
            return np.full(configurations.shape[:-1], -self.entropy)
        return np.log(self.fractions)[configurations].sum(-1)

    def sample(self, n: int, rng: np.random.Generator) -> Configurations:
        """Draw configurations, (n, N)."""
        if self.fixed:
            ordered = np.repeat(np.arange(len(self.species)), self.counts)
            return rng.permuted(np.tile(ordered, (n, 1)), axis=1).astype(np.int8)
        drawn = rng.choice(len(self.species), (n, self.sites), p=self.fractions)
        return drawn.astype(np.int8)


def _formula(species: tuple[str, ...], amounts: NDArray[np.generic]) -> str:
    return "".join(f"{name}{amount:.3g}" for name, amount in zip(species, amounts, strict=True))
