"""Errors of reconstructed compositions, in at.%, and the nearest known alloy beside them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import pairwise_distances_argmin_min

from pyro_hea.errors import DataError
from pyro_hea.evaluate.measures._checks import Floats, fractions_of, same_columns


def composition_metrics(true: ArrayLike, reconstructed: ArrayLike) -> dict[str, float]:
    """Error of reconstructed compositions.

    Parameters
    ----------
    true, reconstructed : array_like, shape (N, E)
        Fractions, with the same elements in the same columns.

    Returns
    -------
    dict of str to float
        `mae_at_pct`, the mean absolute error over alloys and all elements; `mae_present_at_pct`,
        the same over the elements that each alloy truly holds; `atoms_misplaced_pct`, half the
        L1 distance, averaged over alloys. The first shrinks as columns of absent elements are
        added, the others do not.

    Raises
    ------
    DataError
        For shapes or columns that differ, or rows that are no compositions.

    Examples
    --------
    >>> composition_metrics([[0.5, 0.5, 0, 0]], [[0.25, 0.5, 0.25, 0]])
    {'mae_at_pct': 12.5, 'mae_present_at_pct': 12.5, 'atoms_misplaced_pct': 25.0}
    """
    same_columns(true, reconstructed)
    a, b = fractions_of(true, "true"), fractions_of(reconstructed, "reconstructed")
    if a.shape != b.shape:
        raise DataError(f"true has shape {a.shape} but reconstructed has shape {b.shape}.")
    error = 100 * np.abs(a - b)
    return {
        "mae_at_pct": float(error.mean()),
        "mae_present_at_pct": float(error[a > 0].mean()),
        "atoms_misplaced_pct": float(error.sum(axis=1).mean() / 2),
    }


def nearest_alloy(true: ArrayLike, known: ArrayLike) -> tuple[NDArray[np.intp], Floats]:
    """Find the known alloy nearest to each alloy.

    Parameters
    ----------
    true : array_like, shape (N, E)
        Fractions.
    known : array_like, shape (M, E)
        Fractions of the alloys to choose from, with the same columns.

    Returns
    -------
    index : array of int, shape (N,)
        Row of `known`; the first of those equally near.
    distance : array, shape (N,)
        Total-variation distance, half the L1 distance: the share of atoms to be exchanged.

    Raises
    ------
    DataError
        For columns that differ in number or name, or rows that are no compositions.

    Examples
    --------
    >>> index, distance = nearest_alloy([[0.5, 0.5]], [[1.0, 0.0], [0.6, 0.4]])
    >>> int(index[0]), round(float(distance[0]), 3)
    (1, 0.1)
    """
    same_columns(true, known)
    a, b = fractions_of(true, "true"), fractions_of(known, "known")
    if a.shape[1] != b.shape[1]:
        raise DataError(f"true has {a.shape[1]} elements but known has {b.shape[1]}.")
    index, distance = pairwise_distances_argmin_min(a, b, metric="manhattan")
    return index, distance / 2


def nearest_alloy_mae_at_pct(true: ArrayLike, known: ArrayLike) -> float:
    """Composition error of copying the nearest known alloy, to set beside `mae_at_pct`.

    Parameters
    ----------
    true, known : array_like, shapes (N, E) and (M, E)
        As in `nearest_alloy`.

    Returns
    -------
    float
        Mean absolute error over all elements, in at.%.

    Raises
    ------
    DataError
        As `nearest_alloy` does.

    Examples
    --------
    >>> round(nearest_alloy_mae_at_pct([[0.5, 0.5]], [[1.0, 0.0], [0.6, 0.4]]), 3)
    10.0
    """
    _, distance = nearest_alloy(true, known)
    return float(200 * distance.mean() / np.shape(true)[1])
