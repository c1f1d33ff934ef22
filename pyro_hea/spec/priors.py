"""Priors by name, and priors in which an expert's rule or coefficients speak.

A prior is a distribution of Pyro with its arguments, as `{dist: Normal, loc: 0, scale: 1}`. What
a binary target is likely to be may also depend on the features of the alloy, by `HumeRothery` or
`Logistic`; and the latent space has priors that are learnt, `Mixture`, `VampPrior` and
`FlowPrior`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import torch
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_hea.alloys.features import FEATURES
from pyro_hea.errors import SpecError, nearest
from pyro_hea.spec.declaration import Declaration, Frozen, Positive, Width
from pyro_hea.spec.distributions import (
    DISTRIBUTIONS,
    Argument,
    Fault,
    build,
    parameters,
    ranges_of,
    read_arguments,
    register_distribution,
    support_name,
    unknown_name,
)

__all__ = [
    "FlowPrior",
    "HumeRothery",
    "LatentPrior",
    "Logistic",
    "Mixture",
    "Prior",
    "TargetPrior",
    "VampPrior",
    "check_support",
    "register_distribution",
]


class Prior(Declaration):
    """A distribution of `pyro.distributions` by its name, with its arguments.

    Attributes
    ----------
    dist : str
        A distribution of one number or class, or one of your own (`register_distribution`).
    arguments : tuple of (name, value)
        In the order of the distribution's constructor; each a key of its own in YAML and an
        argument of its own in Python.

    Raises
    ------
    SpecError
        For an unknown distribution, a missing or unknown argument, or one out of its range.

    Examples
    --------
    >>> prior = Prior(dist="Normal", loc=0.0, scale=2.0)
    >>> prior
    Prior(dist='Normal', loc=0.0, scale=2.0)
    >>> prior.distribution(), prior.support
    (Normal(loc: 0.0, scale: 2.0), Real())
    """

    dist: str
    arguments: tuple[tuple[str, Argument], ...] = ()

    if TYPE_CHECKING:

        def __init__(self, *, dist: str, **arguments: Any) -> None: ...

    def distribution(self, like: Tensor | None = None) -> TorchDistribution:
        """The distribution itself, in the precision and on the device of `like`."""
        return build(self.dist, dict(self.arguments), like)

    @property
    def support(self) -> constraints.Constraint:
        """What a value drawn from it can be."""
        return cast("constraints.Constraint", self.distribution().support)

    @model_validator(mode="before")
    @classmethod
    def _checked(cls, data: Any) -> Any:
        if isinstance(data, cls):
            return data
        if not isinstance(data, dict):
            raise ValueError("a prior is a dictionary such as {dist: Normal, loc: 0, scale: 1}")
        name = data.get("dist")
        if name is None:
            raise ValueError("`dist` is missing: name a distribution, as {dist: Normal, …}")
        if not isinstance(name, str) or name not in DISTRIBUTIONS:
            raise _refusal([unknown_name(name)])
        given = {key: value for key, value in data.items() if key != "dist"}
        arguments, faults = read_arguments(name, given)
        if faults:
            raise _refusal(faults)
        return {"dist": name, "arguments": tuple(arguments.items())}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"dist": self.dist, **dict(self.arguments)}

    def __repr_args__(self) -> Any:
        return self._flat().items()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"title": cls.__name__, "anyOf": [_json_schema(name) for name in DISTRIBUTIONS]}


def _json_schema(name: str) -> dict[str, Any]:
    """What an editor is told of a distribution."""
    number, ranges, taken = {"type": "number"}, ranges_of(name), parameters(name)
    several = {"type": "array", "items": number, "minItems": 1}
    of = {key: several if getattr(ranges.get(key), "event_dim", 0) else number for key in taken}
    return {
        "title": name,
        "type": "object",
        "properties": {"dist": {"const": name}, **of},
        "required": ["dist", *(key for key, required in taken.items() if required)],
        "additionalProperties": False,
    }


def _refusal(faults: list[Fault]) -> ValidationError:
    """Faults at keys that are no fields, each with its place."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError("prior", fault.message),
            loc=fault.place,
            input=fault.given if fault.place else {},
        )
        for fault in faults
    ]
    return ValidationError.from_exception_data("Prior", details)


