"""From the surrogate's ensemble to the engine's, step by step, with true energies on the way.

Where the surrogate is wrong by many kT, few of its draws would have all the weight. So they are
led to the engine's ensemble by annealed importance sampling (Neal, 2001), at one temperature, by
the energies

    Ê + m/M (E - Ê),   m = 0 … M

with E of the engine and Ê of the surrogate. On each step the surrogate's own moves are proposed,
and accepted by what it does not know (Christen and Fox, Markov chain Monte Carlo using an
approximation, 2005). The mean of the weights is Z over the surrogate's Z, whatever M.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyro_hea.disorder.annealing import Sweep

ByConfiguration = Callable[[NDArray[np.int8]], NDArray[np.float64]]
"""From configurations (S, N) to energies in eV, (S,)."""


@dataclass(frozen=True, eq=False)
class Bridge:
    """Draws that were led to the engine's ensembles.

    Attributes
    ----------
    occupations : ndarray of int, shape (n, N)
    energies : ndarray, shape (n,)
        By the engine, in eV.
    log_weight : ndarray, shape (n,)
        The mean of the weights is Z of the engine over that of the surrogate.
    rows : ndarray of int, shape (n,)
        Temperature of each draw, by its place.
    accepted : float
        Share of the proposals.
    """

    occupations: NDArray[np.int8]
    energies: NDArray[np.float64]
    log_weight: NDArray[np.float64]
    rows: NDArray[np.int64]
    accepted: float


def bridge(
    x: NDArray[np.int8],
    rows: NDArray[np.int64],
    beta: NDArray[np.float64],
    steps: NDArray[np.int64],
    *,
    engine: ByConfiguration,
    surrogate: ByConfiguration,
    sweep: Sweep,
    rng: np.random.Generator,
) -> Bridge:
    """Lead draws of the surrogate's ensembles to the engine's.

    Parameters
    ----------
    x : ndarray of int, shape (n, N)
    rows : ndarray of int, shape (n,)
        Temperature of each draw, by its place.
    beta, steps : ndarray, shape (K,)
        1 / kT in 1/eV, and M, at each temperature; each draw asks for M energies.
    engine, surrogate : callable
        Energies in eV, NaN where there is none: such configurations are left out.
    sweep : Sweep
        Moves that leave the surrogate's ensemble as it is.
    rng : Generator
    """
    energy = engine(x)
    known = np.isfinite(energy)
    x, rows, energy = x[known].copy(), rows[known], energy[known]
    cold, last = beta[rows], steps[rows]
    off = energy - surrogate(x)
    log_weight = -cold * off / last
    tried = accepted = 0
    for step in range(1, int(last.max(initial=1))):
        on = np.flatnonzero(step < last)
        moved = sweep(x[on], cold[on], backward=bool(rng.integers(2)))
        found = engine(moved)
        moved_off = found - surrogate(moved)
        worse = cold[on] * step / last[on] * (moved_off - off[on])
        taken = rng.exponential(size=len(on)) > worse  # False for NaN
        x[on[taken]], energy[on[taken]] = moved[taken], found[taken]
        off[on[taken]] = moved_off[taken]
        log_weight[on] -= cold[on] * off[on] / last[on]
        tried, accepted = tried + len(on), accepted + int(taken.sum())
    return Bridge(x, energy, log_weight, rows, accepted / max(tried, 1))
