"""The design posterior as a Pyro program, and alloys drawn from it by importance sampling.

    π(z) ∝ p(z) Π_t q(y*_t | φ(x(z)))^κ C(x(z)),    x(z) = decode(z, y*)

A member is as probable as any other; z lives in its space and is decoded by it. Agreement is the
mean over all members, and is asked of the alloy as one would weigh it in, never of the decoded
composition before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyro
import torch
from pyro import poutine
from pyro.distributions import Bernoulli
from torch import Tensor

from pyro_hea.design.constraints import Constraint, Region
from pyro_hea.design.result import DesignResult, design_idata, design_table
from pyro_hea.design.rounding import weigh_in
from pyro_hea.errors import ConstraintError, DesignWarning
from pyro_hea.features import FEATURES, FeatureMap
from pyro_hea.model import ALLOYS_DIM, MEMBERS_DIM

if TYPE_CHECKING:
    from pyro_hea.posterior import Ensemble

_SOFTNESS = 0.1
"""Total variation by which a decoded composition may miss the constraints before it is unlikely."""

_CANDIDATES = 4096
"""Candidates in a round of importance sampling."""

_ROUNDS = 24

_RESERVE = 20
"""Distinct candidates wanted for each design that is returned."""


class Problem(NamedTuple):
    """What is asked for."""

    targets: Mapping[str, float]
    constraints: Sequence[Constraint]
    region: Region
    step: float
    minimum: float
    agreement: float


class Candidates(NamedTuple):
    """Draws from the prior of a round, as weighed in, with the logarithm of their weights."""

    z: np.ndarray
    fractions: np.ndarray
    log_weight: np.ndarray
    member: np.ndarray
    holds: dict[str, float]


def design_program(ensemble: Ensemble, problem: Problem, draws: int) -> Tensor:
    """Sites `z` and `composition`, factors `agreement` and `constraints`; gives (K, draws, E)."""
    model = ensemble.model
    with (
        pyro.plate("members", ensemble.members, dim=MEMBERS_DIM),
        pyro.plate("designs", draws, dim=ALLOYS_DIM),
    ):
        z = pyro.sample("z", model.latent_prior())
        open_targets = {
            target.name: pyro.sample(target.name, Bernoulli(logits=prior))
            for target, prior in zip(model.spec.targets, model.prior_logits, strict=True)
            if target.name not in problem.targets
        }
        decoded = ensemble.decode(z, {**problem.targets, **open_targets})
        alloys, possible = _weighed_in(decoded, problem)
        composition = pyro.deterministic("composition", alloys, event_dim=1)
        features = ensemble.feature_map(composition).to(decoded.dtype)
        q = ensemble.head_probabilities(features[:, None])  # every member judges every alloy
        agreement = torch.stack(
            [
                (p if problem.targets[name] == 1 else 1 - p).mean(1)
                for name, p in q.items()
                if name in problem.targets
            ]
        ).log()
        pyro.factor("agreement", problem.agreement * agreement.sum(0))
        missed = (decoded - composition).abs().sum(-1) / 2
        pyro.factor("constraints", (-missed / _SOFTNESS).where(possible, -torch.inf))
    return composition


def sample_designs(
    ensemble: Ensemble,
    targets: Mapping[str, float],
    constraints: Sequence[Constraint] = (),
    *,
    n: int,
    seed: int,
    step: float = 0.005,
    minimum: float = 0.01,
    agreement: float = 10.0,
) -> DesignResult:
    """Draw distinct alloys from the design posterior.

    Parameters
    ----------
    ensemble : Ensemble
    targets : mapping of target to 0 or 1
        The wish.
    constraints : sequence of Constraint
        All hold exactly on each alloy returned.
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
    if not isinstance(constraints, Constraint):  # which `Region.of` refuses
        constraints = tuple(constraints)
    problem = _checked(ensemble, targets, constraints, n, step, minimum, agreement)
    cuda = [ensemble.device] if ensemble.device.type == "cuda" else []
    found: list[Candidates] = []
    possible, distinct = 0, set[bytes]()
    with torch.no_grad(), torch.random.fork_rng(cuda):
        torch.manual_seed(seed)
        for _ in range(_ROUNDS):
            found.append(_round_of_candidates(ensemble, problem))
            kept = found[-1].fractions[np.isfinite(found[-1].log_weight)]
            distinct.update(row.tobytes() for row in np.rint(kept / step).astype(int))
            possible += len(kept)
            if possible >= _RESERVE * n and len(distinct) >= n:
                break
    everything = Candidates(
        np.concatenate([c.z for c in found]),
        np.concatenate([c.fractions for c in found]),
        np.concatenate([c.log_weight for c in found]),
        np.concatenate([c.member for c in found]),
        {name: float(np.mean([c.holds[name] for c in found])) for name in found[0].holds},
    )
    chosen = _draw_distinct(everything, n, seed)
    if len(chosen) == 0:
        shares = ", ".join(f"{name}: {share:.1%}" for name, share in everything.holds.items())
        raise ConstraintError(
            f"none of {len(everything.log_weight)} candidates satisfies every constraint. Share "
            f"that satisfies each: {shares}. Loosen the rarest"
        )
    if len(chosen) < n:
        warnings.warn(
            f"{len(chosen)} of {n} designs were found among {len(everything.log_weight)} "
            "candidates; loosen the constraints or ask for fewer",
            DesignWarning,
            stacklevel=3,
        )
    return _result(ensemble, problem, everything, chosen, seed)


