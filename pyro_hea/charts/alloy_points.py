"""Alloys as points of an atlas: the square roots of their fractions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyro_hea.errors import DataError, UnknownElementError
from pyro_hea.posterior.ensemble import as_fractions

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.materials.alloys.dataset import AlloyDataset


def fractions_of(alloys: AlloyDataset | Alloys, elements: Sequence[str]) -> pd.DataFrame:
    """Fractions of the elements of an atlas, (N, E).

    Raises
    ------
    UnknownElementError
        For an alloy with another element.
    """
    table = as_fractions(alloys)
    for element in table.columns.difference(list(elements)):
        if (table[element] > 0).any():
            raise UnknownElementError(f"no alloy of this atlas holds {element}")
    return table.reindex(columns=list(elements), fill_value=0.0)


def roots(table: pd.DataFrame) -> NDArray[np.float64]:
    """Points (N, E) at fractions."""
    return np.sqrt(table.to_numpy(float))


def normalised(points: Tensor) -> Tensor:
    """Fractions (N, E) at square roots, which descent may leave the sphere with."""
    squares = points.clamp_min(0.0).square()
    return squares / squares.sum(-1, keepdim=True).clamp_min(1e-12)


def fractions_at(points: NDArray[np.float64], min_fraction: float) -> NDArray[np.float64]:
    """Fractions of at least `min_fraction`, (N, E)."""
    if not 0 <= min_fraction < 1:
        raise DataError(f"min_fraction={min_fraction} is not allowed; it is a fraction below 1")
    made = normalised(torch.tensor(points)).numpy()
    made = np.where(made < np.minimum(min_fraction, made.max(1, keepdims=True)), 0.0, made)
    return np.asarray(made / made.sum(1, keepdims=True))
