"""Rounded alloys decoded at points of a latent space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.materials.alloys.composition import format_formula

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyro_hea.posterior import Ensemble

TRACE_FRACTION = 0.01
"""Fraction below which a decoded element is left out: a decoder gives each element a little."""

_STEP = 1000
"""Fractions are rounded to a tenth of an at.%."""


def decode_alloys(
    ensemble: Ensemble, z: ArrayLike, targets: Mapping[str, ArrayLike], member: int
) -> pd.DataFrame:
    """Decode points of a member's latent space into alloys that can be predicted.

    Elements below 1 at.% are left out and the rest rounded to a tenth of an at.%, since features
    such as the number of elements would count traces that nobody adds.

    Parameters
    ----------
    ensemble : Ensemble
    z : array_like, shape (N, d)
    targets : mapping of target to value or to values of shape (N,)
        Of every target.
    member : int

    Returns
    -------
    DataFrame, shape (N, E)
        Fractions by formula.
    """
    points = torch.tensor(np.asarray(z), dtype=torch.float32, device=ensemble.device)
    y = {t: torch.tensor(np.asarray(v), dtype=torch.float32) for t, v in targets.items()}
    every = points.expand(ensemble.members, *points.shape)
    decoded = ensemble.decode(every, {t: v.to(points) for t, v in y.items()})[member]
    fractions = decoded.double().cpu().numpy()
    fractions[fractions < TRACE_FRACTION] = 0.0
    counts = _largest_remainder(_STEP * fractions / fractions.sum(1, keepdims=True))
    table = pd.DataFrame(counts / _STEP, columns=list(ensemble.elements))
    rows = (dict(zip(table.columns, row, strict=True)) for row in table.to_numpy().tolist())
    table.index = pd.Index([format_formula(row) for row in rows], name="formula")
    return table


def _largest_remainder(amounts: np.ndarray) -> np.ndarray:
    """Whole amounts with the same sums, by largest remainder."""
    whole = np.floor(amounts + 1e-9)
    missing = np.rint(amounts.sum(1) - whole.sum(1))
    rank = np.argsort(np.argsort(whole - amounts, axis=1, kind="stable"), axis=1)
    return whole + (rank < missing[:, None])
