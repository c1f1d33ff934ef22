"""Priors of a binary target by an expert: log odds that depend on the features of the alloy."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    field_validator,
)
from torch import Tensor
from torch.distributions import Distribution

from pyro_hea.errors import nearest
from pyro_hea.materials.alloys.features import FEATURES
from pyro_hea.spec.declaration import Declaration, Frozen, Positive
from pyro_hea.spec.priors import Prior, check_support

RULES = ("hume_rothery", "king", "singh", "wang", "ye")
"""Rules by name."""


def _check_rule(name: Any) -> Any:
    if name not in RULES:
        hint = nearest(str(name), RULES)
        raise ValueError(f"'{name}' is no rule.{hint} Rules: {', '.join(RULES)}")
    return name


class Rule(Declaration, ABC):
    """Log odds of a binary target by criteria on features: `strength` where all hold.

    Attributes
    ----------
    strength : float
        Log odds of an alloy that meets every criterion; any other has `-strength`.
    """

    if TYPE_CHECKING:  # each rule declares it, after the keys of its own
        strength: float

    @property
    @abstractmethod
    def criteria(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each feature that it reads."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it reads."""
        return tuple(self.criteria)

    def log_odds(self, columns: Mapping[str, Tensor]) -> Tensor:
        """Log odds of 1.

        Parameters
        ----------
        columns : mapping of str to Tensor, shape (...,)
            Each of `features` in its own unit, not standardised.

        Returns
        -------
        Tensor, shape (...,)
        """
        met = [
            (columns[name] >= low) & (columns[name] <= high)
            for name, (low, high) in self.criteria.items()
        ]
        every = torch.stack(torch.broadcast_tensors(*met)).all(0)
        return torch.where(every, self.strength, -self.strength)


