"""Alloys drawn from the design posterior: checked, made distinct, and gathered."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from pyro_hea.design.chains import draw_chains
from pyro_hea.design.gathering import LIKELY, gather, likely_enough
from pyro_hea.design.guide import fitted_guide
from pyro_hea.design.objectives import ranked
from pyro_hea.design.problem import AGREEMENT, MINIMUM, STEP, Problem, check_count
from pyro_hea.design.program import (
    Candidates,
    candidates_at,
    concatenated,
    distinct,
    draw_distinct,
    log_factor,
)
from pyro_hea.design.result import DesignResult
from pyro_hea.design.tempering import populations
from pyro_hea.devices import seeded
from pyro_hea.errors import ConstraintError, DataError, DesignWarning
from pyro_hea.posterior.idata import load_arviz
from pyro_hea.posterior.psis import K_HAT_LIMIT, psis

if TYPE_CHECKING:
    from pyro_hea.design.constraints.base import Constraint
    from pyro_hea.design.wishes import Wish
    from pyro_hea.posterior import Ensemble

Method: TypeAlias = Literal["importance", "nuts", "svi"]

CHAINS, DRAWS, WARMUP = 4, 300, 40
"""Of NUTS, in each member."""

_SHORTEST = 4
"""Draws of a chain of which R-hat can be computed."""

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

LARGEST = 10_000
"""Designs at most."""

_RESERVE = 3
"""Distinct candidates wanted for each design that is returned."""


def sample_designs(
    ensemble: Ensemble,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    n: int,
    seed: int,
    method: Method = "importance",
    step: float = STEP,
    minimum: float = MINIMUM,
    agreement: float = AGREEMENT,
    conditions: Mapping[str, float] | None = None,
    min_probability: float | None = None,
    min_elements: int | None = None,
    tolerance: float | None = None,
    draws: int = DRAWS,
    warmup: int = WARMUP,
    chains: int = CHAINS,
) -> DesignResult:
    """Draw distinct alloys from the design posterior; of objectives, the best trade-offs.

    Parameters
    ----------
    ensemble : Ensemble
    targets : mapping of target to wish
        A binary target is 0 or 1; a class or level is named; a number has an inequality,
        `(">", 500)`, or a range, `(900, 1200)`. Objectives are "max" or "min": of a number, of
        the probability of a binary target, of a feature, or of "density" (g/cm³).
    constraints : sequence of Constraint
        All hold exactly on each alloy returned. Without a `Novel` among them designs are at
        least 2 at.% from every known alloy.
    n : int
        Alloys wanted, at most 10 000.
    seed : int
    method : {"importance", "nuts", "svi"}
        Importance sampling in small steps from the prior; Markov chains in every member; or
        draws of a fitted guide.
    step : float
        Fractions are multiples of it (0.5 at.% by default).
    minimum : float
        Elements below this fraction are dropped.
    agreement : float
        The power κ of the predicted probability. At 1 an alloy is as welcome as it is probable
        to be right; at a higher power the probable ones are preferred more. Objectives have the
        same weight: nats for a standard deviation of the known alloys.
    conditions : mapping of name to number, optional
        At which the wishes are to hold, such as `{"test_temperature_C": 800}`; those that the spec
        declares by default. The table is of these conditions.
    min_probability : float, optional
        Designs whose wishes hold with a lower probability are left out. By default all are
        returned, with a warning where some are less likely than not; 0 returns them without.
    min_elements : int, optional
        Fewest elements. By default three, unless constraints say how many or allow fewer.
    tolerance : float, optional
        Largest error of a fraction when an alloy is weighed, such as 0.005 for 0.5 at.%. It adds
        the column `all_wishes_within_tolerance`.
    draws, warmup, chains : int
        Of NUTS, in each member.

    Returns
    -------
    DesignResult
        The most probable first; with objectives, the Pareto set first.

    Raises
    ------
    UnknownTargetError, ConstraintError, UnknownElementError
    DataError
        For a method that does not exist, or chains too few or too short.

    Warns
    -----
    DesignWarning
        Where designs are less likely than not to meet the wishes, fewer than `n` were found,
        chains have not converged, or weights are not to be trusted.
    """
    check_count(n, seed)
    if n > LARGEST:
        raise ConstraintError(
            f"n={n:,} is not allowed: a design run returns at most {LARGEST:,} alloys; "
            "screen() ranks larger numbers of compositions in bounded memory"
        )
    if method not in get_args(Method):
        raise DataError(f"there is no method {method!r}; allowed: 'importance', 'nuts', 'svi'")
    if method == "nuts" and (chains < 2 or draws < _SHORTEST or warmup < 1):
        raise DataError(
            f"chains={chains}, draws={draws}, warmup={warmup} is not allowed; NUTS needs at least "
            f"2 chains of {_SHORTEST} draws after 1 of warm-up"
        )
    problem = Problem.of(
        ensemble,
        targets,
        constraints,
        step=step,
        minimum=minimum,
        agreement=agreement,
        conditions=conditions,
        min_elements=min_elements,
        tolerance=tolerance,
        with_objectives=method == "importance",
    )
    with seeded(seed):
        if method == "importance":
            drawn = _by_importance(problem, n)
        elif method == "svi":
            drawn = _by_svi(problem, n)
        else:
            longer = max(draws, -(-_RESERVE * n // (chains * ensemble.members)))
            drawn = _by_nuts(problem, chains=chains, draws=longer, warmup=warmup)
    candidates = drawn.candidates
    if problem.objectives:
        chosen = best_trade_offs(problem, candidates, n, min_probability)
    else:
        chosen = draw_distinct(candidates, n, seed)
    if len(chosen) == 0:
        shares = ", ".join(f"{name}: {share:.1%}" for name, share in candidates.holds.items())
        raise ConstraintError(
            f"none of {len(candidates.log_weight)} candidates satisfies every constraint. Share "
            f"that satisfies each: {shares}. Loosen the rarest"
        )
    faults = list(drawn.faults)
    if len(chosen) < n:
        faults.append(
            f"{len(chosen)} of {n} designs were found among {len(candidates.log_weight)} "
            "candidates; loosen the constraints or ask for fewer"
        )
    for fault in faults:
        warnings.warn(fault, DesignWarning, stacklevel=3)
    result = gather(
        problem,
        candidates.fractions[chosen],
        {**drawn.attributes, "seed": seed},
        latents={"z": candidates.z[chosen], "member": candidates.member[chosen]},
        sites=drawn.sites,
        best_first=not problem.objectives,
    )
    return likely_enough(result, min_probability)


def best_trade_offs(
    problem: Problem, candidates: Candidates, n: int, min_probability: float | None
) -> np.ndarray:
    """Positions of `n` distinct alloys, those that no other beats in the objectives first.

    Those that meet the wishes with `min_probability`, or more likely than not, come before others.
    """
    rows = distinct(candidates)
    if not len(rows):
        return rows
    x = candidates.fractions[rows]
    scores = np.stack([objective.scores(x) for objective in problem.objectives], -1)
    least = LIKELY if min_probability is None else min_probability
    enough = problem.probability(x).mean(0) >= least
    groups = [np.flatnonzero(enough), np.flatnonzero(~enough)]
    order = np.concatenate([group[ranked(scores[group], n)] for group in groups])
    return rows[order[:n]]


class _Sample(NamedTuple):
    """Candidates, how they were found, what to warn of, and for chains their sites by group."""

    candidates: Candidates
    attributes: dict[str, Any]
    faults: Sequence[str] = ()
    sites: dict[str, dict[str, np.ndarray]] | None = None


def _by_importance(problem: Problem, n: int) -> _Sample:
    """Populations of tempered particles, until there are enough distinct ones."""
    ensemble = problem.ensemble
    wanted = min(_CANDIDATES, max(_FEWEST, _PER_DESIGN * n))
    size = max(4, -(-max(wanted, _RESERVE * n) // ensemble.members))
    dim = problem.dim
    found: list[Candidates] = []
    different, before = 0, -1
    with torch.no_grad():
        particles = populations(
            lambda u: log_factor(problem, u.to(ensemble.device)).cpu(),
            ensemble.members,
            size,
            dim,
        )
        while len(found) < _ROUNDS and before < different < _RESERVE * n:
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
    return _Sample(everything, attributes)


def _by_svi(problem: Problem, n: int) -> _Sample:
    """Draws of a fitted guide, rounded and weighted by the posterior itself."""
    guide = fitted_guide(problem)
    size = max(_GUIDED, _GUIDED_PER_DESIGN * n) // problem.ensemble.members
    u = guide.sample(torch.Size([size]))
    prior = Normal(0.0, 1.0).log_prob(u).sum(-1)
    found = _weighted(problem, u.transpose(0, 1), (prior - guide.log_prob(u)).T)
    return found._replace(attributes={"inference": "svi", **found.attributes})


def _weighted(problem: Problem, u: Tensor, log_ratio: Tensor) -> _Sample:
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
        return _Sample(candidates, attributes)
    fault = (
        f"the weights of the designs are not to be trusted: Pareto k is {k_hat[0]:.2f}, above "
        f"{K_HAT_LIMIT}. Ask for more draws, lower agreement, or take method='importance'"
    )
    return _Sample(candidates, attributes, [fault])


def _by_nuts(problem: Problem, *, chains: int, draws: int, warmup: int) -> _Sample:
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
    return _Sample(candidates, attributes, faults, sites)


def convergence(z: np.ndarray) -> tuple[float, float]:
    """Largest R-hat and smallest bulk ESS of any coordinate of any member, z (C, draws, K, d)."""
    arviz = load_arviz()
    columns = z.reshape(*z.shape[:2], -1)
    each = [columns[..., i] for i in range(columns.shape[-1])]
    return max(float(arviz.rhat(x)) for x in each), min(float(arviz.ess(x)) for x in each)
