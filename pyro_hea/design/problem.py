"""A design problem: wishes and constraints, checked before anything is sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pyro_hea.design.constraints import FeatureBounds, IndicatorBounds, MinElements, Novel, Soft
from pyro_hea.design.constraints.base import Constraint
from pyro_hea.design.decoder_targets import drawn_targets
from pyro_hea.design.feasibility import checked_constraints, feasible_region
from pyro_hea.design.objectives import Objective, split_objectives
from pyro_hea.design.region import Region
from pyro_hea.design.wishes import Event, Wish, check_mapping, checked_wishes, fulfilment
from pyro_hea.errors import ConstraintError
from pyro_hea.materials.alloys.features import FEATURES, FeatureMap
from pyro_hea.materials.alloys.indicators import INDICATOR_UNITS
from pyro_hea.posterior.conditions import condition_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.posterior import Ensemble

STEP = 0.005
"""Fractions of a reported alloy are multiples of it."""

MINIMUM = 0.01
"""Elements below this fraction are dropped."""

AGREEMENT = 5.0
"""The power κ of the predicted probability."""

FEWEST = 3
"""Elements that a design has at least, where nothing says otherwise."""

NOVELTY = 0.02
"""Designs are at least so far from known alloys, where no `Novel` says otherwise."""

_STRICT = 0.1
"""Share of a typical violation of a constraint that costs a nat."""

_TYPICAL = 0.2
"""Typical violation, where no known alloy violates the constraint."""

_LARGEST_COST = 1e3

_CHUNK = 8192
"""Alloys predicted at a time."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A design problem that has passed its checks.

    Attributes
    ----------
    ensemble : Ensemble
    targets : mapping of target to Event
    constraints : tuple of Constraint
    region : Region
    step, min_fraction : float
        Fractions are multiples of the step; elements below `min_fraction` are dropped.
    agreement : float
        The power κ of the predicted probability, and the weight of the objectives (nats for a
        standard deviation of the known alloys).
    objectives : tuple of Objective
    assumed : tuple of Constraint
        Those of the constraints that were not given.
    tolerance : float or None
        Largest error of a fraction when an alloy is weighed.
    conditions : mapping of name to number
        At which wishes and objectives are predicted.
    """

    ensemble: Ensemble
    targets: Mapping[str, Event]
    constraints: tuple[Constraint, ...]
    region: Region
    step: float = STEP
    min_fraction: float = MINIMUM
    agreement: float = AGREEMENT
    objectives: tuple[Objective, ...] = ()
    assumed: tuple[Constraint, ...] = ()
    tolerance: float | None = None
    conditions: Mapping[str, float | str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        ensemble: Ensemble,
        targets: Mapping[str, Wish],
        constraints: Sequence[Constraint] = (),
        *,
        step: float = STEP,
        min_fraction: float = MINIMUM,
        agreement: float = AGREEMENT,
        min_elements: int | None = 1,
        novelty: float = NOVELTY,
        tolerance: float | None = None,
        conditions: Mapping[str, float | str] | None = None,
        with_objectives: bool = False,
        with_wishes: bool = True,
    ) -> Problem:
        """Check a problem.

        Parameters
        ----------
        ensemble, targets, constraints, step, min_fraction, agreement, tolerance, conditions
            As of `sample_designs`.
        min_elements : int or None
            Fewest elements. None is three, unless constraints say how many or leave fewer.
        novelty : float
            Distance from known alloys, where no `Novel` is among the constraints.
        with_objectives : bool
            Whether objectives are allowed.
        with_wishes : bool
            Whether a wish is needed.

        Raises
        ------
        UnknownTargetError, UnknownElementError, ConstraintError
            Naming what is not allowed, or the constraints that clash.
        """
        check_mapping(targets)
        if with_wishes and not targets:
            raise ConstraintError(
                "a design needs a wish for at least one target, as in {'single_phase': 1}; "
                f"targets: {', '.join(ensemble.spec.target_names)}"
            )
        points = condition_points(ensemble, conditions or {})
        if len(points) != 1:
            raise ConstraintError(f"wishes hold at one value of each condition, not {conditions}")
        wishes, objectives = split_objectives(ensemble, targets, points[0])
        if objectives and not with_objectives:
            raise ConstraintError(
                f"'{objectives[0].name}' is an objective ('{objectives[0].direction}'): objectives "
                "are for design() with method='importance'; wish for a bound here, as ('>', 500)"
            )
        events = checked_wishes(ensemble, wishes)
        if not 0 < step <= 0.5 or abs(1 / step - round(1 / step)) > 1e-9:
            raise ConstraintError(
                f"step={step} is not allowed; 1 / step is a whole number, as for 0.005"
            )
        if not 0 <= min_fraction < 1:
            raise ConstraintError(
                f"min_fraction={min_fraction} is not allowed; it is a fraction below 1"
            )
        if not 0 <= agreement < np.inf:
            raise ConstraintError(
                f"agreement={agreement} is not allowed; it is a number, 0 or more"
            )
        if tolerance is not None and not 0 < tolerance < 1:
            raise ConstraintError(
                f"tolerance={tolerance} is not allowed; it is a fraction, as 0.005 for 0.5 at.%"
            )
        constraints = checked_constraints(constraints)
        if min_elements not in (None, 1):
            constraints = (*constraints, MinElements(min_elements))
        find_region = partial(
            feasible_region,
            elements=ensemble.elements,
            min_fraction=min_fraction,
            step=step,
            known=ensemble.known.to_numpy(float),
            properties=ensemble.tables.properties.loc[list(ensemble.elements)],
        )
        assumed: list[Constraint] = [  # elements without a value have no place in an objective
            IndicatorBounds(o.name) for o in objectives if o.name in INDICATOR_UNITS
        ]
        region = find_region((*constraints, *assumed))
        if min_elements is None and not any(isinstance(c, MinElements) for c in constraints):
            with suppress(ConstraintError):  # such as two allowed elements
                region = find_region((*constraints, *assumed, MinElements(FEWEST)))
                assumed.append(MinElements(FEWEST))
        if not any(isinstance(constraint, Novel) for constraint in constraints):
            assumed.append(Novel(novelty))
        return cls(
            ensemble,
            events,
            (*constraints, *assumed),
            region,
            step,
            min_fraction,
            agreement,
            objectives,
            tuple(c for c in assumed if c != Novel(0.0)),
            tolerance,
            points[0],
        )

    @property
    def dim(self) -> int:
        """Standard normal coordinates of a draw: z, the drawn targets, weights of objectives."""
        weights = len(self.objectives) if len(self.objectives) > 1 else 0
        return self.ensemble.spec.latent.dim + len(drawn_targets(self)) + weights

    def satisfied(self, fractions: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which alloys (N, E) satisfy every hard constraint, (N,)."""
        held = self.holds(fractions) if len(fractions) else {}
        return np.all([np.ones(len(fractions), bool), *held.values()], axis=0)

    def probability(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability by each member that all wishes hold for alloys (N, E), (K, N)."""
        parts = torch.tensor(fractions, device=self.ensemble.device).split(_CHUNK)
        each = [fulfilment(self.ensemble, part, self.targets, self.conditions) for part in parts]
        return np.asarray(torch.cat(each, 1).double().cpu().numpy())

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


def check_count(n: int, seed: int = 0, what: str = "design") -> None:
    """Refuse a number of alloys, or a seed, that is none."""
    if not isinstance(n, Integral) or n < 1:
        raise ConstraintError(
            f"n={n!r} is not allowed; ask for at least one {what}, a whole number"
        )
    if not isinstance(seed, Integral) or seed < 0:
        raise ConstraintError(f"seed={seed!r} is not allowed; a seed is a whole number, 0 or more")
