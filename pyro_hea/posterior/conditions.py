"""Conditions at which predictions are asked for, such as the temperature of a test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pyro_hea.errors import DataError, ExtrapolationWarning, nearest, warn
from pyro_hea.materials.alloys.dataset import (
    Reference,
    absolute_zero,
    condition_key,
    encode_condition,
    temperature_scale,
)

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.posterior.ensemble import Ensemble
    from pyro_hea.spec import Target

Condition: TypeAlias = float | str
"""A number, or a class by its name."""

Conditions: TypeAlias = Mapping[str, Condition | Iterable[Condition]]
"""Values of conditions by name: one, a range or several, of which every combination is meant."""

_STEPS = 11
"""Values of a range, `(25, 800)`, from its lower to its upper end."""


def condition_points(ensemble: Ensemble, conditions: Conditions) -> list[dict[str, Condition]]:
    """Every combination of the conditions, in the order given.

    Raises
    ------
    DataError
        For a condition that no target has, and for a value that is no number, or no class of it.

    Warns
    -----
    ExtrapolationWarning
        For a value outside the range in which a target was measured.
    """
    known: dict[str, Reference] = {}
    for target in _dependent(ensemble):
        known |= target.conditions
    for name in conditions:
        if name not in known:
            has = f"Conditions: {', '.join(known)}" if known else "Declare some in the spec"
            raise DataError(
                f"no target of this model has the condition '{name}'.{nearest(name, known)} {has}"
            )
    values = {name: _values(name, value, known[name]) for name, value in conditions.items()}
    _warn_outside(ensemble, values)
    return [dict(zip(values, point, strict=True)) for point in product(*values.values())]


def standardised(
    ensemble: Ensemble, point: Mapping[str, Condition], rows: int, like: Tensor
) -> dict[str, Tensor]:
    """Conditions of each target that has some, (rows, C), as the heads read them."""
    found = {}
    for target in _dependent(ensemble):
        at = [
            column
            for name, reference in target.conditions.items()
            for column in encode_condition(name, point.get(name, _default(reference)), reference)
        ]
        scaled = like.new_tensor(ensemble.standardised_conditions(target, np.array([at])))
        found[target.name] = scaled.expand(rows, -1)
    return found


def elsewhere(target: Target, point: Mapping[str, Condition]) -> bool:
    """Whether a point is not where a target is predicted by default."""
    return any(point.get(n, _default(r)) != _default(r) for n, r in target.conditions.items())


def _default(reference: Reference) -> Condition:
    return reference[0] if isinstance(reference, tuple) else reference


def _dependent(ensemble: Ensemble) -> list[Target]:
    return [target for target in ensemble.spec.targets if target.conditions]


def _values(name: str, value: Condition | Iterable[Condition], of: Reference) -> list[Condition]:
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if isinstance(of, tuple):
        spelled = {condition_key(each): each for each in of}
        for each in (values := list(values)):
            encode_condition(name, each, of)  # refuses what is no class
        if values:
            return [spelled[condition_key(each)] for each in values]
        raise DataError(f"conditions: {name} names no class; allowed: {', '.join(of)}")
    try:
        numbers = [float(number) for number in values]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise DataError(
            f"conditions: {name}={value!r} is neither a number nor a list of numbers, such as 800, "
            "[20, 400, 800] or the range (20, 800)"
        )
    lowest = absolute_zero(temperature_scale(name))
    if min(numbers) < lowest:
        raise DataError(
            f"conditions: {name}={min(numbers):g} is below absolute zero, {lowest:g} on its scale"
        )
    if isinstance(value, tuple) and len(numbers) == 2:
        return list(np.linspace(numbers[0], numbers[1], _STEPS).tolist())
    return list(numbers)


def _warn_outside(ensemble: Ensemble, values: Mapping[str, list[Condition]]) -> None:
    ranges = ensemble.model.statistics.condition_ranges
    for target in _dependent(ensemble):
        measured = iter(ranges.get(target.name, ()))
        for name, reference in target.conditions.items():
            if isinstance(reference, tuple):
                never = [c for c in reference[1:] if next(measured, (0, 1))[1] == 0]
                if said := ", ".join(f"'{v}'" for v in values.get(name, ()) if v in never):
                    _warn(f"'{target.name}' was never measured at {name} {said}")
                continue
            low, high = next(measured, (-math.inf, math.inf))
            outside = [v for v in values.get(name, ()) if not low <= float(v) <= high]
            if outside:
                said = ", ".join(f"{v:g}" for v in outside)
                _warn(
                    f"'{target.name}' was measured at {name} from {low:g} to {high:g}; what is "
                    f"predicted at {said} is extrapolated"
                )


def _warn(what: str) -> None:
    warn(f"{what}, and its interval is wider the further away it is", ExtrapolationWarning)
