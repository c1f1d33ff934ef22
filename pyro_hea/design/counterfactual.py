"""An alloy to be changed until the wishes hold: how sure is sure enough, and what is reported.

A small change is where an ensemble is fooled most easily. An alloy counts as changed only when the
most doubtful member is confident of it, and the evidence of its neighbours counts as well: every
hundredth of the atoms by which it is nearer to where it started than to a known alloy that has the
property makes it less sure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist
from scipy.special import expit, logit

from pyro_hea.design.constraints import Novel
from pyro_hea.design.problem import Problem
from pyro_hea.design.result import DesignResult, gather
from pyro_hea.design.rounding import weigh_in
from pyro_hea.design.wishes import fulfilment
from pyro_hea.errors import ConstraintError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.alloys.composition import Alloys
    from pyro_hea.design.region import Constraint
    from pyro_hea.design.wishes import Wish
    from pyro_hea.posterior import Ensemble

CONFIDENCE = 0.87
"""Cautious probability of all wishes at which a changed alloy is content."""

_NEIGHBOURS = 8.0
"""Nats gained if all atoms were as at an alloy that has the property, and none as at the start."""

_LIKE = 0.8
"""Predicted probability above which a known alloy counts as having the property."""

_SAME = 0.01
"""Total variation within which an alloy is a known one."""

_PRICE = 0.2
"""Share of the atoms that one would move for a nat of confidence that is still missing."""


@dataclass(frozen=True, eq=False)
class Change:
    """A problem of changing one alloy.

    Attributes
    ----------
    problem : Problem
    start : ndarray, shape (E,)
    confidence : float
    """

    problem: Problem
    start: NDArray[np.float64]
    confidence: float

    @classmethod
    def of(
        cls,
        ensemble: Ensemble,
        alloy: Alloys,
        targets: Mapping[str, Wish],
        constraints: Sequence[Constraint],
        confidence: float,
        step: float,
        minimum: float,
    ) -> Change:
        """Check what is asked."""
        if not 0 < confidence < 1:
            raise ConstraintError(f"confidence={confidence} is not allowed; it is between 0 and 1")
        if not any(isinstance(c, Novel) for c in constraints):  # a known alloy is a good answer
            constraints = (*constraints, Novel(0.0))
        problem = Problem.of(ensemble, targets, constraints, step=step, minimum=minimum)
        table = ensemble.fractions(alloy)
        if len(table) != 1:
            raise DataError(f"one alloy is changed at a time, not {len(table)}")
        return cls(problem, table.to_numpy(float)[0], confidence)

    @cached_property
    def like(self) -> NDArray[np.float64]:
        """Known alloys of which the wishes are predicted, (M, E)."""
        known = self.problem.ensemble.known.to_numpy(float)
        return known[self._members(known).mean(0) > _LIKE]

    def distance(self, alloys: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the atoms of alloys (N, E) that have moved, (N,)."""
        return np.asarray(np.abs(alloys - self.start).sum(1) / 2)

    def cautious(self, alloys: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cautious probability that all wishes hold for alloys (N, E), (N,).

        The log odds are those of the most doubtful member, and more or less by how much nearer the
        alloy is to a known one that has the property than to the start; never above those of all
        members together. Such a known alloy itself, as it is weighed in, needs no caution: 1.
        """
        members = np.clip(self._members(alloys), 1e-9, 1 - 1e-9)
        like = np.ones(len(alloys))
        if len(self.like):
            like = cdist(alloys, self.like, "cityblock").min(1) / 2
        gained = _NEIGHBOURS * (self.distance(alloys) - like)
        mean = members.mean(0)
        cautious = np.minimum(expit(logit(members.min(0)) + gained), mean)
        return np.where((like <= _SAME) & (mean > _LIKE), 1.0, cautious)

    def lacking(self, alloys: NDArray[np.float64]) -> NDArray[np.float64]:
        """Nats by which the log odds are below the confidence, and what is missed, (N,)."""
        lacking = logit(self.confidence) - logit(np.clip(self.cautious(alloys), 1e-12, 1 - 1e-12))
        cost = self.problem.cost(alloys)
        return np.where(cost > 0, np.maximum(lacking, 0) + cost, lacking)

    def weigh_in(
        self, fractions: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Alloys as one would weigh them in, and whether that is possible."""
        p = self.problem
        return weigh_in(fractions, p.region, p.step, p.minimum)

    def score(
        self, alloys: NDArray[np.float64], possible: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """What is small for a good change: the atoms moved, and a price for what is lacking."""
        lacking = np.maximum(self.lacking(alloys), 0)
        score = self.distance(alloys) + _PRICE * lacking + (lacking > 0)
        return np.where(possible, score, np.inf)

    def _members(self, alloys: NDArray[np.float64]) -> NDArray[np.float64]:
        p = self.problem
        x = torch.tensor(alloys, device=p.ensemble.device)
        return fulfilment(p.ensemble, x, p.targets).double().cpu().numpy()


def changed(
    change: Change,
    path: NDArray[np.float64],
    attributes: Mapping[str, object],
    latents: Mapping[str, np.ndarray] | None = None,
) -> DesignResult:
    """The last alloy of a path (P, E), which must be content, with the path as its trail.

    Raises
    ------
    ConstraintError
        Where it misses a constraint or the confidence.
    """
    problem = change.problem
    path = path[np.r_[True, np.any(np.diff(path, axis=0) != 0, axis=1)]]
    cautious = change.cautious(path)
    failed = [name for name, ok in problem.holds(path[-1:]).items() if not ok.all()]
    if failed or cautious[-1] < change.confidence:
        why = f"{', '.join(failed)} does not hold"
        raise ConstraintError(
            f"no way was found to an alloy that satisfies every constraint at a confidence of "
            f"{change.confidence:g}: at the end of the best, "
            f"{why if failed else f'it is {cautious[-1]:.2f}'}. Lower the confidence or loosen the "
            "constraints"
        )
    moved = change.distance(path)
    trail = pd.DataFrame(path, columns=list(problem.ensemble.elements)).assign(
        all_wishes=change._members(path).mean(0), cautious=cautious, moved=moved
    )
    trail.insert(0, "step", range(len(trail)))
    reported = {**attributes, "confidence": change.confidence, "moved": float(moved[-1])}
    return gather(problem, path[-1:], reported, latents=latents, trail=trail)
