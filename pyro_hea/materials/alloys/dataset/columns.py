"""What the columns of a table are: composition, targets, conditions, and what is kept beside."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import pandas as pd

from pyro_hea.errors import DataError, TableWarning, excerpt, listing, nearest, warn
from pyro_hea.materials.alloys.dataset.gathering import to_numbers
from pyro_hea.materials.alloys.dataset.labels import ANSWERS, Target, numbers_of_values
from pyro_hea.materials.alloys.dataset.temperatures import converted, temperature_scale

Role: TypeAlias = Literal["composition", "target", "condition", "source", "kept"]

REPORT_COLUMNS = ("formula", "reported_formula", "target", "value", "unit")
"""Columns of the reports, which a column of a table must not hide."""

_UNIT = re.compile(r"(.*?)\s*[(\[]\s*([^()\[\]]+?)\s*[)\]]")
_UNIT_SUFFIXES = {"HV": "HV", "MPa": "MPa", "GPa": "GPa", "pct": "%", "g_cm3": "g/cm3"}
_CONDITION = re.compile(
    r"(test_)?temp(erature)?|test_type|process(ing)?(_.*)?|conditions?|(heat_)?treatment"
    r"|state|route|anneal.*|rolling.*|(strain|cooling|heating)_rate.*|(ageing|aging|holding)_.*"
)
_DESCRIPTION = re.compile(
    r"(sample|specimen|alloy)(_(name|id|no|nr|number|label))?|name|id|no|nr|number|index|column_\d+|doi|year|ref(erence)?s?"
    r"|authors?|title|journal|url|link|licen[cs]e|notes?|comments?|remarks?|date|lab(oratory)?"
)
_BLANK = {"n/a", "na", "n.a", "n.a.", "nd", "n.d.", "-", "–", "—"}
"""What people write where they have no value."""

_MOST_CLASSES = 20
_MEASUREMENT = re.compile(
    r"[~≈<>≤≥]?\s*[0-9]+([.,][0-9]+)?(\s*(±|\+/?-|-|–|to)\s*[0-9]+([.,][0-9]+)?)?\s*[A-Za-z/%°]{0,5}"
)
_RANGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:-|–|to)\s*([0-9]+(?:\.[0-9]+)?)")


class TargetDeclarations(Protocol):
    """What reading a table needs to know of a `ModelSpec`: its targets."""

    @property
    def target_names(self) -> tuple[str, ...]:
        """Their names."""

    def target(self, name: str) -> Target:
        """The target of that name."""


@dataclass
class Columns:
    """The roles of a table's columns, decided one after the other.

    Attributes
    ----------
    where : str
        The table, for messages.
    rows : DataFrame
        Its cells.
    former : dict
        What renamed columns were called, whose unit still holds.
    """

    where: str
    rows: pd.DataFrame
    former: dict[str, str] = field(default_factory=dict)
    _found: dict[str, dict[str, Any]] = field(default_factory=dict)
    _blanked: dict[str, str] = field(default_factory=dict)

    def add(
        self, column: str, role: Role, reason: str, name: str | None = None, unit: str = ""
    ) -> None:
        """Say what a column is."""
        count = int(self.rows[column].notna().sum())
        self._found[column] = {
            "role": role,
            "name": name or column,
            "unit": unit,
            "count": count,
            "reason": reason + self._blanked.get(column, ""),
        }

    @property
    def left(self) -> list[str]:
        """Columns that have no role yet."""
        return [str(column) for column in self.rows if column not in self._found]

    def named(self, *roles: Role) -> dict[str, str]:
        """Columns of those roles, with the names that the reports give them."""
        return {c: entry["name"] for c, entry in self._found.items() if entry["role"] in roles}

    def units(self) -> dict[str, str]:
        """Unit of each target."""
        return {e["name"]: e["unit"] for e in self._found.values() if e["role"] == "target"}

    def report(self) -> pd.DataFrame:
        """A row per column: `role`, `name`, `unit`, `count` of its values, and the `reason`."""
        found = {str(column): self._found[str(column)] for column in self.rows}
        report = pd.DataFrame.from_dict(found, orient="index")
        return report.rename_axis(index="column")

    def blank(self) -> None:
        """Take cells that say that there is no value, as `n/a`, for blank ones; reasons tell it."""
        for column in self.left:
            cells = self.rows[column]
            empty = cells.map(lambda cell: isinstance(cell, str) and cell.strip().lower() in _BLANK)
            if empty.any():
                self.rows[column] = cells.mask(empty.astype(bool), None)
                cell = excerpt(str(cells[empty.to_numpy(bool)].iloc[0]).strip())
                self._blanked[column] = f"; {int(empty.sum())} cells as {cell} are blank"

    def find_declared(self, spec: TargetDeclarations) -> None:
        """Give a role to the columns of declared targets and their conditions.

        Raises
        ------
        DataError
            Without any target, or for a label that a target cannot have.
        """
        named = {split_unit(column)[0]: column for column in reversed(self.left)}
        conditions: dict[str, str] = {}
        for name in spec.target_names:
            target = spec.target(name)
            conditions |= dict.fromkeys(getattr(target, "conditions", {}), name)
            column = name if name in self.left else named.get(name)
            if column is not None:
                self.rows[column] = labels_of_column(
                    self.rows[column], target, f"{self.where}: column {excerpt(column)}"
                )
                unit = getattr(target, "unit", "") or self._unit(column)
                self.add(column, "target", "declared", name, unit)
        if not self.named("target"):
            raise DataError(
                f"{self.where}: there is no column of a declared target "
                f"({listing(spec.target_names)}).{nearest(spec.target_names[0], self.left)} Rename "
                "columns with columns={'their name': 'target'}"
            )
        for column in self.left:
            declared = next((n for n in conditions if same_condition(n, column)), None)
            if declared is not None:
                self._add_condition(column, f"of {conditions[declared]}", declared)

    def _add_condition(self, column: str, reason: str, name: str) -> None:
        """A condition, a temperature of a test on the scale of its name in the reports."""
        scale, wanted = temperature_scale(column), temperature_scale(name)
        if scale and wanted:
            where = f"{self.where}: column {excerpt(column)}"
            self.rows[column] = converted(self.rows[column], scale, wanted, where)
            if scale != wanted:
                reason += f", converted to °{wanted.upper()}"
        self.add(column, "condition", reason, name)

    def _warn_of_scale(self, column: str) -> None:
        warn(
            f"{self.where}: column {excerpt(column)} names no scale, so that its tests at room "
            "temperature are not told from others; call it 'test temperature (°C)', (K) or (°F)",
            TableWarning,
        )

    def _warn_of_measurements(self, column: str) -> None:
        """Say that a column is no target because its numbers are written with something else."""
        given = self.rows[column].dropna().astype(str).str.strip()
        written = given[given.str.fullmatch(_MEASUREMENT)]
        if len(written) > len(given) / 2:
            warn(
                f"{self.where}: column {excerpt(column)} is no target, since {len(written)} of its "
                f"{len(given)} cells are no plain numbers, as {excerpt(written.iloc[0])}; write "
                "numbers alone",
                TableWarning,
            )

    def infer_targets(self) -> None:
        """Take every measured column for a target: numbers, 0 and 1, or a few classes.

        Raises
        ------
        DataError
            For a column of numbers with a cell that is none, or two targets of one name.
        """
        for column in self.left:
            name, unit = split_unit(column)[0], self._unit(column)
            if is_condition(column):
                self._add_condition(column, "named like a condition", condition_name(column))
                if not unit and re.fullmatch(r"(test_)?temp(erature)?", name):
                    self._warn_of_scale(column)
                continue
            if _DESCRIPTION.fullmatch(name):
                self.add(column, "kept", "named like a description")
                continue
            values, reason = _measured(self.rows[column], f"{self.where}: column {excerpt(column)}")
            if values is None:
                self._warn_of_measurements(column)
                self.add(column, "kept", reason)
                continue
            if name in self.named("target").values():
                raise DataError(
                    f"{self.where}: column {excerpt(column)} and another are both the target "
                    f"'{name}'; rename one with columns={{{excerpt(column)}: …}}"
                )
            self.rows[column] = values
            self.add(column, "target", reason, name, unit)

    def _unit(self, column: str) -> str:
        """From its name, or from what it was called: `YS (MPa)`, or `HV` and `HV0.5` alone."""
        names = (column, self.former.get(column, ""))
        units = [split_unit(name)[1] for name in names]
        units += ["HV" for name in names if re.fullmatch(r"HV ?[\d.]*", name)]
        return next(filter(None, units), "")


def split_unit(column: str) -> tuple[str, str]:
    """The name of a target and its unit, from the name of a column.

    Examples
    --------
    >>> split_unit("Yield strength (MPa)"), split_unit("hardness_HV"), split_unit("σ0.2")
    (('yield_strength', 'MPa'), ('hardness', 'HV'), ('sigma_0_2', ''))
    """
    unit = ""
    if match := _UNIT.fullmatch(column):
        column, unit = match.groups()
    for suffix, meaning in _UNIT_SUFFIXES.items():
        if not unit and re.fullmatch(rf".+[_ ,/]{suffix}", column):
            column, unit = column[: -len(suffix)], meaning
    plain = unicodedata.normalize("NFKD", column)
    plain = re.sub("[α-ωΑ-Ω]", lambda letter: f"{unicodedata.name(letter[0]).split()[-1]}_", plain)
    plain = plain.encode("ascii", "ignore").decode()  # é as e
    name = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    return name if name[:1].isalpha() else f"column_{name}".rstrip("_"), unit


def condition_name(column: str) -> str:
    """What the reports call a condition; the temperature of the test has one name.

    Examples
    --------
    >>> condition_name("Test temperature (K)"), condition_name("Heat treatment")
    ('test_temperature_C', 'heat_treatment')
    """
    if temperature_scale(column):
        return "test_temperature_C"
    name, unit = split_unit(column)
    return column if unit else name


def same_condition(declared: str, column: str) -> bool:
    """Whether a column is that of a declared condition, however it is spelled."""
    return column == declared or condition_name(column) == condition_name(declared)


def is_condition(column: str) -> bool:
    """Whether a column is named like a condition of measurements."""
    return bool(temperature_scale(column) or _CONDITION.fullmatch(split_unit(column)[0]))


def labels_of_column(column: pd.Series, target: Target, where: str) -> pd.Series:
    """Labels as the target's classes spell them, or as numbers; the first faulty row is named."""
    text = column.map(lambda value: "" if value is None else str(value).strip())
    numbers = numbers_of_values(text, target)
    faulty = (text != "") & numbers.isna()
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        raise DataError(
            f"{where}, row {row + 1}: label {excerpt(text.iloc[row])} is not allowed; write "
            f"{target.allowed} or leave it blank for an unlabelled alloy."
            f"{nearest(text.iloc[row], target.classes)}"
        )
    if target.classes in {(), ("0", "1")}:
        return numbers
    return numbers.map(lambda position: target.classes[int(position)], na_action="ignore")


