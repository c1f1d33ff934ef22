"""Whether constraints leave any alloy: by counting, and by mixed-integer linear programming.

A clash is refused before anything is sampled, naming the constraints that cause it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.design.constraints.base import Constraint
from pyro_hea.design.region import TOLERANCE, Near, Region, Sum
from pyro_hea.errors import ConstraintError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_SECONDS = 5.0
"""Time for the search for one alloy; what it does not settle is left to the sampling."""

_CONTINUOUS = 1e-6
"""Steps smaller than this are not counted one by one."""


def feasible_region(
    constraints: Sequence[Constraint],
    elements: Sequence[str],
    min_fraction: float = 0.0,
    step: float = TOLERANCE,
    *,
    known: NDArray[np.float64] | None = None,
    properties: pd.DataFrame | None = None,
) -> Region:
    """The region that all constraints leave.

    Parameters
    ----------
    constraints : sequence of Constraint
    elements : sequence of str
        Elements of the model.
    min_fraction : float
        Smallest fraction of an element that is present.
    step : float
        Fractions are multiples of it; by default it is so small that they may be anything.
    known : ndarray, shape (M, E), optional
    properties : DataFrame, shape (E, P), optional
        Without them bounds on features are checked alloy by alloy and not beforehand.

    Raises
    ------
    ConstraintError
        Where they leave nothing, naming those that clash.
    UnknownElementError
        For an element that the model was not trained on.
    """
    constraints = checked_constraints(constraints)
    count = len(elements)
    everything = Region(
        tuple(elements),
        np.zeros(count),
        np.ones(count),
        np.zeros(count, bool),
        known=np.zeros((0, count)) if known is None else known,
        properties=properties,
    )
    region = _tightened(everything, constraints)
    fault = _fault(region, min_fraction, step)
    if fault is None:
        return region
    clash = list(constraints)
    for constraint in constraints:  # leave out those that the others clash without
        rest = [other for other in clash if other is not constraint]
        if still := _fault(_tightened(everything, rest), min_fraction, step):
            clash, fault = rest, still
    raise ConstraintError(f"no alloy satisfies {', '.join(map(repr, clash))}: {fault}")


def checked_constraints(constraints: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """Constraints as a tuple, where each is one."""
    if isinstance(constraints, Constraint):
        raise ConstraintError(f"constraints are a sequence: write [{constraints!r}]")
    checked = tuple(constraints)
    for constraint in checked:
        if not isinstance(constraint, Constraint):
            raise ConstraintError(
                f"{constraint!r} is no constraint; use {', '.join(_names(Constraint))}"
            )
    return checked


def _tightened(region: Region, constraints: Iterable[Constraint]) -> Region:
    for constraint in constraints:
        region = constraint.tighten(region)
    return region


def _fault(region: Region, min_fraction: float, step: float) -> str | None:
    """Why no alloy lies in the region, or None where one does."""
    units = round(1 / step)
    fewest, most = region.amounts(min_fraction, step)
    must, may = region.must, fewest <= most
    if (must & (region.upper <= 0)).any():
        return "a required element is not allowed"
    if (region.lower > region.upper + TOLERANCE).any():
        return "a lower bound is above the upper"
    if (must & ~may).any():
        return (
            "the bounds of a required element hold no fraction to round to (at "
            f"least {min_fraction:g}, in steps of {step:g})"
        )
    if region.min_elements > region.max_elements:
        return "the smallest number of elements is above the largest"
    if must.sum() > region.max_elements:
        return "more elements are required than may be present"
    if may.sum() < region.min_elements:
        return "fewer elements are allowed than must be present"
    # With so many elements, those with the largest upper bounds reach furthest; the lower
    # bounds of all that need not be present are the same.
    last = min(region.max_elements, int(may.sum()))
    order = np.lexsort((-most, ~may, ~must))[:last]
    first = max(region.min_elements, int(must.sum())) - 1
    bottom, top = fewest[order].cumsum()[first:], most[order].cumsum()[first:]
    if top[-1] < units:
        return "the upper bounds do not add up to 100 at.%"
    if bottom[0] > units:
        return "the lower bounds and smallest fractions add up to more than 100 at.%"
    if not ((bottom <= units) & (units <= top)).any():
        return "the upper bounds of few elements and the lower of more both miss 100 at.%"
    if region.linear and not _holds_an_alloy(region, min_fraction, step):
        return (
            "no amounts within the bounds of the elements satisfy those on sums, ratios and "
            "distances"
        )
    return None


def _holds_an_alloy(region: Region, min_fraction: float, step: float) -> bool:
    """Whether a mixed-integer linear programme finds an alloy in the region.

    Its variables are the amount of each element, whether it is present, and for each distance
    by how much each element differs.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # takes long to import

    count = len(region.elements)
    near = [bound for bound in region.linear if isinstance(bound, Near)]
    sums = [bound for bound in region.linear if isinstance(bound, Sum)]
    whole = step > _CONTINUOUS
    unit = step if whole else 1.0
    total = round(1 / unit)
    fewest, most = region.amounts(min_fraction, step)
    eye, no = np.eye(count), np.zeros((count, count))
    blank = [no] * len(near)
    ones, zero = np.ones(count), np.zeros(count)
    scale = 1.0 if whole else step
    rows = [
        LinearConstraint(np.r_[ones, np.zeros(count * (1 + len(near)))], total, total),
        LinearConstraint(
            np.r_[zero, ones, np.zeros(count * len(near))],
            region.min_elements,
            min(region.max_elements, count),
        ),
        LinearConstraint(np.hstack([eye, -np.diag(fewest * scale), *blank]), 0, np.inf),
        LinearConstraint(np.hstack([eye, -np.diag(most * scale), *blank]), -np.inf, 0),
    ]
    for row in sums:
        size = np.abs(row.weights).max() or 1.0
        weights = np.r_[row.weights * unit / size, np.zeros(count * (1 + len(near)))]
        low, high = row.low / size - TOLERANCE, row.high / size + TOLERANCE
        rows.append(LinearConstraint(weights, low, high))
    for i, bound in enumerate(near):
        own = [eye if i == j else no for j in range(len(near))]
        rows += [
            LinearConstraint(np.hstack([unit * eye, no, *own]), bound.centre, np.inf),
            LinearConstraint(
                np.hstack([unit * eye, no, *(-block for block in own)]), -np.inf, bound.centre
            ),
            LinearConstraint(
                np.r_[zero, zero, *(ones if i == j else zero for j in range(len(near)))],
                0,
                2 * bound.distance + TOLERANCE,
            ),
        ]
    present = np.where(fewest <= most, 1.0, 0.0)
    found = milp(
        np.zeros(count * (2 + len(near))),
        integrality=np.r_[np.full(count, int(whole)), ones, np.zeros(count * len(near))],
        bounds=Bounds(
            np.r_[zero, region.must.astype(float), np.zeros(count * len(near))],
            np.r_[most * scale, present, np.full(count * len(near), 2.0)],
        ),
        constraints=rows,
        options={"time_limit": _SECONDS},
    )
    return bool(found.status != 2)  # infeasible; the others are solved or not settled


def _names(kind: Any) -> list[str]:
    """Names of the public constraints."""
    below = [name for sub in kind.__subclasses__() for name in _names(sub)]
    own = [] if kind is Constraint or kind.__name__.startswith("_") else [kind.__name__]
    return sorted({*own, *below})