def check_support(
    prior: TargetPrior,
    site: str,
    needed: Literal["boolean", "classes", "real", "positive", "probability", "number"],
    classes: int | None = None,
) -> None:
    """Refuse a prior that gives what a site cannot be.

    Parameters
    ----------
    prior : Prior, HumeRothery or Logistic
    site : str
        Named in the message.
    needed : str
        What a value at the site is: 0 or 1, one of `classes` classes, any real number, a positive
        one, a probability, or any number, bounded or not.
    classes : int, optional
        Their number.

    Raises
    ------
    SpecError

    Examples
    --------
    >>> check_support(Prior(dist="Normal", loc=5.0, scale=1.0), "hardness", "positive")
    Traceback (most recent call last):
    ...
    pyro_hea.errors.SpecError: `hardness` is positive: Normal has real support; use LogNormal or
    `transform: log`
    """
    is_, use = {
        "boolean": ("0 or 1", "Bernoulli"),
        "classes": (f"one of {classes} classes", f"Categorical with {classes} probs"),
        "real": ("real", "Normal, StudentT or Laplace"),
        "positive": ("positive", "LogNormal or `transform: log`"),
        "probability": ("a probability", "Beta"),
        "number": ("a number", "Normal, StudentT or Laplace"),
    }[needed]
    if not isinstance(prior, Prior):
        if needed != "boolean":
            rule = type(prior).__name__
            raise SpecError(f"`{site}` is {is_}: {rule} gives the log odds of 0 or 1; use {use}")
        return
    distribution = prior.distribution()
    support = support_name(prior.support)
    fits = {
        "boolean": support == "boolean",
        "classes": support == f"{classes}-class",
        "number": support in ("real", "positive", "unit-interval", "bounded"),
        "probability": support == "unit-interval",
    }.get(needed, support == needed)
    if not fits:
        raise SpecError(f"`{site}` is {is_}: {prior.dist} has {support} support; use {use}")
    if distribution.batch_shape or distribution.event_shape:
        lists = ", ".join(key for key, value in prior.arguments if isinstance(value, tuple))
        raise SpecError(
            f"`{site}` is {is_}: {prior.dist} draws {tuple(distribution.shape())} of them; "
            f"give one number for {lists or 'each argument'}"
        )
    if needed in ("boolean", "classes"):
        every = torch.arange(2.0 if needed == "boolean" else float(classes or 0))
        if distribution.log_prob(every).exp().min() < 2 * torch.finfo(torch.float32).eps:
            raise SpecError(
                f"`{site}`: {prior.dist} rules a class out, and no alloy could show otherwise; "
                "each probability must be greater than 0 and less than 1"
            )


class HumeRothery(Declaration):
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

    rule: Literal["hume_rothery"] = "hume_rothery"
    delta_max: Positive = 6.6
    mixing_enthalpy: tuple[float, float] = (-15.0, 5.0)
    mixing_entropy: tuple[float, float] | None = None
    omega_min: Positive | None = None
    strength: float = 2.0

    @field_validator("mixing_enthalpy", "mixing_entropy")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
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


def _is_feature(name: str) -> str:
    if name not in FEATURES:
        raise ValueError(f"'{name}' is no feature.{nearest(name, FEATURES)}")
    return name


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a boolean")
    return value


def _any_number(prior: Prior) -> Prior:
    check_support(prior, "coefficient", "number")
    return prior


FeatureName = Annotated[
    str, AfterValidator(_is_feature), WithJsonSchema({"type": "string", "enum": list(FEATURES)})
]
Coefficient = Annotated[
    Annotated[float, BeforeValidator(_no_boolean), Tag("number")]
    | Annotated[Prior, AfterValidator(_any_number), Tag("Prior")],
    Discriminator(lambda value: "Prior" if isinstance(value, (dict, Prior)) else "number"),
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
    def _some(cls, logistic: Mapping[str, Any]) -> Mapping[str, Any]:
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
    | Annotated[Logistic, Tag("Logistic")],
    Discriminator(lambda value: _expert(value)),
]
"""Prior of a target: a distribution, or log odds that depend on the features of the alloy."""


def _expert(value: Any) -> str:
    if not isinstance(value, dict):
        return type(value).__name__ if isinstance(value, (HumeRothery, Logistic)) else "Prior"
    return "HumeRothery" if "rule" in value else "Logistic" if "logistic" in value else "Prior"


class Mixture(Declaration):
    """Prior of z: a mixture of normals whose weights, means and widths are learnt.

    Attributes
    ----------
    components : int
        Normals.
    """

    dist: Literal["Mixture"] = "Mixture"
    components: int = Field(default=10, ge=1, le=4096)


class VampPrior(Declaration):
    """Prior of z: the mean posterior of learnt alloys (Tomczak and Welling, arXiv:1705.07120).

    Attributes
    ----------
    components : int
        Learnt alloys, each a composition with its targets.
    """

    dist: Literal["VampPrior"] = "VampPrior"
    components: int = Field(default=20, ge=1, le=4096)


class FlowPrior(Declaration):
    """Prior of z: a standard normal pushed through a learnt invertible flow.

    Attributes
    ----------
    layers : int
        Couplings.
    hidden : int
        Width of each coupling's network.
    bins : int
        Of the splines in each coupling; with 1 it only scales and shifts.
    """

    dist: Literal["Flow"] = "Flow"
    layers: int = Field(default=4, ge=1, le=32)
    hidden: Width = 64
    bins: int = Field(default=8, ge=1, le=64)


def _real(prior: Prior) -> Prior:
    check_support(prior, "z", "real")
    return prior


def _latent(value: Any) -> str:
    name = value.get("dist") if isinstance(value, dict) else getattr(value, "dist", None)
    return {"Mixture": "Mixture", "VampPrior": "VampPrior", "Flow": "FlowPrior"}.get(
        str(name), "Prior"
    )


LatentPrior = Annotated[
    Annotated[Prior, AfterValidator(_real), Tag("Prior")]
    | Annotated[Mixture, Tag("Mixture")]
    | Annotated[VampPrior, Tag("VampPrior")]
    | Annotated[FlowPrior, Tag("FlowPrior")],
    Discriminator(_latent),
]
"""Prior of z: a distribution of each coordinate, the same for all, or one that is learnt."""
