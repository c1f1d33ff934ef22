"""How far an expert's opinion is trusted beside a teacher that has seen labels alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.optimize import minimize_scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

_TRUST, _TRUST_SD = 0.2, 0.2
"""Mean and standard deviation of the normal prior of the trust: an expert and the labels know much
of the same."""

_SMALLEST_PROBABILITY = 0.01
"""Trees that are sure of an alloy that they have not seen are not taken at their word."""


def trust_in_opinion(opinion: Floats, probability: Floats, label: NDArray[np.int_]) -> float:
    """Weight w of an opinion's log odds beside a teacher's, given alloys that the teacher lacked.

    The labels have the log odds t + w·o, with t the teacher's and o the opinion's. The weight has a
    normal prior of mean 0.2 and standard deviation 0.2; what is returned is its mode, at least 0.
    Labels that contradict an opinion so take its weight away, and few labels leave it as it was.

    Parameters
    ----------
    opinion : array, shape (N,)
        Log odds of 1.
    probability : array, shape (N,)
        Probability of 1 by the teacher, fitted without the alloy.
    label : array of {0, 1}, shape (N,)

    Returns
    -------
    float
        From 0 to 1.

    Examples
    --------
    >>> opinion, label = np.array([2.0, -2.0, 2.0, -2.0] * 10), np.array([1, 0, 1, 0] * 10)
    >>> unsure = np.full(40, 0.5)
    >>> round(trust_in_opinion(opinion, unsure, label), 2)
    0.77
    >>> trust_in_opinion(-opinion, unsure, label)
    0.0
    >>> round(trust_in_opinion(opinion[:0], unsure[:0], label[:0]), 2)
    0.2
    """
    known = np.clip(probability, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    teacher, sign = np.log(known / (1 - known)), 2 * label - 1

    def loss(weight: float) -> float:
        surprise = np.logaddexp(0, -sign * (teacher + weight * opinion)).sum()
        return float(surprise + ((weight - _TRUST) / _TRUST_SD) ** 2 / 2)

    # A convex function of one number; the bound itself is met only to the tolerance.
    weight = float(minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded").x)
    return weight if weight > 1e-4 else 0.0
