"""Labels and reports of declared targets as numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from pyro_hea.alloys.dataset.table import at_room_temperature, numbers_of
from pyro_hea.errors import ConflictingReportsWarning, DataError, nearest
from pyro_hea.spec import Categorical, Continuous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.alloys.dataset.table import AlloyDataset
    from pyro_hea.spec import Target

Floats: TypeAlias = "NDArray[np.float64]"


def encode_labels(labels: pd.DataFrame, targets: Sequence[Target]) -> pd.DataFrame:
    """Labels as the model counts them: 0 and 1, positions of classes, numbers; NaN where unknown.

    Where a class is possible only with some values of a target that it is given, a label that
    contradicts that target's is left out, and what one of the two implies of the other is filled
    in.

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
        if isinstance(child, Categorical):
            for parent in child.only:
                if parent in table:
                    _reconcile(table, child, next(t for t in targets if t.name == parent))
    return table


def encode_values(values: pd.Series, target: Target) -> pd.Series:
    """Values of one target as numbers; see `encode_labels`."""
    numbers = numbers_of_values(values, target)
    faulty = values.notna() & numbers.isna()
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        value = values.iloc[row]
        value = value.item() if isinstance(value, np.generic) else value
        raise DataError(
            f"'{values.index[row]}': label {value!r} of '{target.name}' is not allowed."
            f"{nearest_class(value, target)} Allowed: {allowed_values(target)}"
        )
    return numbers


def numbers_of_values(values: pd.Series, target: Target) -> pd.Series:
    """Values of one target as numbers, NaN where there is none or one that cannot be."""
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    if isinstance(target, Continuous):
        low, high = _bounds(target)
        return numbers.where((numbers > low) & (numbers < high))
    positions = {_spelled(name): float(i) for i, name in enumerate(target.classes)}
    return values.map(lambda value: positions.get(_spelled(value), np.nan)).astype(float)


def allowed_values(target: Target) -> str:
    """What a label of a target may be, in words."""
    if isinstance(target, Continuous):
        low, high = _bounds(target)
        above = f" above {low:g}" if low > -np.inf else ""
        below = f" below {high:g}" if high < np.inf else ""
        ends = f"{above} and{below}" if above and below else above or below
        of_prior = "" if target.positive or not ends else f", by its prior {target.prior.dist}"
        return f"a number{ends}{of_prior}"
    return ", ".join(target.classes)


def _bounds(target: Continuous) -> tuple[float, float]:
    """What a number lies strictly between."""
    if target.positive:
        return 0.0, np.inf
    support = target.prior.support
    ends = (getattr(support, "lower_bound", -np.inf), getattr(support, "upper_bound", np.inf))
    return float(ends[0]), float(ends[1])


def nearest_class(value: Any, target: Target) -> str:
    """The class that may have been meant, in words."""
    return "" if isinstance(target, Continuous) else nearest(str(value), target.classes)


def _spelled(value: Any) -> str:
    """A class as text, numbers in one way: '1' for 1.0 and for '1.0'."""
    text = str(value).strip()
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def _reconcile(table: pd.DataFrame, child: Categorical, parent: Target) -> None:
    """Take contradictions out and fill in what is implied, in place."""
    assert not isinstance(parent, Continuous)
    possible = np.array(
        [[c in child.only[parent.name][value] for c in child.classes] for value in parent.classes]
    )
    p, c = table[parent.name].to_numpy(), table[child.name].to_numpy()
    both = ~np.isnan(p) & ~np.isnan(c)
    clash = both.copy()
    clash[both] = ~possible[p[both].astype(int), c[both].astype(int)]
    if clash.any():
        warnings.warn(
            f"{int(clash.sum())} labels of '{child.name}' contradict the label of '{parent.name}', "
            "which their reports and others make, and are left out",
            ConflictingReportsWarning,
            stacklevel=2,
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
    """How often each source reports each class of each alloy, (N, S, C).

    Reports of other sources are not counted.
    """
    assert not isinstance(target, Continuous)
    rows = data.reports[data.reports["target"] == target.name]
    rows = rows[rows["source"].isin(sources)]
    counts = np.zeros((len(data), len(sources), len(target.classes)))
    at = pd.Index(data.formulas).get_indexer(pd.Index(rows["formula"]))
    source = pd.Index(sources).get_indexer(pd.Index(rows["source"]))
    value = encode_values(rows.set_index("formula")["value"], target).to_numpy(int)
    np.add.at(counts, (at, source, value), 1.0)
    return counts


def label_conditions(data: AlloyDataset, target: Continuous) -> Floats:
    """Conditions at which each alloy's label holds, (N, C): the median over its reports.

    Where none is known, the value at which predictions are made.
    """
    rows = at_room_temperature(data.reports[data.reports["target"] == target.name])
    columns = [
        numbers_of(rows, name).groupby(rows["formula"]).median().reindex(data.formulas)
        if name in rows
        else pd.Series(np.nan, data.formulas)
        for name in target.conditions
    ]
    return _at_reference(columns, target)


def measurements(data: AlloyDataset, target: Continuous) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Every report of a number: rows of its alloys (R,), conditions (R, C), values (R,).

    Raises
    ------
    DataError
        For a condition that the reports do not have.
    """
    rows = data.reports[data.reports["target"] == target.name]
    for name in target.conditions:
        if name not in rows:
            known = [str(column) for column in rows.columns]
            raise DataError(
                f"'{target.name}' depends on the condition '{name}', which is no column of the "
                f"reports.{nearest(name, known)} Columns: {', '.join(known)}"
            )
    at = pd.Index(data.formulas).get_indexer(pd.Index(rows["formula"]))
    conditions = _at_reference([numbers_of(rows, name) for name in target.conditions], target)
    values = encode_values(rows.set_index("formula")["value"], target).to_numpy(float)
    return at, conditions, values


def _at_reference(columns: Sequence[pd.Series], target: Continuous) -> Floats:
    """Columns side by side, the value at which predictions are made where one is not known."""
    references = target.conditions.values()
    filled = [column.fillna(value) for column, value in zip(columns, references, strict=True)]
    return np.stack(filled, -1).astype(float)
