"""Choose from designs a few that differ and teach much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LENGTH = 0.1
"""Total variation at which two alloys are alike by a factor of e."""


def information(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nats that a measurement is expected to tell about which member is right (BALD).

    Houlsby et al., Bayesian active learning for classification (2011).

    Parameters
    ----------
    members : ndarray, shape (K, N)
        Probability by each member.

    Examples
    --------
    >>> information(np.array([[0.0, 0.5], [1.0, 0.5]])).round(3)
    array([0.693, 0.   ])
    """
    return np.asarray(_entropy(members.mean(0)) - _entropy(members).mean(0))


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-p * np.log(p) - (1 - p) * np.log(1 - p))


def diverse(
    fractions: NDArray[np.float64], quality: NDArray[np.float64], n: int
) -> NDArray[np.int_]:
    """Positions of `n` alloys of high quality that differ.

    They are the greedy mode of a determinantal point process with the kernel
    quality_i quality_j exp(-distance_ij / 0.1), of the total-variation distance. (Chen, Zhang and
    Zhou, Fast greedy MAP inference for determinantal point process, 2018.)

    Parameters
    ----------
    fractions : ndarray, shape (N, E)
    quality : ndarray, shape (N,)
    n : int
        At most N.

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [0.99, 0.01], [0.0, 1.0]])
    >>> diverse(x, np.array([1.0, 0.9, 0.5]), 2)
    array([0, 2])
    """
    gain = quality**2
    rows = np.zeros((0, len(quality)))
    chosen: list[int] = []
    for _ in range(n):
        best = int(np.argmax(np.where(np.isin(np.arange(len(gain)), chosen), -np.inf, gain)))
        alike = np.exp(-np.abs(fractions - fractions[best]).sum(1) / 2 / _LENGTH)
        row = quality[best] * quality * alike - rows[:, best] @ rows
        row = row / np.sqrt(max(gain[best], 1e-300))
        rows, gain = np.vstack([rows, row]), np.maximum(gain - row**2, 0.0)
        chosen.append(best)
    return np.array(chosen)
