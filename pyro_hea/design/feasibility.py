"""Whether a region holds any alloy at all, by mixed-integer linear programming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.bounds import TOLERANCE, Near, Sum

if TYPE_CHECKING:
    from pyro_hea.design.region import Region

_SECONDS = 5.0
"""Time for the search for one alloy; what it does not settle is left to the sampling."""

_CONTINUOUS = 1e-6
"""Steps smaller than this are not counted one by one."""


def holds_an_alloy(region: Region, minimum: float, step: float) -> bool:
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
    fewest, most = region.amounts(minimum, step)
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
