"""Riemannian gradient descent of an objective on an atlas.

In each chart that a point may lie in, the gradient is (JᵀJ)⁻¹ ∇(F ∘ D) with J the Jacobian of the
decoder D; the point moves along it, is projected back by the chart, and the points of the charts
are averaged by responsibility. (Alberti et al., arXiv:2303.15244, section 4.) Here the average is
put back onto the most responsible chart, since a chart that is hardly responsible for a point may
lead anywhere; and steps follow Armijo's rule, so that the objective never rises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.charts.objectives import Objective, evaluated, gradient, named
from pyro_hea.charts.projection import project
from pyro_hea.devices import forward_derivatives
from pyro_hea.errors import ConstraintError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from pyro_hea.program.charts import AtlasModel

_RESPONSIBLE = 1e-6
"""Responsibility above which a chart takes part in a step."""

_HALVINGS = 40
"""Of a step."""

_LONGER = tuple(2.0**k for k in range(21))
"""Steps that are tried where no shorter one is taken, after which a point stays where it is.

They lead over the kinks that decoders of ReLU networks have.
"""

_SUFFICIENT = 1e-4
"""Share of the decrease that the gradient promises which a step has to make (Armijo)."""

_GROWTH = 1.5

_TO_THE_BORDER = 0.9
"""Share of the way to the border of a constraint that one step goes at most."""

_TURN = 0.1
"""Most that a direction along a border is turned inwards, as a share of what led out."""

_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Descent:
    """Where a descent ended, and the way there.

    Attributes
    ----------
    points : ndarray or DataFrame, shape (M, n)
    values : ndarray, shape (M,)
        The objective there.
    charts : ndarray of int, shape (M,)
        The chart most responsible for each.
    trail : DataFrame
        One row per start and step: `start`, `step`, `chart`, `value`, and the coordinates.
    """

    points: NDArray[np.float64] | pd.DataFrame
    values: NDArray[np.float64]
    charts: NDArray[np.int64]
    trail: pd.DataFrame

    def __repr__(self) -> str:
        steps = int(self.trail["step"].max())
        return (
            f"Descent({len(self.values)} starts, {steps} steps; values from "
            f"{self.values.min():.4g} to {self.values.max():.4g})"
        )

    def _repr_html_(self) -> str:
        table = pd.DataFrame({"value": self.values, "chart": self.charts}).rename_axis("start")
        return f"<p>{self!r}</p>{table.head(20).round(4).to_html()}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the objective along the way from each start."""
        from pyro_hea import plots

        return plots.descent_values(self.trail, ax)


def jacobian(model: AtlasModel, z: Tensor) -> Tensor:
    """J of each decoder at coordinates (K, M, d), (K, M, n, d)."""
    columns = []
    with forward_derivatives():
        for axis in range(z.shape[-1]):
            tangent = torch.zeros_like(z)
            tangent[..., axis] = 1.0
            columns.append(torch.func.jvp(model.decode, (z,), (tangent,))[1])
    return torch.stack(columns, -1)


