"""Effect of moving atoms from one element to another: directional derivatives on the simplex.

Moving 1 at.% from element i to element j goes along e_j - e_i, where the fractions go on summing
to 1. The derivative of the prediction along it is computed by forward-mode automatic
differentiation through features, embedding and head, in double precision.

The prediction has kinks and steps: the embedding is piecewise linear with an edge at many training
alloys, and a step where many alloys share a value (the entropy of all equimolar quaternaries); the
largest fraction of an equimolar alloy is shared; an element's presence changes ranges and counts at
once. So the derivative is one-sided, taken a tenth of an at.% along the move. An element that is
not there yet has none (that of the entropy is infinite): for it a step of 1 at.% is taken.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch.autograd import forward_ad

from pyro_hea.devices import forward_derivatives
from pyro_hea.explain._members import summary
from pyro_hea.explain._quantity import quantity
from pyro_hea.explain.groups import warn_of_unseen
from pyro_hea.materials.alloys.dataset import AlloyDataset
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.posterior import as_fractions

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.explain._quantity import Quantity
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.vae import DisentangledVAE

STEP = 0.01
"""Fraction by which an element that is absent is added; half of the giver if that is less."""

NUDGE = 1e-3
"""Fraction by which an alloy is moved off a kink before its derivative is taken; half of the giver
if that is less."""

_ROWS = 4096
"""Moves worked out at a time, which bounds the memory."""


@torch.inference_mode(False)
def element_moves(
    vae: DisentangledVAE,
    alloys: AlloyDataset | Alloys,
    target: str | None = None,
    to: list[str] | None = None,
    *,
    value: str | None = None,
) -> pd.DataFrame:
    """Change of what is predicted per at.% moved from one element to another.

    Parameters
    ----------
    vae : DisentangledVAE
    alloys : alloys of any elements of the packaged tables
    target : str, optional
        The first one by default.
    to : list of str, optional
        Elements to move to; those of training and of the alloys by default.
    value : str, optional
        The class whose probability is meant, of a target of several classes. Of a binary one it is
        that of 1, and of a number the mean.

    Returns
    -------
    DataFrame
        One row by (`formula`, `from`, `to`), with `from` an element of the alloy: `mean`, `low`
        and `high` over the members, in probability or in the number's unit per at.%, and `kind`,
        "derivative" or, for an element that is not there yet, "step" (the mean slope over
        `STEP`).

    Raises
    ------
    UnknownTargetError, UnknownElementError
    DataError
        For a class that the target does not have.

    Warns
    -----
    UnseenElementWarning
        For alloys with elements that no training alloy holds: the slopes are the head's, which
        reads features alone, and not of the share of the prior that `predict` mixes in.
    """
    ensemble, table = vae.ensemble, as_fractions(alloys)
    wanted = quantity(ensemble, target, value)
    warn_of_unseen(ensemble, table)
    receivers = sorted({*ensemble.elements, *table.columns}) if to is None else list(to)
    elements = sorted({*receivers, *table.columns})
    fractions = table.reindex(columns=elements, fill_value=0.0).to_numpy(float)
    row, giver, taker = _moves(fractions, [elements.index(e) for e in receivers])
    x = torch.tensor(fractions)[row]
    eye = torch.eye(len(elements), dtype=torch.float64)
    direction = eye[taker] - eye[giver]
    there = torch.tensor(fractions[row, taker] > 0)

    slopes = torch.empty(ensemble.members, len(row), dtype=torch.float64)
    head = _Head(vae, wanted, elements)
    half = torch.tensor(fractions[row, giver, None] / 2)
    nudged, stepped = (x + half.clamp_max(most) * direction for most in (NUDGE, STEP))
    for part in _parts(there):
        slopes[:, part] = head.slope(nudged[part], direction[part])
    for part in _parts(~there):
        gained = head(stepped[part]) - head(x[part])
        slopes[:, part] = gained / half[part, 0].clamp_max(STEP)

    names = np.array(elements)
    index = pd.MultiIndex.from_arrays(
        [table.index.to_numpy()[row], names[giver], names[taker]], names=["formula", "from", "to"]
    )
    per_percent = summary(slopes.numpy() / 100)
    return pd.DataFrame(per_percent, index).assign(kind=np.where(there, "derivative", "step"))


def _moves(fractions: np.ndarray, receivers: list[int]) -> tuple[np.ndarray, ...]:
    """Row, giver and receiver of every move from an element that is there to another one."""
    row, giver = np.nonzero(fractions)
    row, giver = (np.repeat(i, len(receivers)) for i in (row, giver))
    taker = np.tile(receivers, len(row) // len(receivers))
    kept = giver != taker
    return row[kept], giver[kept], taker[kept]


def _parts(chosen: Tensor) -> tuple[Tensor, ...]:
    """Rows that are chosen, some at a time; torch would make one empty part of none."""
    rows = chosen.nonzero()[:, 0]
    return rows.split(_ROWS) if len(rows) else ()


class _Head:
    """What is predicted as a function of fractions, in double precision, (N, E) to (K, N)."""

    def __init__(self, vae: DisentangledVAE, wanted: Quantity, elements: list[str]) -> None:
        ensemble = vae.ensemble
        self._wanted = wanted
        self._model = copy.deepcopy(ensemble.model).cpu().double().requires_grad_(False)
        self._features = FeatureMap(ensemble.spec.features.columns, ensemble.tables, elements)

    def __call__(self, x: Tensor) -> Tensor:
        most = max(int((x > 0).sum(-1).max()), 1)
        features = self._features(x, max_elements=most, chunk=len(x))
        return self._wanted.of(self._model, features)

    def slope(self, x: Tensor, direction: Tensor) -> Tensor:
        """Derivative along a direction, (K, N), per unit of fraction."""
        with forward_derivatives(), forward_ad.dual_level():
            moved = self(forward_ad.make_dual(x, direction))
            slope = forward_ad.unpack_dual(moved).tangent
        return torch.zeros_like(moved) if slope is None else slope
