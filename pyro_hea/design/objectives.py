"""Objectives: quantities to be made large or small, beside wishes that are to hold.

Objectives are combined by weights that are drawn with each design, so that designs cover the
trade-offs between them and not one compromise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import torch

from pyro_hea.design.constraints.indicators import indicator_values, mass_mean
from pyro_hea.design.constraints.properties import density
from pyro_hea.design.wishes import batch_at
from pyro_hea.errors import UnknownTargetError, nearest
from pyro_hea.materials.alloys.features import FEATURES, FeatureMap
from pyro_hea.materials.alloys.indicators import INDICATOR_UNITS
from pyro_hea.posterior.marginals import marginals
from pyro_hea.spec import Binary, Continuous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.design.wishes import Wish
    from pyro_hea.posterior import Ensemble

Direction: TypeAlias = Literal["max", "min"]
"""Whether an objective is to be large or small."""

_CHUNK = 8192
"""Alloys predicted at a time."""


@dataclass(frozen=True, eq=False)
class Objective:
    """A quantity of alloys that is to be large or small.

    Attributes
    ----------
    name : str
        A binary target (its probability of 1), a number (its mean), a feature, an indicator of
        the elements by mass, or "density".
    direction : {"max", "min"}
    unit : str
    ensemble : Ensemble
    conditions : mapping of name to number
    """

    name: str
    direction: Direction
    unit: str
    ensemble: Ensemble
    conditions: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def predicted(self) -> bool:
        """Whether the members predict it; otherwise it follows from the composition."""
        return self.name in self.ensemble.spec.target_names

    def values(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of alloys (N, E) by each member, in its unit, (K, N)."""
        if not self.predicted:
            value = _CALCULATED.get(self.name, _feature)(self.name, fractions, self.ensemble)
            return np.broadcast_to(value, (self.ensemble.members, len(fractions)))
        blocks = np.array_split(fractions, max(1, -(-len(fractions) // _CHUNK)))
        return np.concatenate([self._predicted(block) for block in blocks], axis=1)

    def _predicted(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        ensemble = self.ensemble
        x = torch.tensor(fractions, device=ensemble.device)
        features = ensemble.feature_map(x).to(ensemble.model.embedding.edges.dtype)
        batch = batch_at(ensemble, features, self.conditions)
        marginal = marginals(ensemble.model, batch, [self.name])[self.name]
        binary = isinstance(ensemble.spec.target(self.name), Binary)
        value = marginal.probabilities()[..., 1] if binary else marginal.medians()
        return np.asarray(value.double().cpu().numpy())

    def scores(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """How good alloys are, in standard deviations over the known alloys, (N,)."""
        centre, spread = self._scale
        sign = 1.0 if self.direction == "max" else -1.0
        return np.asarray(sign * (self.values(fractions).mean(0) - centre) / spread)

    @cached_property
    def _scale(self) -> tuple[float, float]:
        known = self.values(self.ensemble.known.to_numpy(float)).mean(0)
        known = known[np.isfinite(known)]
        return float(known.mean()), max(float(known.std()), 1e-12)


def split_objectives(
    ensemble: Ensemble, targets: Mapping[str, Wish], conditions: Mapping[str, float | str]
) -> tuple[dict[str, Wish], tuple[Objective, ...]]:
    """Tell wishes from objectives, which are "max" or "min".

    Raises
    ------
    UnknownTargetError
        For an objective that is no target, feature, indicator or "density".
    """
    wishes: dict[str, Wish] = {}
    objectives = []
    for name, wish in targets.items():
        named = name in ensemble.spec.target_names and not isinstance(
            ensemble.spec.target(name), Binary | Continuous
        )
        if named or wish not in get_args(Direction):
            wishes[name] = wish  # a class may be called "max"
        else:
            direction: Direction = "max" if wish == "max" else "min"
            objectives.append(
                Objective(name, direction, unit_of(ensemble, name), ensemble, conditions)
            )
    return wishes, tuple(objectives)


def unit_of(ensemble: Ensemble, name: str) -> str:
    """Unit of a target or of what can be calculated from a composition."""
    if name in ensemble.spec.target_names:
        target = ensemble.spec.target(name)
        return target.unit if isinstance(target, Continuous) else "probability"
    if name in _UNITS:
        return _UNITS[name]
    if name in FEATURES:
        return FEATURES[name].unit
    allowed = (*ensemble.spec.target_names, *_CALCULATED, *FEATURES)
    raise UnknownTargetError(
        f"there is no target, feature or indicator '{name}'.{nearest(name, allowed)} Allowed: "
        f"{', '.join(allowed)}"
    )


def _feature(name: str, fractions: NDArray[np.float64], ensemble: Ensemble) -> NDArray[np.float64]:
    values = FeatureMap((name,), ensemble.tables, ensemble.elements)(torch.tensor(fractions))
    return np.asarray(values[:, 0].numpy())


def _density(name: str, fractions: NDArray[np.float64], ensemble: Ensemble) -> NDArray[np.float64]:
    return density(fractions, ensemble.elements)


def _indicator(
    name: str, fractions: NDArray[np.float64], ensemble: Ensemble
) -> NDArray[np.float64]:
    return mass_mean(fractions, ensemble.elements, indicator_values(name, ensemble.elements))


_CALCULATED: dict[str, Callable[..., NDArray[np.float64]]] = {
    "density": _density,
    **dict.fromkeys(INDICATOR_UNITS, _indicator),
}
"""Quantities beside the features that follow from a composition."""

_UNITS = {"density": "g/cm3", **INDICATOR_UNITS}


def non_dominated(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows (N, J) no other row beats: as good everywhere and better somewhere.

    Examples
    --------
    >>> non_dominated(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]))
    array([ True,  True, False,  True])
    """
    best = np.ones(len(scores), bool)
    for i, row in enumerate(scores):
        if best[i]:
            best &= ~((scores <= row).all(1) & (scores < row).any(1))
    return best


def ranked(scores: NDArray[np.float64], n: int | None = None) -> NDArray[np.int_]:
    """Positions of the first `n` rows (N, J) by front, and within a front by crowding distance.

    Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II (2002).

    Examples
    --------
    >>> ranked(np.array([[0.0, 0.0], [1.0, 0.0], [0.4, 0.4], [0.0, 1.0]]))
    array([1, 3, 2, 0])
    """
    left = np.arange(len(scores))
    order: list[NDArray[np.int_]] = []
    while len(left) and sum(len(front) for front in order) < (len(scores) if n is None else n):
        front = non_dominated(scores[left])
        rows = left[front]
        order.append(rows[np.argsort(-_crowding(scores[rows]), kind="stable")])
        left = left[~front]
    return np.concatenate([left[:0], *order])[:n]


def _crowding(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the neighbours of each row are, summed over the objectives; infinite at the ends."""
    total = np.zeros(len(scores))
    for column in scores.T:
        order = np.argsort(column, kind="stable")
        spread = max(column[order[-1]] - column[order[0]], 1e-12)
        gap = np.full(len(scores), np.inf)
        gap[1:-1] = (column[order[2:]] - column[order[:-2]]) / spread
        total[order] += gap
    return total
