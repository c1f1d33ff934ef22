"""A cheap energy learnt from those that were paid for: ridge regression on counts of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.errors import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder.features import PairFeatures

_PENALTIES = np.logspace(-12, 2, 29)
"""Relative to the largest eigenvalue."""


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A quadratic form of the one-hot configuration.

    Attributes
    ----------
    features : PairFeatures
    constant : float
    coefficients : ndarray, shape (F,)
        In eV for each count.
    error : float
        Root mean square error in eV of energies that were left out one at a time.
    """

    features: PairFeatures
    constant: float
    coefficients: NDArray[np.float64]
    error: float

    def energies(self, occupations: NDArray[np.int8]) -> NDArray[np.float64]:
        """Energies in eV of configurations (S, N)."""
        return self.constant + self.features(occupations) @ self.coefficients

    def quadratic(self) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Constant, fields (N, C) and couplings (N, C, N, C); see `PairFeatures.quadratic`."""
        return (self.constant, *self.features.quadratic(self.coefficients))


def fit_surrogate(
    features: PairFeatures, occupations: NDArray[np.int8], energies: NDArray[np.float64]
) -> Surrogate:
    """Fit by ridge regression, the penalty chosen by leaving one out.

    Parameters
    ----------
    features : PairFeatures
    occupations : ndarray of int, shape (S, N)
    energies : ndarray, shape (S,)
        In eV; NaN where there is none.

    Raises
    ------
    EngineError
        With fewer than two energies.
    """
    known = np.isfinite(energies)
    if known.sum() < 2:
        raise EngineError(f"nothing is learnt from {known.sum()} energies: raise the budget")
    x, y = features(occupations[known]), energies[known]
    centre, mean = x.mean(0), y.mean()
    scale = x.std(0)
    scale[scale == 0] = 1.0
    u, s, vt = np.linalg.svd((x - centre) / scale, full_matrices=False)
    real = s > 1e-10 * max(s[0], 1e-300)
    u, s, vt = u[:, real], s[real], vt[real]
    along = u.T @ (y - mean)
    best: tuple[float, float] = (np.inf, 0.0)
    for penalty in _PENALTIES * (s[0] ** 2 if len(s) else 1.0):
        shrunk = s**2 / (s**2 + penalty)
        leverage = (u**2 @ shrunk) + 1 / len(y)
        residual = (y - mean - u @ (shrunk * along)) / np.maximum(1 - leverage, 1e-6)
        best = min(best, (float(np.sqrt(np.mean(residual**2))), float(penalty)))
    coefficients = vt.T @ (s / (s**2 + best[1]) * along) / scale
    return Surrogate(features, float(mean - centre @ coefficients), coefficients, best[0])
