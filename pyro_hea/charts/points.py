"""Points as a user gives them and gets them back: an array, or a table with named columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.errors import DataError, listing

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Points: TypeAlias = "pd.DataFrame | ArrayLike"
"""Points (N, n), as an array or as a table."""


def read_points(points: Points) -> tuple[tuple[str, ...], Tensor]:
    """Names of the coordinates, and the points, (N, n).

    Raises
    ------
    DataError
    """
    if isinstance(points, pd.DataFrame):
        columns = tuple(str(name) for name in points.columns)
        twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
        if twice:
            raise DataError(
                f"the points have {listing(twice)} more than once; give each column its own name"
            )
        return columns, points_tensor(points, columns)
    values = as_numbers(points, "points")
    if values.ndim != 2:
        raise DataError(f"points have shape {values.shape}; they have to be (N, n), a row each")
    columns = tuple(f"x{i}" for i in range(values.shape[1]))
    return columns, points_tensor(values, columns)


def points_tensor(points: Points, columns: Sequence[str], what: str = "points") -> Tensor:
    """Points as a tensor (N, n) in double precision.

    Raises
    ------
    DataError
        For a column that is missing or too many, another number of dimensions, and what is not
        finite.
    """
    if isinstance(points, pd.DataFrame):
        names = [str(name) for name in points.columns]
        if sorted(names) != sorted(columns):
            raise DataError(
                f"the {what} have the columns {', '.join(names)}; this atlas is of "
                f"{', '.join(columns)}"
            )
        points = points.set_axis(names, axis=1)[list(columns)]
    values = as_numbers(points, what)
    if values.ndim != 2 or values.shape[1] != len(columns):
        raise DataError(
            f"the {what} have shape {values.shape}; this atlas takes (N, {len(columns)})"
        )
    if not len(values):
        raise DataError(f"there are no {what}; give at least one")
    check_finite(values, what)
    return torch.tensor(values)


def as_numbers(points: Points, what: str) -> NDArray[np.float64]:
    """Points as an array in double precision.

    Raises
    ------
    DataError
        For what is no real number, naming the column of a table.
    """
    try:
        if np.iscomplexobj(points):
            raise TypeError("they are complex")
        return np.asarray(points, float)
    except (TypeError, ValueError) as error:
        where = ""
        if isinstance(points, pd.DataFrame):
            text = points.apply(pd.to_numeric, errors="coerce").isna() & points.notna()
            where = f" in the column {listing(points.columns[text.any()])}"
        raise DataError(
            f"the {what} hold what is no number{where} ({error}); leave it out"
        ) from None


def check_finite(values: NDArray[np.float64], what: str) -> None:
    """Refuse points that are not finite, naming the first."""
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(values)} {what} are not finite, the first in row {bad[0] + 1}: "
            "leave them out"
        )


def as_given(
    values: Tensor, like: Points, columns: Sequence[str]
) -> NDArray[np.float64] | pd.DataFrame:
    """Values (N, ...) as a table with the index of what was given, or as an array."""
    array: NDArray[np.float64] = values.detach().numpy()
    if isinstance(like, pd.DataFrame):
        return pd.DataFrame(array, index=like.index, columns=pd.Index(columns))
    return array
