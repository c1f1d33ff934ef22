"""The design posterior as a Pyro program, and alloys drawn from it.

    π(z) ∝ p(z) q(y* | φ(x(z)))^κ C(x(z)),    x(z) = decode(z, y*)

A member is as probable as any other; z lives in its space and is decoded by it. Agreement is the
mean over all members of the probability that every wish holds, and is asked of the alloy as one
would weigh it in, never of the decoded composition before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.distributions import Normal
from torch import Tensor

from pyro_hea.design.problem import AGREEMENT, MINIMUM, STEP, Problem
from pyro_hea.design.result import DesignResult, gather
from pyro_hea.design.rounding import weigh_in
from pyro_hea.design.tempering import populations
from pyro_hea.design.told import drawn_targets, told
from pyro_hea.design.wishes import probability
from pyro_hea.errors import ConstraintError, DesignWarning
from pyro_hea.model import ALLOYS_DIM, MEMBERS_DIM

if TYPE_CHECKING:
    from pyro_hea.design.region import Constraint
    from pyro_hea.design.wishes import Wish
    from pyro_hea.posterior import Ensemble

_SOFTNESS = 0.1
"""Total variation by which a decoded composition may miss the constraints before it is unlikely."""

_IMPOSSIBLE = -1e3
"""Logarithm of the weight of what cannot be weighed in; finite, so that tempering finds a way."""

_CANDIDATES = 4096
"""Candidates in a population, where many designs are wanted."""

_FEWEST, _PER_DESIGN = 1024, 16
"""Candidates where few are, and for each design in between."""

_ROUNDS = 12
"""Populations at most."""

_RESERVE = 3
"""Distinct candidates wanted for each design that is returned."""


class Candidates(NamedTuple):
    """Alloys as weighed in, with the logarithm of their weights."""

    z: np.ndarray
    fractions: np.ndarray
    log_weight: np.ndarray
    member: np.ndarray
    holds: dict[str, float]


def design_program(problem: Problem, draws: int) -> Tensor:
    """Sites `z` and `composition`, factors `agreement` and `constraints`; gives (K, draws, E).

    What no wish settles of a target is drawn as a function of a normal site, `<target>_coin`.
    """
    ensemble, model = problem.ensemble, problem.ensemble.model
    with (
        pyro.plate("members", ensemble.members, dim=MEMBERS_DIM),
        pyro.plate("designs", draws, dim=ALLOYS_DIM),
    ):
        z = pyro.sample("z", model.latent_prior())
        coins = {
            name: pyro.sample(f"{name}_coin", Normal(z.new_zeros(()), 1.0))
            for name in drawn_targets(problem)
        }
        values = told(problem, coins, z)
        for name in coins:
            pyro.deterministic(name, values[name])
        decoded = ensemble.decode(z, values)
        alloys, possible = _weighed_in(decoded, problem)
        composition = pyro.deterministic("composition", alloys, event_dim=1)
        flat = composition.flatten(0, 1)
        features = ensemble.feature_map(flat).to(decoded.dtype)
        # every member judges every alloy
        agreement = probability(ensemble, features, problem.targets).mean(0).double().log()
        pyro.factor("agreement", problem.agreement * agreement.view(possible.shape))
        missed = (decoded - composition).abs().sum(-1) / 2 / _SOFTNESS
        cost = torch.tensor(problem.cost(flat.cpu().numpy())).to(missed)
        welcome = -missed - cost.view(possible.shape)
        pyro.factor("constraints", welcome.where(possible, _IMPOSSIBLE))
    return composition


def latents(problem: Problem, u: Tensor) -> dict[str, Tensor]:
    """Values of the normal sites where standard normal coordinates u (K, n, D) put them."""
    mean, sd = problem.ensemble.latent_moments
    z, coins = u.split([mean.shape[-1], u.shape[-1] - mean.shape[-1]], -1)
    names = drawn_targets(problem)
    sites = {f"{name}_coin": coin for name, coin in zip(names, coins.unbind(-1), strict=True)}
    return {"z": mean[:, None] + sd[:, None] * z, **sites}


@torch.no_grad()
def run_program(problem: Problem, u: Tensor) -> dict[str, Any]:
    """Sites of the program with its normal sites at u (K, n, D)."""
    program = poutine.condition(design_program, data=latents(problem, u))
    return dict(poutine.trace(program).get_trace(problem, u.shape[1]).nodes)


def log_factor(problem: Problem, u: Tensor) -> Tensor:
    """Logarithm of what multiplies a standard normal prior of u (K, n, D), (K, n).

    Both factors, and by how much the prior of z differs from a normal with its moments.
    """
    sites = run_program(problem, u)
    _, sd = problem.ensemble.latent_moments
    z, prior = sites["z"]["value"], sites["z"]["fn"]
    normal = Normal(0.0, 1.0).log_prob(u[..., : z.shape[-1]]).sum(-1) - sd.log().sum(-1)[:, None]
    factors = sum(sites[name]["fn"].log_factor for name in ("agreement", "constraints"))
    return (factors + prior.log_prob(z) - normal).cpu()


def sample_designs(
    ensemble: Ensemble,
    targets: Mapping[str, Wish],
    constraints: Sequence[Constraint] = (),
    *,
    n: int,
    seed: int,
    step: float = STEP,
    minimum: float = MINIMUM,
    agreement: float = AGREEMENT,
) -> DesignResult:
    """Draw distinct alloys from the design posterior.

    Parameters
    ----------
    ensemble : Ensemble
    targets : mapping of target to wish
        A binary target is 0 or 1; a class or level is named; a number has an inequality,
        `(">", 500)`, or a range, `(900, 1200)`.
    constraints : sequence of Constraint
        All hold exactly on each alloy returned. Without a `Novel` among them designs are at
        least 2 at.% from every known alloy.
    n : int
        Alloys wanted.
    seed : int
    step : float
        Fractions are multiples of it (0.5 at.% by default).
    minimum : float
        Elements below this fraction are dropped.
    agreement : float
        The power κ of the predicted probability. At 1 an alloy is as welcome as it is probable
        to be right; a higher power insists.

    Returns
    -------
    DesignResult
        The most probable first.

    Raises
    ------
    UnknownTargetError, ConstraintError, UnknownElementError

    Warns
    -----
    DesignWarning
        Where fewer than `n` alloys were found.
    """
    if n < 1:
        raise ConstraintError(f"n={n} is not allowed; ask for at least one design")
    problem = Problem.of(
        ensemble, targets, constraints, step=step, minimum=minimum, agreement=agreement
    )
    candidates, attributes = _temper(problem, n, seed)
    chosen = draw_distinct(candidates, n, seed)
    if len(chosen) == 0:
        shares = ", ".join(f"{name}: {share:.1%}" for name, share in candidates.holds.items())
        raise ConstraintError(
            f"none of {len(candidates.log_weight)} candidates satisfies every constraint. Share "
            f"that satisfies each: {shares}. Loosen the rarest"
        )
    if len(chosen) < n:
        warnings.warn(
            f"{len(chosen)} of {n} designs were found among {len(candidates.log_weight)} "
            "candidates; loosen the constraints or ask for fewer",
            DesignWarning,
            stacklevel=3,
        )
    latents_of_chosen = {"z": candidates.z[chosen], "member": candidates.member[chosen]}
    return gather(
        problem,
        candidates.fractions[chosen],
        {**attributes, "seed": seed},
        latents=latents_of_chosen,
    )


def _temper(problem: Problem, n: int, seed: int) -> tuple[Candidates, dict[str, Any]]:
    """Populations of tempered particles, until there are enough distinct ones."""
    ensemble = problem.ensemble
    wanted = min(_CANDIDATES, max(_FEWEST, _PER_DESIGN * n))
    size = max(4, -(-max(wanted, _RESERVE * n) // ensemble.members))
    dim = ensemble.spec.latent.dim + len(drawn_targets(problem))
    cuda = [ensemble.device] if ensemble.device.type == "cuda" else []
    found: list[Candidates] = []
    distinct, before = 0, -1
    with torch.random.fork_rng(cuda):
        torch.manual_seed(seed)
        particles = populations(
            lambda u: log_factor(problem, u.to(ensemble.device)), ensemble.members, size, dim
        )
        while len(found) < _ROUNDS and before < distinct < _RESERVE * n:
            population = next(particles)
            weight = (population.log_weight - np.log(size))[:, None].expand(-1, size).flatten()
            found.append(candidates_at(problem, population.u, weight.numpy()))
            before, distinct = distinct, len(_distinct(joined(found)))
    everything = joined(found)
    family = population.ancestor + size * torch.arange(ensemble.members)[:, None]
    share = torch.zeros(family.numel(), dtype=torch.double)
    share.index_add_(0, family.flatten(), weight.exp())
    return everything, {
        "inference": "importance",
        "candidates": len(everything.log_weight),
        "discarded": float(np.mean(np.isneginf(everything.log_weight))),
        "effective_sample_size": float(1 / share.square().sum()),
    }


def candidates_at(problem: Problem, u: Tensor, log_weight: np.ndarray) -> Candidates:
    """The alloys at u (K, n, D), without weight where they fail a constraint."""
    sites = run_program(problem, u.to(problem.ensemble.device))
    z, fractions = (
        sites[name]["value"].flatten(0, 1).double().cpu().numpy() for name in ("z", "composition")
    )
    possible = sites["constraints"]["fn"].log_factor.flatten().cpu().numpy() > _IMPOSSIBLE
    each = problem.holds(fractions)
    held = np.all([possible, *each.values()], axis=0)
    return Candidates(
        z,
        fractions,
        np.where(held, log_weight, -np.inf),
        np.repeat(np.arange(u.shape[0]), u.shape[1]),
        {name: float((ok & possible).mean()) for name, ok in each.items()},
    )


def joined(found: Sequence[Candidates]) -> Candidates:
    """Populations together; the shares that satisfy each constraint are those of the last."""
    return Candidates(
        np.concatenate([c.z for c in found]),
        np.concatenate([c.fractions for c in found]),
        np.concatenate([c.log_weight for c in found]),
        np.concatenate([c.member for c in found]),
        found[-1].holds,
    )


def _weighed_in(decoded: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
    flat = decoded.double().cpu().numpy().reshape(-1, decoded.shape[-1])
    alloys, possible = weigh_in(flat, problem.region, problem.step, problem.minimum)
    return (
        torch.tensor(alloys, device=decoded.device).view(decoded.shape),
        torch.tensor(possible, device=decoded.device).view(decoded.shape[:-1]),
    )


def _distinct(candidates: Candidates) -> np.ndarray:
    """Positions of the first of each distinct alloy that may be returned."""
    finite = np.flatnonzero(np.isfinite(candidates.log_weight))
    _, first = np.unique(candidates.fractions[finite].round(6), axis=0, return_index=True)
    return finite[first]


def draw_distinct(candidates: Candidates, n: int, seed: int) -> np.ndarray:
    """Positions of `n` distinct alloys, drawn by weight without replacement (Gumbel top-n)."""
    finite = np.flatnonzero(np.isfinite(candidates.log_weight))
    noise = np.random.default_rng(seed).gumbel(size=len(candidates.log_weight))
    order = finite[np.argsort(-(candidates.log_weight + noise)[finite], kind="stable")]
    _, first = np.unique(candidates.fractions[order].round(6), axis=0, return_index=True)
    return order[np.sort(first)][:n]