def _instead(text: str) -> str:
    """What to write for a cell that is no number."""
    if ends := _RANGE.fullmatch(text.strip()):
        return f"a number, as the middle of the range, {(float(ends[1]) + float(ends[2])) / 2:g},"
    return "a number"


def _measured(column: pd.Series, where: str) -> tuple[pd.Series | None, str]:
    """The labels of a column that holds a measurement, and why it does or does not."""
    given = column.dropna().map(lambda value: str(value).strip())
    if given.empty:
        return None, "holds no value"
    answers = given.map(str.casefold).map(ANSWERS)
    if answers.nunique() == 2 and answers.notna().all():
        return answers.reindex(column.index), "yes and no"
    numbers = to_numbers(column).replace([np.inf, -np.inf], np.nan)
    count = int(numbers.notna().sum())
    if len(given) / 2 <= count < len(given):
        row = int(np.flatnonzero(column.notna() & numbers.isna())[0])
        raise DataError(
            f"{where}, row {row + 1}: {excerpt(str(column.iloc[row]))} is not a number, as "
            f"{count} other cells are; write {_instead(str(column.iloc[row]))} or leave it blank, "
            "or leave the column out"
        )
    if count == len(given):
        return numbers, "0 and 1" if numbers.dropna().isin([0, 1]).all() else "numbers"
    different = given.nunique()
    if different == 1:
        return None, "holds one text only"
    if different <= min(_MOST_CLASSES, len(given) * 2 / 3):
        labels = column.map(lambda value: None if value is None else str(value).strip())
        return labels, f"{different} classes"
    return None, f"{different} different texts in {len(given)} cells: no class"


def rename(rows: pd.DataFrame, columns: Mapping[str, str] | None, where: str) -> pd.DataFrame:
    """Rename columns, as `read_alloys` is asked to."""
    for old in columns or {}:
        if old not in rows:
            raise DataError(
                f"{where}: there is no column {excerpt(old)} to rename.{nearest(old, rows.columns)}"
                f" Columns: {listing(rows.columns)}"
            )
    renamed = rows.rename(columns=dict(columns or {}))
    for name in renamed.columns[renamed.columns.duplicated()]:
        raise DataError(f"{where}: after renaming, two columns are called {excerpt(name)}")
    return renamed
