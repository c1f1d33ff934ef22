"""Riemannian gradient descent of an objective on an atlas.

In each chart that a point may lie in, the gradient is (JᵀJ)⁻¹ ∇(F ∘ D) with J the Jacobian of the
decoder D; the point moves along it, is projected back by the chart, and the points of the charts
are averaged by responsibility. (Alberti et al., arXiv:2303.15244, section 4; here with Armijo's
rule, so that the objective never rises.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.errors import ConstraintError, DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from pyro_hea.program.charts import AtlasModel

Objective: TypeAlias = Callable[[Tensor], Tensor]
"""From points (M, n) to one value each, (M,), by torch operations that have a gradient."""

_RESPONSIBLE = 1e-6
"""Responsibility above which a chart takes part in a step."""

_HALVINGS = 20

_SUFFICIENT = 1e-4
"""Share of the decrease that the gradient promises which a step has to make (Armijo)."""

_GROWTH = 1.5

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


def misfit(operator: Callable[[Tensor], Tensor] | ArrayLike, data: ArrayLike) -> Objective:
    """The data term ‖A(x) − b‖² of an inverse problem, as an objective.

    Parameters
    ----------
    operator : matrix of shape (m, n), or callable
        A. A callable takes points (M, n) and gives (M, m).
    data : array of shape (m,)
        b.

    Examples
    --------
    >>> objective = misfit([[1.0, 0.0]], [2.0])
    >>> objective(torch.tensor([[0.5, 3.0]]))
    tensor([2.2500])
    """
    measured = torch.as_tensor(data, dtype=torch.float64)
    apply = operator if callable(operator) else _linear(operator)

    def objective(points: Tensor) -> Tensor:
        return (apply(points) - measured.to(points)).square().sum(-1)

    return objective


def _linear(matrix: ArrayLike) -> Callable[[Tensor], Tensor]:
    rows = torch.as_tensor(matrix, dtype=torch.float64)

    def apply(points: Tensor) -> Tensor:
        return points @ rows.to(points).mT

    return apply


def evaluated(objective: Objective, points: Tensor) -> Tensor:
    """The objective at points (M, n), checked, (M,).

    Raises
    ------
    DataError
        For a result that is no tensor of one finite value for each point.
    """
    values = objective(points)
    if not isinstance(values, Tensor) or values.shape != (len(points),):
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise DataError(
            f"the objective gives {got} for {len(points)} points; it has to give a tensor of shape "
            f"({len(points)},), one value for each"
        )
    bad = (~values.isfinite()).nonzero()[:, 0]
    if len(bad):
        raise DataError(
            f"the objective is not finite at {len(bad)} of {len(points)} points, the first "
            f"{points[bad[0]].detach().numpy().round(4).tolist()}"
        )
    return values


def gradient(objective: Objective, points: Tensor) -> tuple[Tensor, Tensor]:
    """Values (M,) and gradients (M, n) of an objective.

    Raises
    ------
    DataError
        For an objective that is not finite or not differentiable.
    """
    at = points.detach().requires_grad_()
    with torch.enable_grad():
        values = evaluated(objective, at)
        if not values.requires_grad:
            raise DataError(
                "the objective is not differentiable: its result has no gradient. Use torch "
                "operations on the points alone, without detach, item or numpy"
            )
        (slope,) = torch.autograd.grad(values.sum(), at)
    if not slope.isfinite().all():
        row = int((~slope.isfinite()).any(1).nonzero()[0])
        raise DataError(
            "the gradient of the objective is not finite at "
            f"{points[row].detach().numpy().round(4).tolist()}"
        )
    return values.detach(), slope


def jacobian(model: AtlasModel, z: Tensor) -> Tensor:
    """J of each decoder at coordinates (K, M, d), (K, M, n, d)."""
    columns = []
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
    rows = len(x)
    for number, constraint in enumerate(constraints):
        broken = (evaluated(constraint, x) > 0).nonzero()[:, 0]
        if len(broken):
            raise ConstraintError(
                f"constraint {number} does not hold at start {int(broken[0])} on the atlas, where "
                "it is above 0: start where it holds"
            )
    values, _ = gradient(objective, x)
    path = [(x, values, model.encoded(x).log_weights.argmax(0))]
    size = x.new_ones(rows)
    for _ in range(steps):
        gamma = model.encoded(x).log_weights.softmax(0)
        used = gamma > _RESPONSIBLE
        z = model.encode(x)
        here = torch.where(used[..., None], model.decode(z), x)
        _, slope = gradient(objective, here.flatten(0, 1))
        j = jacobian(model, z)
        j = torch.where(used[..., None, None], j, torch.eye(*j.shape[-2:], dtype=j.dtype))
        pulled = (j.mT @ slope.view_as(here).unsqueeze(-1)).squeeze(-1)
        metric = j.mT @ j
        g = torch.linalg.solve(metric, pulled.unsqueeze(-1)).squeeze(-1)
        for constraint in constraints:
            g = _along(constraint, x, here, j, metric, g)
        direction = (j @ g.unsqueeze(-1)).squeeze(-1)  # (K, M, n)
        promise = (gamma * (pulled * g).sum(-1)).sum(0)
        size, x, values, moved = _searched(
            model,
            objective,
            constraints,
            floor,
            (x, values),
            (gamma, used, direction, promise),
            size,
        )
        path.append((x, values, model.encoded(x).log_weights.argmax(0)))
        if not moved:
            break
    return path


def _along(
    constraint: Objective, x: Tensor, here: Tensor, j: Tensor, metric: Tensor, g: Tensor
) -> Tensor:
    """A descent direction without the part that leads out of a constraint at its border."""
    value, slope = gradient(constraint, here.flatten(0, 1))
    pulled = (j.mT @ slope.view_as(here).unsqueeze(-1)).squeeze(-1)
    normal = torch.linalg.solve(metric, pulled.unsqueeze(-1)).squeeze(-1)
    steep = (pulled * normal).sum(-1).clamp_min(_ROUNDING)
    out = -(pulled * g).sum(-1)  # how fast it rises along -g
    near = value.view(g.shape[:-1]) > -_BORDER * steep.sqrt()
    share = torch.where(near & (out > 0), out / steep * (1 + _INWARD), 0.0)
    return g + share.unsqueeze(-1) * normal


_BORDER = 1e-2
"""Distance from the border of a constraint, in the unit of the points, where it is followed."""

_INWARD = 1e-2
"""How much a direction along a border turns inwards, since the border may be curved."""


def _log_weight(model: AtlasModel, points: Tensor) -> Tensor:
    """The bound log Σ_k α_k exp(−L_k(x)) without noise of the guide, (M,)."""
    return model.encoded(points).log_weights.logsumexp(0)


def _searched(
    model: AtlasModel,
    objective: Objective,
    constraints: Sequence[Objective],
    floor: float,
    at: tuple[Tensor, Tensor],
    step: tuple[Tensor, Tensor, Tensor, Tensor],
    size: Tensor,
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Sizes of the next step, points, values, and whether any moved: by Armijo's rule."""
    (x, values), (gamma, used, direction, promise) = at, step
    x, values, size = x.clone(), values.clone(), size.clone()
    todo = promise > _ROUNDING
    lowest = _log_weight(model, x).clamp_max(floor)
    moved = False
    for _ in range(_HALVINGS + 1):
        rows = todo.nonzero()[:, 0]
        if not len(rows):
            break
        aim = x[rows] - size[rows, None] * direction[:, rows]
        landed = model.decode(model.encode(aim))
        landed = torch.where(used[:, rows, None], landed, 0.0)
        new = (gamma[:, rows, None] * landed).sum(0)
        fine = new.isfinite().all(-1)
        new = torch.where(fine[:, None], new, x[rows])
        there = evaluated(objective, new)
        enough = there <= values[rows] - _SUFFICIENT * size[rows] * promise[rows]
        fine &= enough & (_log_weight(model, new) >= lowest[rows])
        for constraint in constraints:
            fine &= evaluated(constraint, new) <= 0
        taken = rows[fine]
        x[taken], values[taken] = new[fine], there[fine]
        size[taken] *= _GROWTH
        size[rows[~fine]] /= 2
        todo[taken] = False
        moved |= bool(len(taken))
    return size, x, values, moved
