"""Target properties, each with the prior that it has before an alloy is seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from pyro_hea.errors import SpecError, nearest
from pyro_hea.spec.base_target import BaseTarget, Reports
from pyro_hea.spec.declaration import Frozen, FrozenMapping
from pyro_hea.spec.experts import TargetPrior
from pyro_hea.spec.names import check_classes, check_text
from pyro_hea.spec.priors import Prior, check_support, format_prior

_MAX_LOGARITHM = 88.0
"""The exponential of more is no number in single precision."""


class Binary(BaseTarget):
    """A target that is 0 or 1, such as whether an alloy forms one solid-solution phase.

    Attributes
    ----------
    name : str
        The column of the table and the site of the model.
    given : tuple of str
        Targets that this one depends on.
    conditions : mapping of str to float or tuple of str
        Columns of the reports that a label depends on. A number, such as the test temperature, has
        the value at which predictions are made; classes, such as those of the processing, are
        listed, and predictions are made for the first.
    prior : Prior, HumeRothery, PhaseRule or Logistic
        A Bernoulli, or an expert's function of the features.
    reports : Reports or None
        Whether labels are taken as true (None) or as reports that may be wrong.
    calibration : "temperature", "beta" or None
        How probabilities are corrected by labels held out, once the model is trained: log odds
        divided by one number, or a curve of three, which need some hundred labels.
    """

    kind: Literal["binary"] = "binary"
    prior: TargetPrior = Prior(dist="Bernoulli", probs=0.5)
    reports: Reports | None = None
    calibration: Literal["temperature", "beta"] | None = None

    @model_validator(mode="after")
    def _check_prior(self) -> Self:
        check_support(self.prior, self.name, "boolean")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """Values as they are spelled in keys and columns."""
        return ("0", "1")


class Categorical(BaseTarget):
    """A target that is one of several classes, such as the phase of an alloy.

    Attributes
    ----------
    name : str
        The column of the table and the site of the model.
    classes : tuple of str
        What it may be.
    given : tuple of str
        Targets that this one depends on.
    conditions : mapping of str to float or tuple of str
        Columns of the reports that a label depends on. A number, such as the test temperature, has
        the value at which predictions are made; classes, such as those of the processing, are
        listed, and predictions are made for the first.
    only : mapping of target to mapping of its value to classes
        What this one may be where a target that it is given has a value; what is not named there
        is impossible.
    prior : Prior or None
        A Categorical over the classes; None makes them equally probable.
    reports : Reports or None
        Whether labels are taken as true (None) or as reports that may be wrong.
    calibration : "temperature" or None
        Whether log odds are divided by a number that labels held out ask for.
    """

    kind: Literal["categorical"] = "categorical"
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    only: Frozen[str, Frozen[str, tuple[str, ...]]] = FrozenMapping({})
    prior: Prior | None = None
    reports: Reports | None = None
    calibration: Literal["temperature"] | None = None

    @property
    def classes_given(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """The classes that are possible for each value of another target."""
        return self.only

    @field_validator("only", mode="before")
    @classmethod
    def _values_as_text(cls, only: Any) -> Any:
        if not isinstance(only, Mapping):
            return only
        return {
            parent: {str(value): classes for value, classes in values.items()}
            if isinstance(values, Mapping)
            else values
            for parent, values in only.items()
        }

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        check_classes(self.classes, "classes")
        if self.prior is not None:
            check_support(self.prior, self.name, "classes", len(self.classes))
        for parent, values in self.only.items():
            if parent not in self.given:
                raise ValueError(
                    f"only: '{parent}' is not in given.{nearest(parent, self.given)} Given: "
                    f"{', '.join(self.given) or 'nothing'}"
                )
            for value, classes in values.items():
                for name in classes:
                    if name not in self.classes:
                        raise ValueError(
                            f"only: {parent}: {value}: there is no class '{name}'."
                            f"{nearest(name, self.classes)} Classes: "
                            f"{', '.join(self.classes)}"
                        )
                if not classes:
                    raise ValueError(f"only: {parent}: {value}: at least one class must remain")
        return self


class Ordinal(BaseTarget):
    """A target with ordered levels, such as a rating of ductility.

    Attributes
    ----------
    name : str
        The column of the table and the site of the model.
    levels : tuple of str
        From the lowest to the highest.
    given : tuple of str
        Targets that this one depends on.
    conditions : mapping of str to float or tuple of str
        Columns of the reports that a label depends on. A number, such as the test temperature, has
        the value at which predictions are made; classes, such as those of the processing, are
        listed, and predictions are made for the first.
    prior : Prior or None
        A Categorical over the levels; None makes them equally probable.
    calibration : "temperature" or None
        Whether log odds are divided by a number that labels held out ask for.
    """

    kind: Literal["ordinal"] = "ordinal"
    levels: Annotated[tuple[str, ...], Field(min_length=2)]
    prior: Prior | None = None
    calibration: Literal["temperature"] | None = None

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        check_classes(self.levels, "levels")
        if self.prior is not None:
            check_support(self.prior, self.name, "classes", len(self.levels))
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The levels, as they are spelled in keys and columns."""
        return self.levels


