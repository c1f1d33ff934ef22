"""Three ways to sample a design posterior, each giving weighted candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from pyro_hea.design.chains import draw_chains
from pyro_hea.design.guide import fitted_guide
from pyro_hea.design.program import (
    Candidates,
    candidates_at,
    concatenated,
    distinct,
    log_factor,
)
from pyro_hea.design.tempering import populations
from pyro_hea.posterior.idata import load_arviz
from pyro_hea.posterior.psis import K_HAT_LIMIT, psis

if TYPE_CHECKING:
    from pyro_hea.design.problem import Problem

_MIXED, _ENOUGH = 1.01, 400
"""R-hat at most and bulk ESS at least, of every coordinate of every member."""

_GUIDED, _GUIDED_PER_DESIGN = 8192, 16
"""Draws of a guide, at least and for each design."""

_CANDIDATES = 4096
"""Candidates in a population, where many designs are wanted."""

_FEWEST, _PER_DESIGN = 1024, 16
"""Candidates where few are, and for each design in between."""

_ROUNDS = 12
"""Populations at most."""

RESERVE = 3
"""Distinct candidates wanted for each design that is returned."""


class Sample(NamedTuple):
    """Candidates, how they were found, what to warn of, and for chains their sites by group."""

    candidates: Candidates
    attributes: dict[str, Any]
    faults: Sequence[str] = ()
    sites: dict[str, dict[str, np.ndarray]] | None = None


def by_importance(problem: Problem, n: int) -> Sample:
    """Populations of tempered particles, until there are enough distinct ones."""
    ensemble = problem.ensemble
    wanted = min(_CANDIDATES, max(_FEWEST, _PER_DESIGN * n))
    size = max(4, -(-max(wanted, RESERVE * n) // ensemble.members))
    found: list[Candidates] = []
    different, before = 0, -1
    with torch.no_grad():
        particles = populations(
            lambda u: log_factor(problem, u.to(ensemble.device)).cpu(),
            ensemble.members,
            size,
            problem.dim,
        )
        while len(found) < _ROUNDS and before < different < RESERVE * n:
            population = next(particles)
            weight = (population.log_weight - np.log(size))[:, None].expand(-1, size).flatten()
            found.append(candidates_at(problem, population.u, weight.numpy()))
            before, different = different, len(distinct(concatenated(found)))
    everything = concatenated(found)
    family = population.ancestor + size * torch.arange(ensemble.members)[:, None]
    share = torch.zeros(family.numel(), dtype=torch.double)
    share.index_add_(0, family.flatten(), weight.exp())
    attributes = {
        "inference": "importance",
        "candidates": len(everything.log_weight),
        "discarded": float(np.mean(np.isneginf(everything.log_weight))),
        "effective_sample_size": float(1 / share.square().sum()),
    }
    return Sample(everything, attributes)


def by_svi(problem: Problem, n: int) -> Sample:
    """Draws of a fitted guide, rounded and weighted by the posterior itself."""
    guide = fitted_guide(problem)
    size = max(_GUIDED, _GUIDED_PER_DESIGN * n) // problem.ensemble.members
    u = guide.sample(torch.Size([size]))
    prior = Normal(0.0, 1.0).log_prob(u).sum(-1)
    found = _weighted(problem, u.transpose(0, 1), (prior - guide.log_prob(u)).T)
    return found._replace(attributes={"inference": "svi", **found.attributes})


def _weighted(problem: Problem, u: Tensor, log_ratio: Tensor) -> Sample:
    """Alloys at u (K, n, D), by Pareto-smoothed weights, and how far these are to be trusted.

    `log_ratio` (K, n) is the prior over what the draws are from; the factors are added.
    """
    like = problem.ensemble.model.embedding.edges
    with torch.no_grad():
        ratio = log_factor(problem, u.to(like)).double().cpu() + log_ratio
    weight, k_hat = psis(ratio.flatten().numpy()[:, None])
    with np.errstate(divide="ignore"):
        candidates = candidates_at(problem, u.to(like), np.log(weight[:, 0]))
    attributes = {
        "candidates": len(weight),
        "discarded": float(np.isneginf(candidates.log_weight).mean()),
        "effective_sample_size": float(1 / np.square(weight).sum()),
        "k_hat": float(k_hat[0]),
    }
    if k_hat[0] <= K_HAT_LIMIT:
        return Sample(candidates, attributes)
    fault = (
        f"the weights of the designs are not to be trusted: Pareto k is {k_hat[0]:.2f}, above "
        f"{K_HAT_LIMIT}. Ask for more draws, lower agreement, or take method='importance'"
    )
    return Sample(candidates, attributes, [fault])


def by_nuts(problem: Problem, *, chains: int, draws: int, warmup: int) -> Sample:
    """Chains of the relaxed posterior, rounded and weighted by the posterior itself."""
    found = draw_chains(problem, chains=chains, draws=draws, warmup=warmup)
    u = found.u.flatten(0, 1).transpose(0, 1)  # (K, C * draws, D)
    relaxed = found.log_factor.flatten(0, 1).T
    candidates, attributes, faults, _ = _weighted(problem, u, found.log_evidence[:, None] - relaxed)

    def of_chains(flat: np.ndarray) -> np.ndarray:
        """From (K * C * draws, ...) to (C, draws, K, ...)."""
        return np.moveaxis(flat.reshape(-1, chains, draws, *flat.shape[1:]), 0, 2)

    z = of_chains(candidates.z)
    r_hat, ess = convergence(z)
    attributes = {
        "inference": "nuts",
        "chain_is": "Markov chain",
        **attributes,
        "r_hat": r_hat,
        "bulk_ess": ess,
        "diverging": int(found.diverging.sum()),
    }
    if r_hat > _MIXED or ess < _ENOUGH:
        mixing = (
            f"the chains have not mixed: R-hat is {r_hat:.3f} (at most {_MIXED} is good) and the "
            f"bulk ESS {ess:.0f} (at least {_ENOUGH}). Raise draws above {draws}, lower agreement, "
            "or take method='importance'"
        )
        faults = [*faults, mixing]
    sites = {
        "posterior": {"z": z, "composition": of_chains(candidates.fractions)},
        "sample_stats": {
            "diverging": found.diverging.numpy(),
            "log_weight": of_chains(candidates.log_weight),
            "step_size": found.step_size.expand(found.diverging.shape).numpy(),
        },
    }
    return Sample(candidates, attributes, faults, sites)


def convergence(z: np.ndarray) -> tuple[float, float]:
    """Largest R-hat and smallest bulk ESS of any coordinate of any member, z (C, draws, K, d)."""
    arviz = load_arviz()
    columns = z.reshape(*z.shape[:2], -1)
    each = [columns[..., i] for i in range(columns.shape[-1])]
    return max(float(arviz.rhat(x)) for x in each), min(float(arviz.ess(x)) for x in each)
