"""What to add to an alloy and what to take away: directional derivatives on the simplex.

Moving 1 at.% from element i to element j goes along e_j - e_i, where the fractions go on summing
to 1. The derivative of a target's probability along it is worked out by automatic
differentiation through features, embedding and head, in double precision.

The way has kinks, and steps: the embedding is piecewise linear with an edge at many a training
alloy, and a step where many alloys share a value (the entropy of all equimolar quaternaries); the
largest fraction of an equimolar alloy is shared; an element's presence changes ranges and counts at
once. So the derivative is one-sided, taken a tenth of an at.% along the move. An element that is
not there yet has none (the entropy's is infinite): for it a step of 1 at.% is taken.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.dataset import AlloyDataset
from pyro_hea.explain._members import summary
from pyro_hea.dataset import AlloyBatch
from pyro_hea.features import FeatureMap
from pyro_hea.posterior import as_fractions

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.composition import Alloys
    from pyro_hea.vae import DisentangledVAE

STEP = 0.01
"""Fraction by which an element that is absent is added; half of the giver if that is less."""

NUDGE = 1e-3
"""Fraction by which an alloy is moved off a kink before its derivative is taken; half of the giver
if that is less."""

_ROWS = 4096
"""Moves worked out at a time, which bounds the memory."""


def element_moves(
    vae: DisentangledVAE,
    alloys: AlloyDataset | Alloys,
    target: str | None = None,
    to: list[str] | None = None,
) -> pd.DataFrame:
    """Change of a target's probability per at.% moved from one element to another.

    Parameters
    ----------
    vae : DisentangledVAE
    alloys : alloys of any elements of the packaged tables
    target : str, optional
        The first one by default.
    to : list of str, optional
        Elements to move to; those of training and of the alloys by default.

    Returns
    -------
    DataFrame
        One row by (`formula`, `from`, `to`), with `from` an element of the alloy: `mean`, `low`
        and `high` over the members, in probability per at.%, and `kind`, "derivative" or, for an
        element that is not there yet, "step" (the mean slope over `STEP`).

    Raises
    ------
    UnknownTargetError, UnknownElementError
    """
    ensemble, table = vae.ensemble, as_fractions(alloys)
    target = ensemble.spec.target_names[0] if target is None else target
    ensemble.check_target(target)
    receivers = sorted({*ensemble.elements, *table.columns}) if to is None else list(to)
    elements = sorted({*receivers, *table.columns})
    fractions = table.reindex(columns=elements, fill_value=0.0).to_numpy(float)
    row, giver, taker = _moves(fractions, [elements.index(e) for e in receivers])
    x = torch.tensor(fractions)[row]
    eye = torch.eye(len(elements), dtype=torch.float64)
    direction = eye[taker] - eye[giver]
    there = torch.tensor(fractions[row, taker] > 0)

    slopes = torch.empty(ensemble.members, len(row), dtype=torch.float64)
    head = _Head(vae, target, elements)
    half = torch.tensor(fractions[row, giver, None] / 2)
    nudged, stepped = (x + half.clamp_max(most) * direction for most in (NUDGE, STEP))
    for part in there.nonzero()[:, 0].split(_ROWS):
        slopes[:, part] = head.slope(nudged[part], direction[part])
    for part in (~there).nonzero()[:, 0].split(_ROWS):
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


class _Head:
    """Probability of a target as a function of fractions, in double precision, (N, E) to (K, N)."""

    def __init__(self, vae: DisentangledVAE, target: str, elements: list[str]) -> None:
        ensemble = vae.ensemble
        self._target = target
        self._model = copy.deepcopy(ensemble.model).cpu().double().requires_grad_(False)
        names = ensemble.spec.features.columns
        self._features = FeatureMap(names, ensemble.tables, elements)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        return self._probability(x)

    def _probability(self, x: Tensor) -> Tensor:
        most = max(int((x > 0).sum(-1).max()), 1)
        features = self._features(x, max_elements=most, chunk=len(x))
        read = self._model.read(AlloyBatch(None, features, {}, {}))
        return self._model.head(self._target, read, None)[..., 0].sigmoid()

    def slope(self, x: Tensor, direction: Tensor) -> Tensor:
        """Derivative along a direction, (K, N), per unit of fraction."""
        x = x.clone().requires_grad_()
        each = (member.sum() for member in self._probability(x))
        slopes = [torch.autograd.grad(p, x, retain_graph=True)[0] for p in each]
        return (torch.stack(slopes) * direction).sum(-1)
