"""The design posterior as a Pyro program, and its draws as alloys.

    π(z) ∝ p(z) q(y* | φ(x(z)))^κ C(x(z)),    x(z) = decode(z, y*)

A member is as probable as any other; z lives in its space and is decoded by it. Agreement is the
mean over all members of the probability that every wish holds, predicted for the rounded
composition, not for the decoded one before rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.distributions import Normal
from torch import Tensor

from pyro_hea.design.decoder_targets import decoder_targets, drawn_targets
from pyro_hea.design.rounding import round_compositions
from pyro_hea.design.wishes import probability
from pyro_hea.program.targets import ALLOYS_DIM, MEMBERS_DIM

if TYPE_CHECKING:
    from pyro_hea.design.problem import Problem

Program: TypeAlias = Callable[["Problem", int], Tensor]
"""Of a problem and a number of draws; it has the sites and factors of `design_program`."""

_ATOMS, _SHAPE = 100.0, 5.0
"""Mean and shape of the gamma distribution of how many atoms of an alloy are counted."""

_TRACE = 1e-5
"""Decoded fractions are taken to be at least this."""

_WEIGHT_SPREAD = 2.0
"""Standard deviation of the logits of the weights of objectives."""

_IMPOSSIBLE = -1e4
"""Log weight where no rounded composition exists; finite, so that tempering can start there."""


class Candidates(NamedTuple):
    """Rounded compositions with the logarithm of their weights."""

    z: np.ndarray
    fractions: np.ndarray
    log_weight: np.ndarray
    member: np.ndarray
    holds: dict[str, float]


def design_program(problem: Problem, draws: int) -> Tensor:
    """Sites `z` and `composition`, factors `agreement`, `objectives` and `constraints`.

    Gives the compositions, (K, draws, E).

    A target that no wish fixes is drawn as a function of a normal site, `<target>_noise`.
    """
    with plates(problem, draws):
        decoded = decoded_sites(problem)
        alloys, possible = _rounded(decoded, problem)
        composition = pyro.deterministic("composition", alloys, event_dim=1)
        flat = composition.flatten(0, 1)
        features = problem.ensemble.feature_map(flat).to(decoded.dtype)
        agreement_factor(problem, features, possible.shape)
        objectives_factor(problem, flat, possible.shape)
        penalty = misfit(decoded, composition)
        cost = torch.tensor(problem.cost(flat.cpu().numpy())).to(penalty)
        log_density = -penalty - cost.view(possible.shape)
        pyro.factor("constraints", log_density.where(possible, _IMPOSSIBLE))
    return composition


@contextmanager
def plates(problem: Problem, draws: int) -> Iterator[None]:
    """Members and draws in each of them."""
    with (
        pyro.plate("members", problem.ensemble.members, dim=MEMBERS_DIM),
        pyro.plate("designs", draws, dim=ALLOYS_DIM),
    ):
        yield


def decoded_sites(problem: Problem) -> Tensor:
    """Draw z and the targets that no wish fixes, and decode them, (K, draws, E)."""
    model = problem.ensemble.model
    z = pyro.sample("z", model.latent_prior())
    noise = {
        name: pyro.sample(f"{name}_noise", Normal(z.new_zeros(()), 1.0))
        for name in drawn_targets(problem)
    }
    values = decoder_targets(problem, noise, z)
    for name in noise:
        pyro.deterministic(name, values[name])
    return model.likelihood(z, values).typical


def agreement_factor(problem: Problem, features: Tensor, shape: torch.Size) -> None:
    """The power of the probability that all wishes hold; every member judges every alloy."""
    q = (
        probability(problem.ensemble, features, problem.targets, problem.conditions)
        .mean(0)
        .double()
    )
    pyro.factor("agreement", problem.agreement * q.log().view(shape))


def objectives_factor(problem: Problem, alloys: Tensor, shape: torch.Size) -> None:
    """Weighted sum of the objectives, by weights that are drawn with each design.

    An objective better by a standard deviation of the known alloys, at a weight of 1, is worth
    `agreement` nats. The weights are a softmax of normal sites.
    """
    if not problem.objectives:
        return
    x = alloys.double().cpu().numpy()
    scores = torch.tensor(np.stack([o.scores(x) for o in problem.objectives], -1))
    scores = scores.to(alloys.device).view(*shape, -1)
    if len(problem.objectives) > 1:
        normal = Normal(scores.new_zeros(scores.shape[-1]), _WEIGHT_SPREAD).to_event(1)
        scores = scores * pyro.sample("objective_weights", normal).softmax(-1)
    pyro.factor("objectives", problem.agreement * scores.sum(-1))


def misfit(decoded: Tensor, composition: Tensor) -> Tensor:
    """Nats by which counting an alloy's atoms speaks against what was decoded, (...).

    Counting n atoms makes the decoded fractions (..., E) less likely than the alloy's own by n
    times the Kullback-Leibler divergence D between them. How many would be counted is uncertain,
    a gamma variable, over which exp(-n D) has the mean (1 + D mean / shape)^-shape: sharp close
    by, and never out of reach.

    Examples
    --------
    >>> decoded = torch.tensor([0.5, 0.5])
    >>> misfit(decoded, torch.tensor([1.0, 0.0]))  # 5 log(1 + 20 log 2)
    tensor(13.4944)
    """
    ratio = composition.clamp_min(1e-12) / decoded.clamp_min(_TRACE)  # its logarithm is finite
    divergence = (composition * ratio.log()).sum(-1).clamp_min(0.0)
    return _SHAPE * torch.log1p(_ATOMS / _SHAPE * divergence)


def latents(problem: Problem, u: Tensor) -> dict[str, Tensor]:
    """Values of the normal sites where standard normal coordinates u (K, n, D) put them."""
    mean, sd = problem.ensemble.latent_moments
    names = drawn_targets(problem)
    d, t = mean.shape[-1], len(names)
    z, noise, weights = u.split([d, t, problem.dim - d - t], -1)
    sites = {f"{name}_noise": value for name, value in zip(names, noise.unbind(-1), strict=True)}
    if weights.shape[-1]:
        sites["objective_weights"] = _WEIGHT_SPREAD * weights.double()
    return {"z": mean[:, None] + sd[:, None] * z, **sites}


def run_program(problem: Problem, u: Tensor, program: Program = design_program) -> dict[str, Any]:
    """Sites of a program with its normal sites at u (K, n, D)."""
    conditioned = poutine.condition(program, data=latents(problem, u))
    return dict(poutine.trace(conditioned).get_trace(problem, u.shape[1]).nodes)


def log_factor(problem: Problem, u: Tensor, program: Program = design_program) -> Tensor:
    """Logarithm of what multiplies a standard normal prior of u (K, n, D), (K, n).

    All factors, and by how much the prior of z differs from a normal with its moments.
    """
    sites = run_program(problem, u, program)
    _, sd = problem.ensemble.latent_moments
    z, prior = sites["z"]["value"], sites["z"]["fn"]
    normal = Normal(0.0, 1.0).log_prob(u[..., : z.shape[-1]]).sum(-1) - sd.log().sum(-1)[:, None]
    names = ("agreement", "objectives", "constraints")
    factors = sum(sites[name]["fn"].log_factor for name in names if name in sites)
    return factors + prior.log_prob(z) - normal


@torch.no_grad()
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


def concatenated(found: Sequence[Candidates]) -> Candidates:
    """Populations together; the shares that satisfy each constraint are those of the last."""
    return Candidates(
        np.concatenate([c.z for c in found]),
        np.concatenate([c.fractions for c in found]),
        np.concatenate([c.log_weight for c in found]),
        np.concatenate([c.member for c in found]),
        found[-1].holds,
    )


def first_of_each(fractions: np.ndarray) -> np.ndarray:
    """Positions of the first of each distinct alloy (N, E), in their order."""
    return np.sort(np.unique(fractions.round(6), axis=0, return_index=True)[1])


def distinct(candidates: Candidates) -> np.ndarray:
    """Positions of the first of each distinct alloy that may be returned."""
    finite = np.flatnonzero(np.isfinite(candidates.log_weight))
    return finite[first_of_each(candidates.fractions[finite])]


def draw_distinct(candidates: Candidates, n: int, seed: int) -> np.ndarray:
    """Positions of `n` distinct alloys, drawn by weight without replacement (Gumbel top-n)."""
    finite = np.flatnonzero(np.isfinite(candidates.log_weight))
    noise = np.random.default_rng(seed).gumbel(size=len(candidates.log_weight))
    order = finite[np.argsort(-(candidates.log_weight + noise)[finite], kind="stable")]
    return order[first_of_each(candidates.fractions[order])][:n]


def _rounded(decoded: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
    flat = decoded.detach().double().cpu().numpy().reshape(-1, decoded.shape[-1])
    alloys, possible = round_compositions(flat, problem.region, problem.step, problem.min_fraction)
    return (
        torch.tensor(alloys, device=decoded.device).view(decoded.shape),
        torch.tensor(possible, device=decoded.device).view(decoded.shape[:-1]),
    )
