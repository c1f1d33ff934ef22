"""Conditions that targets depend on, as the reports of a dataset show them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pyro_hea.materials.alloys.dataset import Reference, condition_key, is_condition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.dataset import AlloyDataset

    Floats: TypeAlias = NDArray[np.float64]

_TEST_TEMPERATURE, _ROOM_TEMPERATURE_C = "test_temperature_C", 25.0

_MOST_CLASSES = 8
"""A column of more texts is a description."""

_FEWEST_REPORTS = 5
"""Reports in each of two classes, below which a condition of classes is not inferred."""


def infer_conditions(data: AlloyDataset, name: str, of_class: bool) -> dict[str, Reference]:
    """Conditions at which a target was measured at several values.

    A number is predicted at the median, the test temperature at 25 °C; where its reports say it
    less than half of the time it is none. Classes are listed from the most common one. The phase,
    or another class, depends on no condition of a test.

    Parameters
    ----------
    data : AlloyDataset
    name : str
    of_class : bool
        Whether the target is a class.
    """
    reports = data.reports[data.reports["target"] == name]
    found: dict[str, Reference] = {}
    for column in map(str, reports.columns):
        if not is_condition(column) or (of_class and column.startswith("test_")):
            continue
        given = [v for v in reports[column].dropna().tolist() if str(v).strip()]
        reference = _reference(column, given, len(reports))
        if reference is not None:
            found[column] = reference
    return found


def _reference(column: str, given: list[Any], reports: int) -> Reference | None:
    numbers = numbers_of(given)
    if numbers is not None:
        if len(np.unique(numbers)) < 2 or not np.isfinite(numbers).all():
            return None
        if column == _TEST_TEMPERATURE:
            return _ROOM_TEMPERATURE_C
        return float(np.median(numbers)) if len(numbers) >= reports / 2 else None
    counts = Counter(condition_key(value) for value in given)
    if len(counts) > _MOST_CLASSES or sum(n >= _FEWEST_REPORTS for n in counts.values()) < 2:
        return None
    spelled = Counter(str(value).strip() for value in given)
    names: dict[str, str] = {}
    for text, _ in spelled.most_common():
        names.setdefault(condition_key(text), text)
    return tuple(names[key] for key, _ in counts.most_common())


def numbers_of(values: list[Any]) -> Floats | None:
    """Values as numbers, None where one is text."""
    try:
        return np.array([float(value) for value in values])
    except (TypeError, ValueError):
        return None
