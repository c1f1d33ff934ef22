"""Checks of the inputs of every measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pyro_hea.errors import DataError

Floats = NDArray[np.float64]

_SUM_TOLERANCE = 1e-4
"""Largest deviation of a sum of fractions from 1; decoders work in single precision."""


def predictions_of(y: ArrayLike, p: ArrayLike) -> tuple[Floats, Floats]:
    """Labels and probabilities of the same alloys."""
    labels, probabilities = labels_of(y), probabilities_of(p)
    same_length(y=labels, p=probabilities)
    return labels, probabilities


def labels_of(y: ArrayLike) -> Floats:
    """Labels 0 and 1, (N,)."""
    labels = numbers(y, "y")
    refuse((labels != 0) & (labels != 1), labels, "y", "a label is 0 or 1")
    return labels


def probabilities_of(p: ArrayLike) -> Floats:
    """Probabilities, (N,)."""
    probabilities = numbers(p, "p")
    refuse((probabilities < 0) | (probabilities > 1), probabilities, "p", "it lies in [0, 1]")
    return probabilities


def fractions_of(values: ArrayLike, name: str) -> Floats:
    """Compositions that sum to 1, (N, E)."""
    fractions = numbers(values, name, dimensions=2)
    total = fractions.sum(axis=1)
    refuse(fractions.min(axis=1) < 0, fractions.min(axis=1), name, "a fraction is not negative")
    refuse(np.abs(total - 1) > _SUM_TOLERANCE, total, name, "the fractions of a row sum to 1")
    return fractions


def numbers(values: ArrayLike, name: str, dimensions: int = 1) -> Floats:
    """Finite numbers of so many dimensions, at least one."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions or array.size == 0:
        raise DataError(
            f"{name} has shape {array.shape}; it needs {dimensions} dimension(s), none empty."
        )
    total = array.reshape(len(array), -1).sum(axis=1)
    refuse(~np.isfinite(total), total, name, "drop rows with missing or infinite values")
    return array


def refuse(faulty: NDArray[np.bool_], values: Floats, name: str, allowed: str) -> None:
    """Raise for the first faulty row, with its value."""
    for row in np.flatnonzero(faulty)[:1]:
        raise DataError(f"{name} is {values[row]:g} in row {row}: {allowed}.")


def same_length(**arrays: Floats) -> None:
    """Refuse two arrays of different lengths."""
    (a, first), (b, second) = arrays.items()
    if len(first) != len(second):
        raise DataError(f"{a} has {len(first)} rows but {b} has {len(second)}.")


def same_columns(a: ArrayLike, b: ArrayLike) -> None:
    """Refuse tables whose columns differ: they are compared by position."""
    columns: Sequence[list[str]] = [list(t.columns) for t in (a, b) if isinstance(t, pd.DataFrame)]
    if len(columns) == 2 and columns[0] != columns[1]:
        raise DataError(
            f"The tables differ in their columns: {', '.join(columns[0])} and "
            f"{', '.join(columns[1])}. Reindex one to the columns of the other."
        )


def tails(level: float) -> tuple[float, float]:
    """Quantiles between which a share `level` lies."""
    if not 0 < level < 1:
        raise DataError(f"level is {level}; it is a share between 0 and 1, such as 0.9.")
    return (1 - level) / 2, (1 + level) / 2
