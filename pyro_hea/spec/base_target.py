"""What targets of every kind declare, and how far the sources of their labels are trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import field_validator, model_validator

from pyro_hea.spec.declaration import Declaration, Frozen, FrozenMapping, Positive
from pyro_hea.spec.names import TargetName, check_classes, check_target_name, check_text, is_number


class Counts(Declaration):
    """What is thought of a source before its reports are seen, in reports.

    Attributes
    ----------
    right, wrong : float
        As if so many of its reports had been checked and found so. A wrong report names each
        other class as often.
    """

    right: Positive = 9.0
    wrong: Positive = 1.0


class Reports(Counts):
    """Labels are reports of a latent truth, wrong at a rate that is inferred for each source.

    Dawid and Skene, Maximum likelihood estimation of observer error-rates using the EM algorithm
    (1979), with Dirichlet priors.

    Attributes
    ----------
    right, wrong : float
        Prior counts of a source that is not named in `sources`.
    sources : mapping of str to Counts
        Prior counts of single sources.
    """

    sources: Frozen[str, Counts] = FrozenMapping({})

    @field_validator("sources")
    @classmethod
    def _check_sources(cls, sources: Mapping[str, Counts]) -> Mapping[str, Counts]:
        for source in sources:
            check_text(source, "source")
        return sources

    def of(self, source: str) -> Counts:
        """Prior counts of a source."""
        return self.sources.get(source, self)


class BaseTarget(Declaration):
    """What every target declares.

    Attributes
    ----------
    name : str
        The column of the table and the site of the model.
    given : tuple of str
        Targets that this one depends on: its prior's centre moves with them by learnt weights,
        and the guide reads them.
    conditions : mapping of str to float or tuple of str
        Columns of the reports that a label depends on. A number, such as the test temperature, has
        the value at which predictions are made; classes, such as those of the processing, are
        listed, and predictions are made for the first.
    """

    name: TargetName
    given: tuple[str, ...] = ()
    conditions: Frozen[str, float | tuple[str, ...]] = FrozenMapping({})

    @property
    def bounds(self) -> tuple[float, float]:
        """What a number lies strictly between."""
        return -math.inf, math.inf

    @property
    def allowed(self) -> str:
        """What a label may be, in words."""
        return ", ".join(getattr(self, "classes", ()))

    @property
    def classes_given(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """The classes that are possible for each value of another target."""
        return {}

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return check_target_name(name)

    @field_validator("given", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @field_validator("conditions", mode="before")
    @classmethod
    def _numbers_or_classes(cls, conditions: Any) -> Any:
        for name, value in conditions.items() if isinstance(conditions, Mapping) else ():
            if isinstance(value, str) and not is_number(value):
                raise ValueError(
                    f"condition '{name}': list every class, that of predictions first, as "
                    f"[{value}, annealed]"
                )
        return conditions

    @field_validator("conditions")
    @classmethod
    def _check_conditions(
        cls, conditions: Mapping[str, float | tuple[str, ...]]
    ) -> Mapping[str, float | tuple[str, ...]]:
        for name, value in conditions.items():
            check_text(name, "condition")
            if name in ("formula", "target", "value", "source"):
                raise ValueError(f"condition '{name}' is another column of the reports already")
            if isinstance(value, tuple):
                check_classes(value, f"condition '{name}'")
                if len(value) < 2:
                    raise ValueError(f"condition '{name}' needs two classes or more")
        return conditions

    @model_validator(mode="after")
    def _check_reports(self) -> Self:
        if getattr(self, "reports", None) is not None and self.conditions:
            raise ValueError("reports and conditions exclude each other; declare one of them")
        return self