@torch.no_grad()
def descend(
    model: AtlasModel,
    objective: Objective,
    start: Tensor,
    steps: int,
    constraints: Sequence[Objective],
    floor: float,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Points, values and charts at each step, the start first.

    Parameters
    ----------
    model : AtlasModel
    objective : callable
    start : Tensor, shape (M, n)
        On the atlas.
    steps : int
    constraints : sequence of callable
        Each holds where it is at most 0; they hold at the start.
    floor : float
        Least log weight of a point that counts as on the atlas.

    Raises
    ------
    DataError, ConstraintError
    """
    x = start
    if callable(constraints):
        raise ConstraintError("constraints are a sequence of functions: write [constraint]")
    constraints = [named(c, f"constraint {number}") for number, c in enumerate(constraints)]
    for number, constraint in enumerate(constraints):
        broken = (gradient(constraint, x, f"constraint {number}")[0] > 0).nonzero()[:, 0]
        if len(broken):
            raise ConstraintError(
                f"constraint {number} does not hold at start {int(broken[0])} on the atlas, where "
                "it is above 0: start where it holds"
            )
    values, _ = gradient(objective, x)
    path = [(x, values, model.encoded(x).log_weights.argmax(0))]
    size = x.new_ones(len(x))
    moving = torch.arange(len(x))
    for _ in range(steps):
        x, values = x.clone(), values.clone()
        way = _way(model, objective, constraints, floor, x[moving], size[moving])
        found = _searched(
            model, objective, constraints, floor, x[moving], values[moving], way, size[moving]
        )
        x[moving], values[moving], size[moving], moved = found
        moving = moving[moved]
        if not len(moving):
            break
        path.append((x, values, model.encoded(x).log_weights.argmax(0)))
    return path


class _Way(NamedTuple):
    """Where points (M, n) may go in each chart.

    `gamma` (K, M) is the responsibility, 0 for charts that take no part; `direction` (K, M, n) is
    the gradient on the manifold; `promise` (M,) is how fast the objective falls along it.
    """

    gamma: Tensor
    direction: Tensor
    promise: Tensor


def _way(
    model: AtlasModel,
    objective: Objective,
    constraints: Sequence[Objective],
    floor: float,
    x: Tensor,
    size: Tensor,
) -> _Way:
    there = model.encoded(x)
    gamma = there.log_weights.softmax(0)
    gamma = torch.where(gamma > _RESPONSIBLE, gamma, 0.0)
    gamma = gamma / gamma.sum(0)
    used = gamma > 0
    here = torch.where(used[..., None], model.decode(there.z), x)
    j = jacobian(model, there.z)
    j = torch.where(used[..., None, None], j, torch.eye(*j.shape[-2:], dtype=j.dtype))
    metric = j.mT @ j

    def on_chart(function: Objective) -> tuple[Tensor, Tensor, Tensor]:
        """Values (K, M), the gradient in coordinates, and on the manifold, (K, M, d)."""
        value, slope = torch.zeros_like(gamma), torch.zeros_like(here)
        value[used], slope[used] = gradient(function, here[used])
        pulled = (j.mT @ slope.unsqueeze(-1)).squeeze(-1)
        g = torch.linalg.solve(metric, pulled.unsqueeze(-1)).squeeze(-1)
        return value, pulled, g

    _, pulled, g = on_chart(objective)
    lowest = there.log_weights.logsumexp(0).clamp_max(floor)
    weight, across, normal = on_chart(partial(_log_weight, model))
    g = _inside(lowest - weight, pulled, g, -across, -normal, size)
    for constraint in constraints:
        value, across, normal = on_chart(constraint)
        g = _inside(value, pulled, g, across, normal, size)
    direction = (j @ g.unsqueeze(-1)).squeeze(-1)
    return _Way(gamma, direction, (gamma * (pulled * g).sum(-1)).sum(0))


def _inside(
    value: Tensor, pulled: Tensor, g: Tensor, across: Tensor, normal: Tensor, size: Tensor
) -> Tensor:
    """A direction without the part that leads over the border of a constraint in one step.

    `value` of the constraint and the gradients of objective (`pulled`, `g`) and constraint
    (`across`, `normal`), in coordinates and on the manifold, are of each chart.
    """
    steep = (across * normal).sum(-1).clamp_min(_ROUNDING)
    rising = -(across * g).sum(-1)  # the constraint, along -g
    over = (rising + _TO_THE_BORDER * value.clamp_max(0.0) / size).clamp_min(0.0)
    falling = (pulled * g).sum(-1) - over * rising / steep  # what is left of the objective
    # The border may be curved: half of that goes into a turn inwards.
    turn = falling.clamp_min(0.0) * steep / (2 * rising.abs() + _ROUNDING)
    share = torch.where(over > 0, over + turn.minimum(_TURN * over), 0.0) / steep
    return g + share.unsqueeze(-1) * normal


def _searched(
    model: AtlasModel,
    objective: Objective,
    constraints: Sequence[Objective],
    floor: float,
    x: Tensor,
    values: Tensor,
    way: _Way,
    size: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points, values, sizes of the next step, and which points moved: by Armijo's rule."""
    x, values, size = x.clone(), values.clone(), size.clone()
    moved = torch.zeros(len(x), dtype=torch.bool)
    lowest = _log_weight(model, x).clamp_max(floor)
    shorter = [size * 0.5**k for k in range(_HALVINGS + 1)]
    for tried in (*shorter, *(torch.full_like(size, s) for s in _LONGER)):
        rows = (~moved & (way.promise > _ROUNDING)).nonzero()[:, 0]
        if not len(rows):
            break
        gamma, step = way.gamma[:, rows, None], tried[rows]
        landed = model.decode(model.encode(x[rows] - step[:, None] * way.direction[:, rows]))
        new = torch.where(gamma > 0, gamma * landed, 0.0).sum(0)
        fine = new.isfinite().all(-1)
        new = project(model, torch.where(fine[:, None], new, x[rows]))
        there = evaluated(objective, new)
        least = _SUFFICIENT * step * way.promise[rows]
        fine &= (there < values[rows]) & (there <= values[rows] - least)
        fine &= _log_weight(model, new) >= lowest[rows]
        for constraint in constraints:
            fine &= evaluated(constraint, new) <= 0
        taken = rows[fine]
        x[taken], values[taken], moved[taken] = new[fine], there[fine], True
        size[taken] = _GROWTH * step[fine]
    return x, values, size, moved


def _log_weight(model: AtlasModel, points: Tensor) -> Tensor:
    """The bound log Σ_k α_k exp(−L_k(x)) without noise of the guide, (M,)."""
    return model.encoded(points).log_weights.logsumexp(0)
