"""Conditions at which predictions are asked for, such as the temperature of a test."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pyro_hea.errors import DataError, ExtrapolationWarning, nearest
from pyro_hea.spec import Continuous

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.posterior.ensemble import Ensemble

Conditions: TypeAlias = Mapping[str, float | Iterable[float]]
"""Values of conditions by name: one, or several of which every combination is meant."""


def condition_points(ensemble: Ensemble, conditions: Conditions) -> list[dict[str, float]]:
    """Every combination of the conditions, in the order given.

    Raises
    ------
    DataError
        For a condition that no target has, and for a value that is no number.

    Warns
    -----
    ExtrapolationWarning
        For a value outside the range in which a target was measured.
    """
    known = dict.fromkeys(name for target in _dependent(ensemble) for name in target.conditions)
    for name in conditions:
        if name not in known:
            has = f"Conditions: {', '.join(known)}" if known else "Declare some in the spec"
            raise DataError(
                f"no target of this model has the condition '{name}'.{nearest(name, known)} {has}"
            )
    values = {name: _numbers(name, value) for name, value in conditions.items()}
    _warn_outside(ensemble, values)
    return [dict(zip(values, point, strict=True)) for point in product(*values.values())]


def standardised(
    ensemble: Ensemble, point: Mapping[str, float], rows: int, like: Tensor
) -> dict[str, Tensor]:
    """Conditions of each target that has some, (rows, C), as the heads read them."""
    found = {}
    for target in _dependent(ensemble):
        at = np.array([[point.get(n, value) for n, value in target.conditions.items()]])
        scaled = like.new_tensor(ensemble.standardised_conditions(target, at))
        found[target.name] = scaled.expand(rows, -1)
    return found


def _dependent(ensemble: Ensemble) -> list[Continuous]:
    return [t for t in ensemble.spec.targets if isinstance(t, Continuous) and t.conditions]


def _numbers(name: str, value: float | Iterable[float]) -> list[float]:
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    try:
        numbers = [float(number) for number in values]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise DataError(
            f"conditions: {name}={value!r} is neither a number nor a list of numbers, such as 800 "
            "or [20, 400, 800]"
        )
    return numbers


def _warn_outside(ensemble: Ensemble, values: Mapping[str, list[float]]) -> None:
    ranges = ensemble.model.statistics.condition_ranges
    for target in _dependent(ensemble):
        measured = zip(target.conditions, ranges.get(target.name, ()), strict=False)
        for name, (low, high) in measured:
            if outside := [v for v in values.get(name, ()) if not low <= v <= high]:
                warnings.warn(
                    f"'{target.name}' was measured at {name} from {low:g} to {high:g}; what is "
                    f"predicted at {', '.join(f'{v:g}' for v in outside)} is extrapolated, and its "
                    "interval does not tell how far it may be off",
                    ExtrapolationWarning,
                    stacklevel=5,
                )
