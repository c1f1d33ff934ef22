"""Objectives of a descent, and data of an inverse problem: functions of points, checked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.errors import DataError, excerpt

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Objective: TypeAlias = Callable[[Tensor], Tensor]
"""From points (M, n) to one value each, (M,), by torch operations that have a gradient."""

_OPERATIONS = "Use torch operations on the points alone, without detach, item or numpy"


def misfit(operator: Callable[[Tensor], Tensor] | ArrayLike, data: ArrayLike) -> Objective:
    """The data term ‖A(x) − b‖² of an inverse problem, as an objective.

    Parameters
    ----------
    operator : matrix of shape (m, n), or callable
        A. A callable takes points (M, n) and gives (M, m).
    data : array of shape (m,)
        b.

    Raises
    ------
    DataError
        For data or a matrix of another shape or not finite; when it is called, for an operator that
        does not fit points and data.

    Examples
    --------
    >>> objective = misfit([[1.0, 0.0]], [2.0])
    >>> objective(torch.tensor([[0.5, 3.0]]))
    tensor([2.2500])
    """
    measured = _finite(data, 1, "the data", "(m,)")
    apply = operator if callable(operator) else _linear(operator)

    def objective(points: Tensor) -> Tensor:
        found = apply(points)
        if found.shape != (len(points), len(measured)):
            raise DataError(
                f"the operator gives {tuple(found.shape)} for {len(points)} points, which have "
                f"{len(measured)} data each; it has to give ({len(points)}, {len(measured)})"
            )
        return (found - measured.to(points)).square().sum(-1)

    return objective


def _linear(matrix: ArrayLike) -> Callable[[Tensor], Tensor]:
    if isinstance(matrix, pd.DataFrame) and not isinstance(matrix.columns, pd.RangeIndex):
        raise DataError(
            "the operator is a table, but its columns are not matched by name: give "
            "operator[list(atlas.columns)].to_numpy()"
        )
    rows = _finite(matrix, 2, "the rows of the operator", "(m, n)")

    def apply(points: Tensor) -> Tensor:
        if rows.shape[1] != points.shape[1]:
            raise DataError(
                f"the operator is a matrix of {rows.shape[1]} columns for points of "
                f"{points.shape[1]} coordinates; it has to have one for each"
            )
        return points @ rows.to(points).mT

    return apply


def _finite(values: ArrayLike, dims: int, what: str, shape: str) -> Tensor:
    """Values as a tensor in double precision, checked."""
    try:
        if np.iscomplexobj(values):
            raise TypeError("they are complex")
        array = np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} hold what is no number ({error})") from None
    if array.ndim != dims:
        raise DataError(f"{what} have shape {array.shape}; it has to be {shape}")
    if not np.isfinite(array).all():
        raise DataError(f"{what} hold a value that is not finite")
    return torch.tensor(array)


def named(function: Objective, what: str) -> Objective:
    """The same function, checked under a name of its own, as of a constraint."""
    return partial(evaluated, function, what=what)


def evaluated(objective: Objective, points: Tensor, what: str = "the objective") -> Tensor:
    """The objective at points (M, n), checked, (M,).

    Raises
    ------
    DataError
        For what is no function, for one of arrays of NumPy, and for a result that is no tensor of
        one finite value for each point.
    """
    if not callable(objective):
        raise DataError(
            f"{what} is {excerpt(objective)}; it has to be a function of a torch tensor (M, n)"
        )
    try:
        values = objective(points)
    except RuntimeError as error:
        if "requires grad" not in str(error):
            raise
        raise DataError(f"{what} is not differentiable: {_OPERATIONS}") from error
    if not isinstance(values, Tensor) or values.shape != (len(points),):
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise DataError(
            f"{what} gives {got} for {len(points)} points; it has to give a tensor of shape "
            f"({len(points)},), one value for each"
        )
    bad = (~values.isfinite()).nonzero()[:, 0]
    if len(bad):
        raise DataError(
            f"{what} is not finite at {len(bad)} of {len(points)} points, the first "
            f"{points[bad[0]].detach().numpy().round(4).tolist()}"
        )
    return values


def gradient(
    objective: Objective, points: Tensor, what: str = "the objective"
) -> tuple[Tensor, Tensor]:
    """Values (M,) and gradients (M, n) of an objective.

    Raises
    ------
    DataError
        For an objective that is not finite or not differentiable.
    """
    at = points.detach().requires_grad_()
    with torch.enable_grad():
        values = evaluated(objective, at, what)
        if not values.requires_grad:
            raise DataError(
                f"{what} is not differentiable: its result has no gradient. {_OPERATIONS}"
            )
        (slope,) = torch.autograd.grad(values.sum(), at)
    if not slope.isfinite().all():
        row = int((~slope.isfinite()).any(1).nonzero()[0])
        raise DataError(
            f"the gradient of {what} is not finite at "
            f"{points[row].detach().numpy().round(4).tolist()}"
        )
    return values.detach(), slope