class HumeRothery(Rule):
    """Log odds of a binary target by the rules of thumb for solid solutions.

    An alloy that meets every criterion has the log odds `strength`, any other `-strength`: 2 is
    a probability of 0.88. The size difference and Ω are after Yang and Zhang, Mater. Chem. Phys.
    132 (2012) 233; the mixing enthalpy and entropy after Zhang et al., Adv. Eng. Mater. 10 (2008)
    534.

    Attributes
    ----------
    delta_max : float
        Largest atomic size difference, %.
    mixing_enthalpy : (float, float)
        Lowest and highest, kJ/mol.
    mixing_entropy : (float, float) or None
        Lowest and highest, J/(mol K); None asks nothing of it.
    omega_min : float or None
        Least Ω; None asks nothing of it.
    strength : float
        Log odds. Negative where the target is what the rules speak against.

    Examples
    --------
    >>> rule = HumeRothery()
    >>> columns = {"atomic_size_difference": [4.0, 8.0], "mixing_enthalpy": [-5.0, -5.0]}
    >>> rule.log_odds({name: torch.tensor(values) for name, values in columns.items()})
    tensor([ 2., -2.])
    """

    rule: Annotated[Literal["hume_rothery"], BeforeValidator(_check_rule)] = "hume_rothery"
    delta_max: Positive = 6.6
    mixing_enthalpy: tuple[float, float] = (-15.0, 5.0)
    mixing_entropy: tuple[float, float] | None = None
    omega_min: Positive | None = None
    strength: float = 2.0

    @field_validator("mixing_enthalpy", "mixing_entropy")
    @classmethod
    def _check_order(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and bounds[0] >= bounds[1]:
            raise ValueError("the lower bound comes first, and lies below the upper one")
        return bounds

    @property
    def criteria(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each feature that it reads."""
        criteria = {
            "atomic_size_difference": (-math.inf, self.delta_max),
            "mixing_enthalpy": self.mixing_enthalpy,
        }
        if self.mixing_entropy is not None:
            criteria["mixing_entropy"] = self.mixing_entropy
        if self.omega_min is not None:
            criteria["omega"] = (self.omega_min, math.inf)
        return criteria


_LIMITS = {
    "king": ("king_phi", (1.0, math.inf)),
    "singh": ("singh_lambda", (0.96, math.inf)),
    "wang": ("wang_gamma", (-math.inf, 1.175)),
    "ye": ("ye_phi", (20.0, math.inf)),
}
"""Feature of each rule, with its lowest and highest value in a solid solution."""


class PhaseRule(Rule):
    """Log odds of a binary target by one parameter of the field, at its published limit.

    `king`: Φ ≥ 1, King et al., Acta Mater. 104 (2016) 172. `singh`: Λ ≥ 0.96, Singh et al.,
    Intermetallics 53 (2014) 112. `wang`: γ ≤ 1.175, Wang et al., Scr. Mater. 94 (2015) 28. `ye`:
    φ ≥ 20, Ye et al., Scr. Mater. 104 (2015) 53. Their features are not among the default ones.

    Attributes
    ----------
    rule : "king", "singh", "wang" or "ye"
    strength : float
        Log odds. Negative where the target is what the rule speaks against.

    Examples
    --------
    >>> PhaseRule(rule="singh").log_odds({"singh_lambda": torch.tensor([3.5, 0.3])})
    tensor([ 2., -2.])
    """

    rule: Annotated[Literal["king", "singh", "wang", "ye"], BeforeValidator(_check_rule)]
    strength: float = 2.0

    @property
    def criteria(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each feature that it reads."""
        return dict([_LIMITS[self.rule]])


def _check_feature(name: str) -> str:
    if name not in FEATURES:
        raise ValueError(f"'{name}' is no feature.{nearest(name, FEATURES)}")
    return name


def _refuse_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a boolean")
    return value


def _check_number(prior: Prior) -> Prior:
    check_support(prior, "coefficient", "number")
    return prior


FeatureName = Annotated[
    str, AfterValidator(_check_feature), WithJsonSchema({"type": "string", "enum": list(FEATURES)})
]
Coefficient = Annotated[
    Annotated[float, BeforeValidator(_refuse_boolean), Tag("number")]
    | Annotated[Prior, AfterValidator(_check_number), Tag("Prior")],
    Discriminator(
        lambda value: "Prior" if isinstance(value, (dict, Prior, Distribution)) else "number"
    ),
]


class Logistic(Declaration):
    """Log odds of a binary target as a linear function of features, its coefficients unknown.

    Attributes
    ----------
    logistic : mapping of feature name to number or Prior
        Change of the log odds over one standard deviation of the feature among the training
        alloys. A plain number is the mean of a normal prior.
    intercept : number or Prior
        Log odds of an alloy whose features are all average.
    scale : float
        Standard deviation of the normal priors whose mean is a plain number.

    Examples
    --------
    >>> prior = Logistic(logistic={"number_of_elements": -0.8})
    >>> prior.coefficients["number_of_elements"]
    Prior(dist='Normal', loc=-0.8, scale=0.5)
    """

    logistic: Frozen[FeatureName, Coefficient] = Field(json_schema_extra={"minProperties": 1})
    intercept: Coefficient = 0.0
    scale: Positive = 0.5

    @field_validator("logistic")
    @classmethod
    def _check_not_empty(cls, logistic: Mapping[str, Any]) -> Mapping[str, Any]:
        if not logistic:
            raise ValueError("name at least one feature")
        return logistic

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it reads."""
        return tuple(self.logistic)

    @property
    def coefficients(self) -> dict[str, Prior]:
        """Prior of each feature's coefficient, and of the `intercept`, which comes last."""
        given = {**self.logistic, "intercept": self.intercept}
        return {
            name: value
            if isinstance(value, Prior)
            else Prior(dist="Normal", loc=value, scale=self.scale)
            for name, value in given.items()
        }


TargetPrior = Annotated[
    Annotated[Prior, Tag("Prior")]
    | Annotated[HumeRothery, Tag("HumeRothery")]
    | Annotated[PhaseRule, Tag("PhaseRule")]
    | Annotated[Logistic, Tag("Logistic")],
    Discriminator(lambda value: _prior_kind(value)),
]
"""Prior of a target: a distribution, or log odds that depend on the features of the alloy."""


def _prior_kind(value: Any) -> str:
    if not isinstance(value, dict):
        return type(value).__name__ if isinstance(value, Rule | Logistic) else "Prior"
    if "rule" in value:
        return "PhaseRule" if value["rule"] in [*_LIMITS] else "HumeRothery"
    return "Logistic" if "logistic" in value else "Prior"