def _checked(
    ensemble: Ensemble,
    targets: Mapping[str, float],
    constraints: Sequence[Constraint],
    n: int,
    step: float,
    minimum: float,
    agreement: float,
) -> Problem:
    if not targets:
        raise ConstraintError(
            "a design needs a wish for at least one target, as in {'single_phase': 1}; targets: "
            f"{', '.join(ensemble.spec.target_names)}"
        )
    for name, wish in targets.items():
        ensemble.check_target(name)
        if wish not in (0, 1):
            raise ConstraintError(f"target '{name}' is 0 or 1, not {wish!r}")
    if n < 1:
        raise ConstraintError(f"n={n} is not allowed; ask for at least one design")
    if not 0 < step <= 0.5 or abs(1 / step - round(1 / step)) > 1e-9:
        raise ConstraintError(
            f"step={step} is not allowed; 1 / step is a whole number, as for 0.005"
        )
    if not 0 <= minimum < 1:
        raise ConstraintError(f"minimum={minimum} is not allowed; it is a fraction below 1")
    region = Region.of(constraints, ensemble.elements, minimum, step)
    return Problem(dict(targets), constraints, region, step, minimum, agreement)


def _weighed_in(decoded: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
    flat = decoded.double().cpu().numpy().reshape(-1, decoded.shape[-1])
    alloys, possible = weigh_in(flat, problem.region, problem.step, problem.minimum)
    return (
        torch.tensor(alloys, device=decoded.device).view(decoded.shape),
        torch.tensor(possible, device=decoded.device).view(decoded.shape[:-1]),
    )


def _round_of_candidates(ensemble: Ensemble, problem: Problem) -> Candidates:
    draws = -(-_CANDIDATES // ensemble.members)
    trace = poutine.trace(design_program).get_trace(ensemble, problem, draws)
    trace.compute_log_prob()

    sites: dict[str, Any] = dict(trace.nodes)

    def rows(site: str, key: str = "value") -> np.ndarray:
        return np.asarray(sites[site][key].flatten(0, 1).double().cpu())

    z, fractions = rows("z"), rows("composition")
    weights = rows("agreement", "log_prob") + rows("constraints", "log_prob")
    features = features_of(fractions, ensemble)
    holds = {}
    for constraint in problem.constraints:
        held = constraint.holds(fractions, features, problem.region)
        holds[repr(constraint)] = float(held.mean())
        weights = np.where(held, weights, -np.inf)
    member = np.repeat(np.arange(ensemble.members), draws)
    return Candidates(z, fractions, weights, member, holds)


def features_of(fractions: np.ndarray, ensemble: Ensemble) -> pd.DataFrame:
    """Every feature of the alloys, whatever the head reads."""
    names = tuple(FEATURES)
    values = FeatureMap(names, ensemble.tables, ensemble.elements)(torch.tensor(fractions))
    return pd.DataFrame(values.numpy(), columns=pd.Index(names))


def _draw_distinct(candidates: Candidates, n: int, seed: int) -> np.ndarray:
    """Positions of `n` distinct alloys, drawn by weight without replacement (Gumbel top-n)."""
    finite = np.flatnonzero(np.isfinite(candidates.log_weight))
    noise = np.random.default_rng(seed).gumbel(size=len(candidates.log_weight))
    order = finite[np.argsort(-(candidates.log_weight + noise)[finite], kind="stable")]
    _, first = np.unique(candidates.fractions[order].round(6), axis=0, return_index=True)
    return order[np.sort(first)][:n]


def _result(
    ensemble: Ensemble,
    problem: Problem,
    candidates: Candidates,
    chosen: np.ndarray,
    seed: int,
) -> DesignResult:
    fractions = pd.DataFrame(candidates.fractions[chosen], columns=list(ensemble.elements))
    table = design_table(ensemble, fractions)
    wish = np.prod(
        [table[t] if value == 1 else 1 - table[t] for t, value in problem.targets.items()], axis=0
    )
    best_first = np.argsort(-wish, kind="stable")
    weight = np.exp(candidates.log_weight - candidates.log_weight.max())
    attributes = {
        "inference": "importance",
        "seed": seed,
        "candidates": len(weight),
        "discarded": float(np.mean(weight == 0)),
        "effective_sample_size": float(weight.sum() ** 2 / (weight**2).sum()),
    }
    idata = design_idata(
        table.iloc[best_first],
        candidates.z[chosen][best_first],
        candidates.member[chosen][best_first],
        ensemble,
        attributes,
    )
    return DesignResult(table.iloc[best_first].reset_index(drop=True), idata, attributes)
