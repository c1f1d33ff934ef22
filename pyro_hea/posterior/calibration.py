"""Correction of probabilities by what they were worth on labels held out for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from pyro_hea.errors import DataError

Floats = NDArray[np.float64]

_EDGE = 1e-6
"""How near to 0 or 1 a probability counts."""

_RIDGE = 1e-3
"""Pull towards no correction, which keeps the fit finite where labels are separated."""


@dataclass(frozen=True)
class Calibration:
    """A monotone map of probabilities, log p'/(1-p') = a log p - b log(1-p) + c.

    Beta calibration (Kull, Silva Filho and Flach, AISTATS 2017); with a = b and c = 0 it is
    temperature scaling (Guo et al., ICML 2017), with temperature 1 / a. Fitted on the validation
    part and never on the labels that it is judged by.

    Attributes
    ----------
    a, b : float
        Not negative, so that no two alloys change places.
    c : float
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    @classmethod
    def fit(
        cls, p: ArrayLike, y: ArrayLike, kind: Literal["temperature", "beta"] = "temperature"
    ) -> Self:
        """Fit by maximum likelihood.

        Parameters
        ----------
        p : array_like, shape (N,)
            Probabilities of 1.
        y : array_like of {0, 1}, shape (N,)
        kind : {"temperature", "beta"}
            One parameter or three; three need some hundred labels.

        Raises
        ------
        DataError
            For lengths that differ, a label other than 0 and 1, labels of one class only, or an
            unknown kind.

        Examples
        --------
        >>> p = np.array([0.9] * 10 + [0.1] * 10)
        >>> y = np.array([1] * 7 + [0] * 3 + [0] * 7 + [1] * 3)       # right seven times in ten
        >>> Calibration.fit(p, y).apply([0.9, 0.5]).round(2)
        array([0.7, 0.5])
        """
        probability, label = np.asarray(p, float), np.asarray(y, float)
        if kind not in ("temperature", "beta"):
            raise DataError(f"there is no calibration {kind!r}; allowed: 'temperature', 'beta'")
        if probability.shape != label.shape or probability.ndim != 1:
            raise DataError(f"p has shape {probability.shape} but y has {label.shape}")
        if set(np.unique(label)) != {0.0, 1.0}:
            raise DataError("labels are 0 and 1, and a calibration needs alloys of both classes")
        up, down = _logs(probability)
        sign = 1 - 2 * label

        def loss(parameters: Floats) -> float:
            a, b, c = parameters if kind == "beta" else (*np.repeat(parameters, 2), 0.0)
            pull = (np.log(max(a, _EDGE)) ** 2 + np.log(max(b, _EDGE)) ** 2 + c**2) * _RIDGE
            return float(np.logaddexp(0, sign * (a * up - b * down + c)).mean() + pull)

        start = np.array([1.0, 1.0, 0.0] if kind == "beta" else [1.0])
        bounds = [(0.0, 20.0), (0.0, 20.0), (-20.0, 20.0)][: len(start)]
        best = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
        a, b, c = best if kind == "beta" else (best[0], best[0], 0.0)
        return cls(float(a), float(b), float(c))

    def apply(self, p: ArrayLike) -> Floats:
        """Calibrated probabilities, of any shape."""
        up, down = _logs(np.asarray(p, float))
        return np.asarray(1 / (1 + np.exp(-(self.a * up - self.b * down + self.c))))


def _logs(p: Floats) -> tuple[Floats, Floats]:
    p = np.clip(p, _EDGE, 1 - _EDGE)
    return np.log(p), np.log1p(-p)
