"""Points as a user gives them and gets them back: an array, or a table with named columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Points: TypeAlias = "pd.DataFrame | ArrayLike"
"""Points (N, n), as an array or as a table."""


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
    values = np.asarray(points, float)
    if values.ndim != 2 or values.shape[1] != len(columns):
        raise DataError(
            f"the {what} have shape {values.shape}; this atlas takes (N, {len(columns)})"
        )
    check_finite(values, what)
    return torch.tensor(values)


def check_finite(values: NDArray[np.float64], what: str) -> None:
    """Refuse points that are not finite, naming the first."""
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(values)} {what} are not finite, the first in row {bad[0]}: "
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
