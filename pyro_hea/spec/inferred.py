"""A spec from data: which columns are targets, of which kind, with which unit and prior."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from pyro_hea.errors import DataError, FewLabelsWarning, SpecError, nearest, warn
from pyro_hea.materials.alloys.dataset import tested_elsewhere
from pyro_hea.spec.declaration import FrozenMapping
from pyro_hea.spec.inferred_conditions import infer_conditions, numbers_of
from pyro_hea.spec.priors import Prior, format_prior
from pyro_hea.spec.targets import Binary, Categorical, Continuous, Ordinal, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.alloys.dataset import AlloyDataset, Reference

    Floats: TypeAlias = NDArray[np.float64]

PRIOR_SPREAD = 2.0
"""Standard deviation of an inferred prior, in standard deviations of the values."""

FEW_NUMBERS, FEW_OF_A_CLASS = 20, 5
"""Fewer labels of a number, or of one class, give a warning."""

_MAX_CLASSES = 20
_RATINGS = range(11)
"""Consecutive whole numbers among these are levels, not measurements."""

_OF_REPORTS = ("formula", "target", "value", "unit", "reported_formula")
"""Columns of the reports that are no facts about how something was measured."""


class Column(NamedTuple):
    """What a column of the data is to a spec.

    Attributes
    ----------
    name : str
    used_as : str
        A kind of target, "condition" or "ignored".
    labels : int
        Alloys with a label; of a condition or an ignored column, reports that have it.
    unit, prior : str
        Of a target, else empty.
    why : str
        What decided.
    """

    name: str
    used_as: str
    labels: int
    unit: str
    prior: str
    why: str


class Inference(NamedTuple):
    """Targets inferred from data, and what became of each column."""

    targets: tuple[Target, ...]
    columns: tuple[Column, ...]

    def __str__(self) -> str:
        head = ("column", "used as", "labels", "unit", "prior", "why")
        rows = [[str(cell) for cell in row] for row in (head, *self.columns)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


_ELSEWHERE = "{} alloys without a label: no test between 15 and 35 °C"

_DISTILLED_NUMBERS = 100
"""Labels of a number below which its head learns by distillation."""


def infer_targets(data: AlloyDataset, names: Sequence[str] | None = None) -> Inference:
    """Infer a target for each measured column of a dataset.

    Text and 0 and 1 are classes, consecutive small whole numbers are levels, other numbers are
    continuous. A number whose values are all positive gets `transform: log`, so that predictions
    are positive. Its prior is a normal at the mean of the (log) values with twice their standard
    deviation. A target measured at several test temperatures, or of alloys processed in several
    ways, depends on these conditions; see `infer_conditions`.

    Parameters
    ----------
    data : AlloyDataset
    names : sequence of str, optional
        Columns to use; all by default.

    Raises
    ------
    DataError
        For a name that is no column, or one that cannot be a target, or where no column can.
    """
    every = [str(name) for name in data.targets]
    for name in names or ():
        if name not in every:
            raise DataError(
                f"'{name}' is no measured column.{nearest(name, every)} Columns: {', '.join(every)}"
            )
    targets: list[Target] = []
    columns: list[Column] = []
    conditions: dict[str, str] = {}
    for name in every:
        values = _reports_of(data, name)["value"].tolist()
        labels = int(data.labels[name].count())
        if names is not None and name not in names:
            columns.append(Column(name, "ignored", labels, "", "", "not asked for"))
            continue
        elsewhere = tested_elsewhere(_reports_of(data, name))
        try:
            if elsewhere and not labels:
                raise DataError(
                    f"{_ELSEWHERE.format(elsewhere)}; without the column of the temperature its "
                    "values count as they are"
                )
            target, why = _infer(name, values, _unit(data, name))
        except (SpecError, DataError) as error:
            reason = str(error).removeprefix("Target: ")
            if names is not None:
                raise DataError(f"column '{name}' cannot be a target: {reason}") from None
            columns.append(Column(name, "ignored", labels, "", "", reason))
            continue
        at = infer_conditions(data, name, not isinstance(target, Continuous))
        target = target.model_copy(update={"conditions": FrozenMapping(at)})
        targets.append(target)
        conditions |= {n: _at(reference) for n, reference in at.items()}
        unit, prior = "", "equal probabilities"
        if isinstance(target, Continuous):
            assert target.prior is not None
            log = "exp " if target.transform == "log" else ""
            unit, prior = target.unit, log + format_prior(target.prior)
        if elsewhere:
            why += "; " + _ELSEWHERE.format(elsewhere)
        columns.append(Column(name, target.kind, labels, unit, prior, why))
    if not targets:
        reasons = "; ".join(f"{c.name}: {c.why}" for c in columns) or "it has no measured column"
        raise DataError(f"no column of the data can be a target ({reasons})")
    return Inference(tuple(targets), (*columns, *_other_columns(data, conditions)))


def prior_of_values(values: Sequence[float] | Floats, transform: str) -> Prior:
    """A weakly informative normal prior: at the mean of the values, twice as wide as they are.

    Parameters
    ----------
    values : sequence of float, in the unit of the target
    transform : "log" or "identity"
        "log": mean and standard deviation are those of the logarithms.

    Examples
    --------
    >>> prior_of_values([300.0, 500.0, 700.0], "log")
    Prior(dist='Normal', loc=6.16, scale=0.853)
    """
    numbers = np.asarray(values, float)
    numbers = np.log(numbers) if transform == "log" else numbers
    centre, spread = float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0
    least = 0.1 if transform == "log" else 0.1 * abs(centre) or 1.0
    return Prior(
        dist="Normal",
        loc=_three_digits(centre),
        scale=_three_digits(max(PRIOR_SPREAD * spread, least)),
    )


def with_priors_of_data(targets: Sequence[Target], data: AlloyDataset) -> dict[str, Prior]:
    """A prior scaled to the data for each number that declares none, by target."""
    found = {}
    for target in targets:
        if isinstance(target, Continuous) and target.prior is None and target.name in data.labels:
            numbers = numbers_of(data.labels[target.name].dropna().tolist())
            if numbers is not None and len(numbers):
                low, high = target.bounds
                inside = numbers[(numbers > low) & (numbers < high)]
                found[target.name] = prior_of_values(inside, target.transform)
    return found


def has_few_numbers(targets: Sequence[Target], data: AlloyDataset) -> bool:
    """Whether a number has so few labels that its head learns better by distillation."""
    labels = data.labels
    return any(
        isinstance(target, Continuous)
        and target.name in labels
        and labels[target.name].count() < _DISTILLED_NUMBERS
        for target in targets
    )


def warn_of_few_labels(targets: Sequence[Target], data: AlloyDataset) -> None:
    """Warn of targets with fewer labels than can be learnt from with any trust.

    Warns
    -----
    FewLabelsWarning
        Counting the labels of each such target.
    """
    few = []
    for target in targets:
        if target.name not in data.labels:
            continue
        labels = data.labels[target.name].dropna().tolist()
        if isinstance(target, Continuous):
            if 0 < len(labels) < FEW_NUMBERS:  # without any the target is refused
                few.append(f"'{target.name}' has {len(labels)} labels, fewer than {FEW_NUMBERS}")
            continue
        counts = Counter(_spell(label) for label in labels)
        few += [
            f"'{target.name}' is '{name}' for {counts[_spell(name)]} alloys, "
            f"fewer than {FEW_OF_A_CLASS}"
            for name in target.classes
            if counts[_spell(name)] < FEW_OF_A_CLASS
        ]
    if few:
        warn(
            f"few labels: {'; '.join(few)}. Predictions rest on the prior; add labels, merge "
            "classes, or take the target out of the spec",
            FewLabelsWarning,
        )


def _infer(name: str, values: list[Any], unit: str) -> tuple[Target, str]:
    """A target for the values of a column, and why that one."""
    if len(values) == 0:
        raise DataError("it has no value")
    numbers = numbers_of(values)
    if numbers is None:
        classes = sorted({str(value).strip() for value in values})
        if len(classes) == 1:
            raise DataError(f"every value is '{classes[0][:40]}'")
        if len(classes) > min(_MAX_CLASSES, max(2, len(values) // 3)):
            raise DataError(f"{len(classes)} texts in {len(values)} rows are names, not classes")
        return Categorical(name=name, classes=tuple(classes)), f"text of {len(classes)} classes"
    distinct = np.unique(numbers)
    if len(distinct) == 1:
        raise DataError(f"every value is {distinct[0]:g}")
    if set(distinct.tolist()) == {0.0, 1.0}:
        return Binary(name=name), "0 and 1"
    if not np.isfinite(numbers).all():
        raise DataError("a value is not finite")
    whole = {*_RATINGS} >= set(distinct.tolist()) and np.ptp(distinct) == len(distinct) - 1
    if whole and len(distinct) > 2 and len(values) >= 5 * len(distinct):
        levels = tuple(f"{level:g}" for level in distinct)
        return Ordinal(name=name, levels=levels), f"whole numbers from {levels[0]} to {levels[-1]}"
    positive = bool((numbers > 0).all())
    transform = "log" if positive else "identity"
    target = Continuous(
        name=name,
        unit=unit,
        positive=positive,
        transform=transform,
        prior=prior_of_values(numbers, transform),
    )
    return target, "positive numbers" if positive else "numbers, not all of them positive"


def _reports_of(data: AlloyDataset, name: str) -> Any:
    return data.reports[data.reports["target"] == name]


def _unit(data: AlloyDataset, name: str) -> str:
    """The unit that most reports of a target give."""
    if "unit" not in data.reports:
        return ""
    units = Counter(str(unit) for unit in _reports_of(data, name)["unit"].dropna() if unit)
    return units.most_common(1)[0][0] if units else ""


def _at(reference: Reference) -> str:
    """Where a condition is predicted by default, in words."""
    if isinstance(reference, tuple):
        return f"{', '.join(reference)}; predictions are for '{reference[0]}' unless asked"
    return f"several values; predictions are at {reference:g} unless asked"


def _other_columns(data: AlloyDataset, conditions: Mapping[str, str]) -> Iterator[Column]:
    """Columns of the table, or of the reports, that are no targets."""
    if data.columns_report is not None:
        for name, row in data.columns_report.iterrows():
            if row["role"] == "composition":
                yield Column(str(name), "composition", int(row["count"]), "", "", row["reason"])
            elif row["role"] != "target":
                used = row["name"] in conditions
                why = conditions[row["name"]] if used else row["reason"]
                if used and row["name"] != name:
                    why = f"read as {row['name']}; {why}"
                if row["role"] == "condition" and not used:
                    why = "a condition with one value, of many texts or known of few"
                role = "condition" if used else "ignored"
                yield Column(str(name), role, int(row["count"]), "", "", why)
        return
    for name in map(str, data.reports.columns):
        if name in _OF_REPORTS:
            continue
        known = int((data.reports[name].notna() & (data.reports[name] != "")).sum())
        if name in conditions:
            yield Column(name, "condition", known, "", "", conditions[name])
        else:
            yield Column(name, "ignored", known, "", "", "kept with the reports, no target")


def _three_digits(number: float) -> float:
    return float(f"{number:.3g}")


def _spell(value: Any) -> str:
    text = str(value).strip()
    return f"{float(text):g}" if re.fullmatch(r"-?\d+(\.\d*)?", text) else text
