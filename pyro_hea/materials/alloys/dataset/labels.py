"""Labels and reports of declared targets as numbers.

This floor lies above the declarations: a target is whatever has the attributes of `Target`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import pandas as pd

from pyro_hea.errors import ConflictingReportsWarning, DataError, nearest, warn
from pyro_hea.materials.alloys.dataset.gathering import to_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.dataset.table import AlloyDataset

Floats: TypeAlias = "NDArray[np.float64]"


ANSWERS = {"yes": 1.0, "y": 1.0, "true": 1.0, "no": 0.0, "n": 0.0, "false": 0.0}
"""Words for 1 and 0."""


class Target(Protocol):
    """What reading a label needs to know of a declared target."""

    @property
    def name(self) -> str:
        """The column of its labels."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What a label may be; empty where it is a number."""

    @property
    def bounds(self) -> tuple[float, float]:
        """What a number lies strictly between."""

    @property
    def allowed(self) -> str:
        """What a label may be, in words."""

    @property
    def classes_given(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """The classes that are possible for each value of another target."""


def encode_labels(labels: pd.DataFrame, targets: Sequence[Target]) -> pd.DataFrame:
    """Encode labels as numbers: 0 and 1, positions of classes, values; NaN where unknown.

    Where the value of one target limits the classes of another, a class that contradicts that
    value is left out, and a label that follows from the other is filled in.

    Parameters
    ----------
    labels : DataFrame
        A column for each target that has labels.
    targets : sequence of Target

    Raises
    ------
    DataError
        For a label that its target cannot have; the alloy is named.

    Warns
    -----
    ConflictingReportsWarning
        Counting the labels left out.

    Examples
    --------
    >>> from pyro_hea.spec import Categorical
    >>> phase = Categorical(name="phase", classes=("fcc", "bcc"))
    >>> encode_labels(pd.DataFrame({"phase": ["bcc", np.nan]}), [phase])["phase"].tolist()
    [1.0, nan]
    """
    known = [target for target in targets if target.name in labels]
    columns = {target.name: encode_values(labels[target.name], target) for target in known}
    table = pd.DataFrame(columns, index=labels.index, dtype=float)
    for child in known:
        for parent in child.classes_given:
            if parent in table:
                _reconcile(table, child, next(t for t in targets if t.name == parent))
    return table


def encode_values(values: pd.Series, target: Target) -> pd.Series:
    """Encode the labels of one target; see `encode_labels`."""
    numbers = numbers_of_values(values, target)
    faulty = values.notna() & numbers.isna()
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        value = values.iloc[row]
        value = value.item() if isinstance(value, np.generic) else value
        raise DataError(
            f"'{values.index[row]}': label {value!r} of '{target.name}' is not allowed."
            f"{nearest(str(value), target.classes)} Allowed: {target.allowed}"
        )
    return numbers


def numbers_of_values(values: pd.Series, target: Target) -> pd.Series:
    """Encode the labels of one target, NaN where one is missing or not allowed."""
    if not target.classes:
        numbers = to_numbers(values)
        low, high = target.bounds
        return numbers.where((numbers > low) & (numbers < high))
    positions = {_class_name(name): float(i) for i, name in enumerate(target.classes)}
    caseless = {name.casefold(): position for name, position in positions.items()}
    if len(caseless) < len(positions):  # classes that case alone tells apart
        caseless = {}
    if target.classes == ("0", "1"):
        caseless |= ANSWERS

    def position(value: Any) -> float:
        name = _class_name(value)
        return positions.get(name, caseless.get(name.casefold(), np.nan))

    return values.map(position).astype(float)


def _class_name(value: Any) -> str:
    """A class as text; a number has one spelling: '1' for 1.0 and for '1.0'."""
    text = str(value).strip()
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def _reconcile(table: pd.DataFrame, child: Target, parent: Target) -> None:
    """Remove contradictions and fill in what is implied, in place."""
    given = child.classes_given[parent.name]
    possible = np.array([[c in given[value] for c in child.classes] for value in parent.classes])
    p, c = table[parent.name].to_numpy(), table[child.name].to_numpy()
    both = ~np.isnan(p) & ~np.isnan(c)
    clash = both.copy()
    clash[both] = ~possible[p[both].astype(int), c[both].astype(int)]
    if clash.any():
        warn(
            f"{int(clash.sum())} labels of '{child.name}' contradict the label of '{parent.name}' "
            "and are left out",
            ConflictingReportsWarning,
        )
    c = np.where(clash, np.nan, c)
    single = possible.sum(1) == 1  # values of the parent that leave one class
    implied = ~np.isnan(p) & np.isnan(c)
    implied[implied] = single[p[implied].astype(int)]
    c[implied] = possible.argmax(1)[p[implied].astype(int)]
    single = possible.sum(0) == 1  # classes that leave one value of the parent
    implied = np.isnan(p) & ~np.isnan(c)
    implied[implied] = single[c[implied].astype(int)]
    p = p.copy()
    p[implied] = possible.argmax(0)[c[implied].astype(int)]
    table[parent.name], table[child.name] = p, c


def report_counts(data: AlloyDataset, target: Target, sources: Sequence[str]) -> Floats:
    """Count the reports of each class of each alloy by each source, (N, S, C).

    Reports of other sources are not counted.
    """
    rows = data.reports[data.reports["target"] == target.name]
    rows = rows[rows["source"].isin(sources)]
    counts = np.zeros((len(data), len(sources), len(target.classes)))
    at = pd.Index(data.formulas).get_indexer(pd.Index(rows["formula"]))
    source = pd.Index(sources).get_indexer(pd.Index(rows["source"]))
    value = encode_values(rows.set_index("formula")["value"], target).to_numpy(int)
    np.add.at(counts, (at, source, value), 1.0)
    return counts