class Continuous(BaseTarget):
    """A target that is a number, such as hardness.

    Attributes
    ----------
    name : str
        The column of the table and the site of the model.
    unit : str
        Unit of its values, such as "HV" or "MPa".
    positive : bool
        Whether values are above zero.
    transform : "log" or "identity"
        Whether the prior is of the value's logarithm or of the value itself.
    prior : Prior or None
        Of the logarithm or of the value. None is a normal that `fit` scales to the labels: at
        their mean, twice as wide as they are.
    heteroscedastic : bool
        Whether the scatter of the values depends on the features.
    given : tuple of str
        Targets that this one depends on.
    conditions : mapping of str to float or tuple of str
        Columns of the reports that a label depends on. A number, such as the test temperature, has
        the value at which predictions are made; classes, such as those of the processing, are
        listed, and predictions are made for the first.
    calibration : "tails", "temperature" or None
        Whether the scatter is multiplied by a number that labels held out ask for, and, of
        "tails", whether a second one makes the tails heavier or lighter than the normal's.
    """

    kind: Literal["continuous"] = "continuous"
    unit: str = ""
    positive: bool = True
    transform: Literal["log", "identity"] = "log"
    prior: Prior | None = None
    heteroscedastic: bool = True
    calibration: Literal["temperature", "tails"] | None = "tails"

    @model_validator(mode="after")
    def _check_prior(self) -> Self:
        if self.transform == "log" and not self.positive:
            raise ValueError("transform: log needs positive: true")
        if self.prior is None:
            return self
        if self.transform == "log":
            check_support(self.prior, self.name, "logarithm")
            self._check_logarithm(self.prior)
        else:
            check_support(self.prior, self.name, "positive" if self.positive else "number")
        return self

    def _check_logarithm(self, prior: Prior) -> None:
        """Refuse a prior whose exponential is no number in single precision."""
        low, high = prior.central_range()
        if max(-low, high) < _MAX_LOGARITHM:
            return
        unit = f" {self.unit}" if self.unit else ""
        far = high if high >= _MAX_LOGARITHM else low
        hint = (
            f"; for values near {far:g}{unit} write their logarithm, {math.log(far):.3g}"
            if far > 0
            else ""
        )
        raise ValueError(
            f"the prior of `{self.name}` is of the logarithm (transform: log), and "
            f"{format_prior(prior)} reaches to exp({far:.3g}){hint}, or write transform: identity"
        )

    @field_validator("unit")
    @classmethod
    def _check_unit(cls, unit: str) -> str:
        return check_text(unit, "unit") if unit else unit

    @property
    def known_prior(self) -> Prior:
        """The prior, declared or scaled to labels.

        Raises
        ------
        SpecError
            Where there is none yet.
        """
        if self.prior is None:
            raise SpecError(
                f"targets.{self.name}: there is no prior yet; fit scales one to the labels. "
                "Declare one, or call spec.scaled_to(data)"
            )
        return self.prior

    @property
    def classes(self) -> tuple[str, ...]:
        """Empty: a label is a number."""
        return ()

    @property
    def bounds(self) -> tuple[float, float]:
        """What a value lies strictly between."""
        if self.positive:
            return 0.0, math.inf
        if self.prior is None:
            return -math.inf, math.inf
        support = self.prior.support
        low = getattr(support, "lower_bound", -math.inf)
        high = getattr(support, "upper_bound", math.inf)
        return float(low), float(high)

    @property
    def allowed(self) -> str:
        """What a label may be, in words."""
        low, high = self.bounds
        above = f" above {low:g}" if low > -math.inf else ""
        below = f" below {high:g}" if high < math.inf else ""
        ends = f"{above} and{below}" if above and below else above or below
        by_prior = ""
        if not self.positive and ends and self.prior is not None:
            by_prior = f", by its prior {self.prior.dist}"
        return f"a number{ends}{by_prior}"


def _kind(given: Any) -> Any:
    if isinstance(given, Mapping):
        return given.get("kind", "binary")
    return getattr(given, "kind", None)


Target: TypeAlias = Binary | Categorical | Ordinal | Continuous
"""A target of any kind."""

KindOfTarget = Annotated[
    Annotated[Binary, Tag("binary")]
    | Annotated[Categorical, Tag("categorical")]
    | Annotated[Ordinal, Tag("ordinal")]
    | Annotated[Continuous, Tag("continuous")],
    Discriminator(_kind),
]
"""A target of any kind, told apart by its `kind`; without one, `binary`."""


def in_order(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Targets with each after those that it is given, else as declared.

    Raises
    ------
    ValueError
        Naming the cycle, where there is one.
    """
    by_name = {target.name: target for target in targets}
    placed: dict[str, Target] = {}
    for target in targets:
        path = [target.name]
        while path:
            name = path[-1]
            parent = next((parent for parent in by_name[name].given if parent not in placed), None)
            if parent is None:
                placed.setdefault(name, by_name[name])
                path.pop()
            elif parent in path:
                cycle = " -> ".join((*path[path.index(parent) :], parent))
                raise ValueError(
                    f"targets depend on each other in a cycle: {cycle}; break it in given"
                )
            else:
                path.append(parent)
    return tuple(placed.values())
