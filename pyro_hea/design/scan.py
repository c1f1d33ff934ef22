"""What one member decodes along a path between two alloys, or on a grid of its latent space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_hea.design.decoder_targets import decoder_targets, drawn_targets
from pyro_hea.design.gathering import gather
from pyro_hea.design.problem import MINIMUM, STEP, Problem
from pyro_hea.design.result import DesignResult
from pyro_hea.design.rounding import round_compositions
from pyro_hea.errors import ConstraintError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.wishes import Wish
    from pyro_hea.materials.alloys.amounts import Alloys
    from pyro_hea.posterior import Ensemble

LARGEST = 40_000
"""Points at most, 200 by 200."""


def scan(
    ensemble: Ensemble,
    alloys: Alloys | None,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    points: int | None = None,
    member: int = 0,
    axes: tuple[int, int] = (0, 1),
    extent: float = 2.5,
    centre: Alloys | None = None,
    step: float = STEP,
    min_fraction: float = MINIMUM,
) -> DesignResult:
    """Decode the path between two alloys, or without them a grid of a plane of z.

    `axes`, `extent` and `centre` are of a grid. There are 21 `points` along a path and 11 along
    each side of a grid by default. See `scan_path` and `scan_grid`.
    """
    how: dict[str, Any] = {"member": member, "step": step, "min_fraction": min_fraction}
    if alloys is not None:
        how |= {"points": 21 if points is None else points}
        return scan_path(ensemble, alloys, targets, constraints, **how)
    how |= {"points": 11 if points is None else points}
    how |= {"axes": axes, "extent": extent, "centre": centre}
    return scan_grid(ensemble, targets, constraints, **how)


def scan_path(
    ensemble: Ensemble,
    alloys: Alloys,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    points: int = 21,
    member: int = 0,
    step: float = STEP,
    min_fraction: float = MINIMUM,
) -> DesignResult:
    """Decode the straight line between two alloys in the latent space of a member.

    Parameters
    ----------
    ensemble : Ensemble
    alloys : two alloys of the training elements
        Where the path begins and ends; the ends are what the member reconstructs of them.
    targets : mapping of target to wish
        Held along the whole path.
    constraints : sequence of Constraint
        Points that fail one are left out.
    points : int
    member : int
    step, min_fraction : float
        As of `sample_designs`.

    Returns
    -------
    DesignResult
        The alloys in the order of the path. The trail has every point, with `t` from 0 to 1.

    Raises
    ------
    DataError
        For other than two alloys, or fewer than two points.
    """
    problem = _problem(ensemble, targets, constraints, step, min_fraction)
    ensemble.check_member(member)
    _check_number(points)
    batch = ensemble.batch(alloys)
    if len(batch) != 2 or points < 2:
        raise DataError(f"a path has two ends and two points at least, not {len(batch)}, {points}")
    ends = ensemble.encode(batch)[member]
    t = torch.linspace(0, 1, points, device=ends.device)[:, None]
    return _decoded(problem, ends[0].lerp(ends[1], t), member, {"t": t[:, 0].cpu().numpy()})


def scan_grid(
    ensemble: Ensemble,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    axes: tuple[int, int] = (0, 1),
    extent: float = 2.5,
    points: int = 11,
    centre: Alloys | None = None,
    member: int = 0,
    step: float = STEP,
    min_fraction: float = MINIMUM,
) -> DesignResult:
    """Decode a square grid in a plane of the latent space of a member.

    Parameters
    ----------
    ensemble : Ensemble
    targets, constraints, member, step, min_fraction
        As of `scan_path`.
    axes : tuple of int
        The two latent coordinates that vary.
    extent : float
        Half the side of the grid, in prior standard deviations.
    points : int
        Points along each side.
    centre : one alloy, optional
        At the middle of the grid; the middle of the prior by default.

    Returns
    -------
    DesignResult
        The alloys row by row. The trail has every point, with both coordinates.
    """
    problem = _problem(ensemble, targets, constraints, step, min_fraction)
    dim = ensemble.spec.latent.dim
    ensemble.check_member(member)
    _check_number(points**2)
    if points < 1 or len(set(axes)) != 2 or not all(0 <= axis < dim for axis in axes):
        raise DataError(f"axes={axes} of {points} points: name two different of 0 to {dim - 1}")
    middle, scale = (moment[member] for moment in ensemble.latent_moments)
    if centre is not None:
        middle = ensemble.encode(ensemble.batch(centre))[member, 0]
    offsets = extent * torch.linspace(-1, 1, points, device=middle.device)
    a, b = torch.meshgrid(offsets, offsets, indexing="ij")
    z = middle.repeat(points**2, 1)
    z[:, axes[0]] += scale[axes[0]] * a.flatten()
    z[:, axes[1]] += scale[axes[1]] * b.flatten()
    named = {f"z{axis}": z[:, axis].cpu().numpy() for axis in axes}
    return _decoded(problem, z, member, named)


def _problem(
    ensemble: Ensemble,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint],
    step: float,
    min_fraction: float,
) -> Problem:
    return Problem.of(
        ensemble, targets, constraints, step=step, min_fraction=min_fraction, novelty=0.0
    )


def _check_number(points: int) -> None:
    if points > LARGEST:
        raise DataError(
            f"{points:,} points are too many: at most {LARGEST:,} are decoded at once; take fewer"
        )


def _decoded(
    problem: Problem, z: Tensor, member: int, where: Mapping[str, np.ndarray]
) -> DesignResult:
    ensemble = problem.ensemble
    every = z.expand(ensemble.members, *z.shape)
    middle = dict.fromkeys(drawn_targets(problem), every.new_zeros(every.shape[:-1]))
    decoded = ensemble.decode(every, decoder_targets(problem, middle, every))[member]
    alloys, possible = round_compositions(
        decoded.double().cpu().numpy(), problem.region, problem.step, problem.min_fraction
    )
    held = possible & problem.satisfied(alloys)
    if not held.any():
        raise ConstraintError(
            f"none of the {len(held)} points satisfies every constraint; loosen them"
        )
    latents = {"z": z[held].cpu().numpy(), "member": np.full(held.sum(), member)}
    attributes = {
        "inference": "scan",
        "candidates": len(held),
        "discarded": float(1 - held.mean()),
    }
    every_point = gather(problem, alloys, attributes, best_first=False).table.reset_index(drop=True)
    elements = list(ensemble.elements)
    trail = every_point[[*elements, "all_wishes"]].assign(**where, holds=held)
    trail.insert(0, "step", range(len(trail)))
    return gather(problem, alloys[held], attributes, latents=latents, trail=trail, best_first=False)
