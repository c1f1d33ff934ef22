"""A design problem: wishes and constraints, checked before anything is sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.alloys.features import FEATURES, FeatureMap
from pyro_hea.design.constraints import FeatureBounds, Novel, Soft
from pyro_hea.design.constraints.base import Constraint
from pyro_hea.design.feasibility import feasible_region
from pyro_hea.design.region import Region
from pyro_hea.design.wishes import Event, Wish, checked_wishes
from pyro_hea.errors import ConstraintError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.posterior import Ensemble

STEP = 0.005
"""Fractions of a reported alloy are multiples of it."""

MINIMUM = 0.01
"""Elements below this fraction are dropped."""

AGREEMENT = 5.0
"""The power κ of the predicted probability."""

NOVELTY = 0.02
"""Designs are at least so far from known alloys, where no `Novel` says otherwise."""

_STRICT = 0.1
"""Share of a typical violation of a constraint that costs a nat."""

_TYPICAL = 0.2
"""Typical violation, where no known alloy violates the constraint."""

_LARGEST_COST = 1e3


@dataclass(frozen=True, eq=False)
class Problem:
    """A design problem that has passed its checks.

    Attributes
    ----------
    ensemble : Ensemble
    targets : mapping of target to Event
    constraints : tuple of Constraint
    region : Region
    step, minimum : float
        Fractions are multiples of the step; elements below the minimum are dropped.
    agreement : float
        The power κ of the predicted probability.
    """

    ensemble: Ensemble
    targets: Mapping[str, Event]
    constraints: tuple[Constraint, ...]
    region: Region
    step: float = STEP
    minimum: float = MINIMUM
    agreement: float = AGREEMENT

    @classmethod
    def of(
        cls,
        ensemble: Ensemble,
        targets: Mapping[str, Wish],
        constraints: Sequence[Constraint] = (),
        *,
        step: float = STEP,
        minimum: float = MINIMUM,
        agreement: float = AGREEMENT,
    ) -> Problem:
        """Check a problem.

        Raises
        ------
        UnknownTargetError, UnknownElementError, ConstraintError
            Naming what is not allowed, or the constraints that clash.
        """
        wishes = checked_wishes(ensemble, targets)
        if not 0 < step <= 0.5 or abs(1 / step - round(1 / step)) > 1e-9:
            raise ConstraintError(
                f"step={step} is not allowed; 1 / step is a whole number, as for 0.005"
            )
        if not 0 <= minimum < 1:
            raise ConstraintError(f"minimum={minimum} is not allowed; it is a fraction below 1")
        if not 0 <= agreement < np.inf:
            raise ConstraintError(
                f"agreement={agreement} is not allowed; it is a number, 0 or more"
            )
        if not isinstance(constraints, Constraint):  # which `Region.of` refuses
            constraints = tuple(constraints)
        region = feasible_region(
            constraints,
            ensemble.elements,
            minimum,
            step,
            known=ensemble.known.to_numpy(float),
            properties=ensemble.tables.properties.loc[list(ensemble.elements)],
        )
        if not any(isinstance(constraint, Novel) for constraint in constraints):
            constraints = (*constraints, Novel(NOVELTY))
        return cls(ensemble, wishes, tuple(constraints), region, step, minimum, agreement)

    def holds(self, fractions: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
        """Which alloys (N, E) satisfy each hard constraint, by its spelling."""
        features = self._features(fractions)
        return {
            repr(constraint): constraint.holds(fractions, features, self.region)
            for constraint in self.constraints
            if not isinstance(constraint, Soft)
        }

    def cost(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Penalty of each alloy (N, E) for violated constraints, nats, (N,)."""
        features = self._features(fractions)
        total = np.zeros(len(fractions))
        for constraint, scale in zip(self.constraints, self._scales, strict=True):
            if isinstance(constraint, Soft):
                total += constraint.cost(fractions, features, self.region)
            else:
                total += constraint.excess(fractions, features, self.region) / scale
        return np.asarray(np.minimum(total, _LARGEST_COST))

    @cached_property
    def _scales(self) -> list[float]:
        """Violation of each constraint that costs a nat, from the violations of known alloys."""
        known = self.region.known
        features = self._features(known)
        typical = []
        for constraint in self.constraints:
            missed = constraint.excess(known, features, self.region)
            missed = missed[(missed > 0) & np.isfinite(missed)]
            typical.append(float(missed.mean()) if len(missed) else _TYPICAL)
        return [_STRICT * miss for miss in typical]

    def _features(self, fractions: NDArray[np.float64]) -> pd.DataFrame:
        inner = [c.constraint if isinstance(c, Soft) else c for c in self.constraints]
        names = dict.fromkeys(c.feature for c in inner if isinstance(c, FeatureBounds))
        return features_of(fractions, self.ensemble, tuple(names))


def features_of(
    fractions: NDArray[np.float64], ensemble: Ensemble, names: Sequence[str] = tuple(FEATURES)
) -> pd.DataFrame:
    """Features of alloys (N, E), whether the head reads them or not."""
    if not names:
        return pd.DataFrame(index=range(len(fractions)))
    values = FeatureMap(names, ensemble.tables, ensemble.elements)(torch.tensor(fractions))
    return pd.DataFrame(values.numpy(), columns=pd.Index(names))


def check_count(n: int, seed: int) -> None:
    """Refuse a number of alloys, or a seed, that is none."""
    if not isinstance(n, Integral) or n < 1:
        raise ConstraintError(
            f"n={n!r} is not allowed; ask for at least one design, a whole number"
        )
    if not isinstance(seed, Integral) or seed < 0:
        raise ConstraintError(f"seed={seed!r} is not allowed; a seed is a whole number, 0 or more")
