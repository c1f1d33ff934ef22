"""Draws whose true energies are paid for: direct ones, and bridges where these say too little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyro_hea.disorder.annealing import Sweep
from pyro_hea.disorder.bridge import bridge
from pyro_hea.disorder.estimates import (
    Estimate,
    draw_from_pool,
    estimate,
    spread_in_kt,
    with_bridge,
)

if TYPE_CHECKING:
    from pyro_hea.disorder.energies import Energies
    from pyro_hea.disorder.ideal import IdealSolution
    from pyro_hea.disorder.pools import Pool
    from pyro_hea.disorder.surrogate import Surrogate

Quantities = Callable[[NDArray[np.int8]], NDArray[np.float64]]
"""From configurations (S, N) to what is averaged of them, (S, A)."""

_STEPS = 6.0
"""Of a bridge, for a surrogate that is off by one kT; in proportion to the square."""

_FEWEST_BRIDGED = 40
"""Draws of each temperature that are led over a bridge at least, if need be in fewer steps."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Configurations with true energies, and what they say.

    Attributes
    ----------
    occupations : ndarray of int, shape (n, N)
    energies : ndarray, shape (n,)
        In eV.
    estimate : Estimate
    """

    occupations: NDArray[np.int8]
    energies: NDArray[np.float64]
    estimate: Estimate


@dataclass(frozen=True, eq=False)
class FinalDraws:
    """What a surrogate's draws say, once their true energies are paid for.

    Attributes
    ----------
    energies : Energies
    ideal : IdealSolution
    beta : ndarray, shape (K,)
        1 / kT in 1/eV.
    quantities : callable
        What is averaged.
    surrogate : Surrogate
    rng : Generator
    """

    energies: Energies
    ideal: IdealSolution
    beta: NDArray[np.float64]
    quantities: Quantities
    surrogate: Surrogate
    rng: np.random.Generator

    def candidates(self, pool: Pool, most: int) -> NDArray[np.int8]:
        """Enough draws of the mixture for so many energies, in the order they are paid in."""
        n = 4 * max(most, 200)  # several may be equal
        return draw_from_pool(pool, self.ideal.sample(n, self.rng), n, self.rng)

    def direct(self, pool: Pool, candidates: NDArray[np.int8], most: int) -> Drawn:
        """Pay for the first of the candidates, with `most` further energies, and average."""
        x = candidates[: self.energies.within_budget(candidates, most)]
        values = self.energies(x)
        known = np.isfinite(values)
        x, values = x[known], values[known]
        cheap, of = self.surrogate.energies(x), self.quantities(x)
        return Drawn(x, values, estimate(pool, self.beta, values, cheap, of, self._again()))

    def steps(self, pool: Pool, drawn: Drawn, hard: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Steps of a bridge at the hard temperatures, 0 at the others, (K,)."""
        cheap = self.surrogate.energies(drawn.occupations)
        spread = spread_in_kt(pool, self.beta, drawn.energies, cheap)
        wanted = np.where(hard, np.maximum(_STEPS * spread**2, 2.0), 0.0)
        most = 0.75 * self.energies.left / _FEWEST_BRIDGED
        fewer = min(1.0, most / wanted.sum())
        return np.where(hard, np.maximum(fewer * wanted, 1.0), 0.0).astype(int)

    def bridged(self, pool: Pool, drawn: Drawn, steps: NDArray[np.int64], most: int) -> Drawn:
        """Lead draws over bridges with `most` energies at most, as many at each temperature."""
        each = most // int(steps.sum())
        hard = np.flatnonzero(steps)
        if each == 0:
            return drawn
        made = bridge(
            pool.resample(each, self.rng)[hard].reshape(-1, self.ideal.sites),
            np.repeat(hard, each),
            self.beta,
            steps,
            engine=self.energies,
            surrogate=self.surrogate.energies,
            sweep=Sweep(self.surrogate, self.ideal, self.rng),
            rng=self.rng,
        )
        of = self.quantities(made.occupations)
        return Drawn(
            np.concatenate([drawn.occupations, made.occupations]),
            np.concatenate([drawn.energies, made.energies]),
            with_bridge(drawn.estimate, pool, made, of, self._again()),
        )

    def _again(self) -> np.random.Generator:
        """For replicates, which leave the draws as they are."""
        return self.rng.spawn(1)[0]
