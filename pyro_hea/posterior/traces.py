"""Traces of the program: draws from the guide and their log densities by guide and model.

Each alloy is scored by itself. Sites that all alloys share (coefficients of an expert prior, the
reliability of reports) are fixed at the centre of the guide and not scored.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import pyro
import torch
from pyro import poutine

from pyro_hea.devices import unvalidated

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.model import AlloyModel

DRAWS_DIM = -3
"""Dimension of the plate of draws, outside members and alloys."""

_ROWS = 500_000
"""Draws made and scored at a time, over members and alloys."""

COMPOSITION = "composition"
"""The site that is observed."""


class WeightedDraws(NamedTuple):
    """Draws from the guide with their log weights.

    `sites` maps each target and `z` to (S, K, N, ...); `log_weight` is log p(x, y, z) - log q(y, z)
    of each draw, (S, K, N), in nats, where a label that is known is given and not drawn;
    `log_likelihood` is log p(x | y, z), (S, K, N).
    """

    sites: dict[str, Tensor]
    log_weight: Tensor
    log_likelihood: Tensor


@torch.no_grad()
def weighted_draws(model: AlloyModel, batch: AlloyBatch, draws: int) -> WeightedDraws:
    """Draw targets and latents from the guide; score them by model and guide.

    Parameters
    ----------
    model : AlloyModel
    batch : AlloyBatch
        With compositions, all of which are observed.
    draws : int
        S, of each member and alloy.

    Returns
    -------
    WeightedDraws
    """
    step = max(1, _ROWS // (model.members * len(batch)))
    counts = [min(step, draws - start) for start in range(0, draws, step)]
    parts = [_weighted_draws(model, batch, count) for count in counts]
    if len(parts) == 1:
        return parts[0]
    return WeightedDraws(
        {name: torch.cat([part.sites[name] for part in parts]) for name in parts[0].sites},
        torch.cat([part.log_weight for part in parts]),
        torch.cat([part.log_likelihood for part in parts]),
    )


def _weighted_draws(model: AlloyModel, batch: AlloyBatch, draws: int) -> WeightedDraws:
    with unvalidated():
        guide = poutine.trace(_of_alloys(model, model.guide, draws)).get_trace(batch)
        program = poutine.replay(_of_alloys(model, model.model, draws), trace=guide)
        joint = poutine.trace(program).get_trace(batch)
        shape = torch.Size((draws, model.members, len(batch)))
        sites: dict[str, Any] = dict(joint.nodes)
        names = (*model.spec.target_names, "z")
        return WeightedDraws(
            {n: sites[n]["value"].expand(*shape, *_event(sites[n]["value"], n)) for n in names},
            (_sum_log_prob(joint) - _sum_log_prob(guide)).expand(shape),
            _log_prob(sites[COMPOSITION]).expand(shape),
        )


def log_densities(model: AlloyModel, batch: AlloyBatch, z: Tensor) -> tuple[Tensor, Tensor]:
    """Log p(x, y, z) and log p(x | y, z) at given latents and targets.

    Parameters
    ----------
    model : AlloyModel
    batch : AlloyBatch
        With compositions and every label known.
    z : Tensor, shape (S, K, N, d)

    Returns
    -------
    joint, log_likelihood : Tensor, shape (S, K, N)
        In nats.
    """
    with unvalidated():
        program = poutine.condition(_of_alloys(model, model.model, len(z)), data={"z": z})
        joint = poutine.trace(program).get_trace(batch)
        return _sum_log_prob(joint), _log_prob(dict(joint.nodes)[COMPOSITION])


def in_double_precision(model: AlloyModel, batch: AlloyBatch) -> tuple[AlloyModel, AlloyBatch]:
    """Copies in double precision, for differences of log densities of hundreds of nats."""
    double = batch.map(lambda t: t.double() if t.is_floating_point() else t)
    return deepcopy(model).double().requires_grad_(False), double


def vectorized(program: Callable[..., Any], draws: int) -> Callable[..., Any]:
    """The same program under a plate of draws."""

    def run(*args: Any) -> Any:
        with pyro.plate("draws", draws, dim=DRAWS_DIM):
            return program(*args)

    return run


def _of_alloys(model: AlloyModel, program: Callable[..., Any], draws: int) -> Callable[..., Any]:
    """`vectorized`, with what all alloys share fixed and hidden."""
    fixed = poutine.condition(vectorized(program, draws), data=model.centres)
    return poutine.block(fixed, hide=list(model.centres))


def _sum_log_prob(trace: Any) -> Tensor:
    """Sum of the log densities of a trace's sites, draw by draw and alloy by alloy."""
    nodes: dict[str, Any] = dict(trace.nodes)
    sites = [s for s in nodes.values() if s["type"] == "sample"]
    parts = [_log_prob(s) for s in sites if type(s["fn"]).__name__ != "_Subsample"]
    return torch.stack(torch.broadcast_tensors(*parts)).sum(0)


def _log_prob(site: Any) -> Tensor:
    value: Tensor = site["fn"].log_prob(site["value"])
    mask = site["mask"]
    if mask is None:
        return value
    return torch.where(torch.as_tensor(mask, device=value.device), value, torch.zeros_like(value))


def _event(value: Tensor, name: str) -> torch.Size:
    return value.shape[-1:] if name == "z" else torch.Size()
