"""Projection of points onto an atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pyro_hea.program.charts import AtlasModel

_MOST = 50
"""Changes of chart, of which one or two are the rule."""


@torch.no_grad()
def project(model: AtlasModel, points: Tensor) -> Tensor:
    """D_k(E_k(x)) of the most responsible chart, until that is the chart that was used, (N, n).

    On the chart a point may be more likely under another one, and goes on to it. Its log weight
    rises with each change, so that it never comes back; and what has been projected stays.
    """
    rows = torch.arange(len(points))
    chart = torch.full((len(points),), -1)
    for _ in range(_MOST):
        there = model.encoded(points)
        now = there.log_weights.argmax(0)
        moved = now != chart
        if not bool(moved.any()):
            break
        points = torch.where(moved[:, None], model.decode(there.z)[now, rows], points)
        chart = now
    return points
