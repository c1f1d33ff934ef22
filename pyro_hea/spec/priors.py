"""Priors: a distribution of Pyro with its arguments, as `{dist: Normal, loc: 0, scale: 1}`.

The latent space also has priors that are learnt: `Mixture`, `VampPrior` and `FlowPrior`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import torch
from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_hea.devices import seeded
from pyro_hea.errors import SpecError
from pyro_hea.spec.declaration import Declaration, Width, name_by_position
from pyro_hea.spec.distributions import (
    DISTRIBUTIONS,
    Argument,
    Fault,
    build,
    name_of,
    parameters,
    ranges_of,
    read_arguments,
    read_distribution,
    support_name,
    unknown_name,
)


class Prior(Declaration):
    """A distribution of `pyro.distributions` by its name, with its arguments.

    Attributes
    ----------
    dist : str
        A distribution of one number or class, or one of your own (`register_distribution`). In
        Python also its class.
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
    >>> import pyro.distributions as dist
    >>> prior == Prior("Normal", 0.0, 2.0) == Prior(dist.Normal, scale=2.0, loc=0.0)
    True

    Where a spec takes a prior, it also takes a distribution of Pyro: `dist.Normal(0.0, 2.0)`.
    """

    dist: str
    arguments: tuple[tuple[str, Argument], ...] = ()

    if TYPE_CHECKING:

        def __init__(self, dist: Any, *values: Any, **arguments: Any) -> None: ...

    @classmethod
    def name_arguments(cls, args: tuple[Any, ...], data: dict[str, Any]) -> dict[str, Any]:
        """The distribution, then its arguments in the order of its constructor."""
        name = name_of(args[0]) or args[0]
        taken = parameters(name) if name in DISTRIBUTIONS else {}
        return name_by_position(cls.__name__, ["dist", *taken], args, data)

    def distribution(self, like: Tensor | None = None) -> TorchDistribution:
        """The distribution itself, in the precision and on the device of `like`."""
        return build(self.dist, dict(self.arguments), like)

    @property
    def support(self) -> constraints.Constraint:
        """What a value drawn from it can be."""
        return cast("constraints.Constraint", self.distribution().support)

    def central_range(self) -> tuple[float, float]:
        """What 90 % of draws lie between, by draws that are the same each time."""
        with seeded(0):
            drawn = self.distribution().sample(torch.Size([1001]))
        low, high = drawn.float().quantile(torch.tensor([0.05, 0.95], dtype=torch.float32)).tolist()
        return low, high

    @model_validator(mode="before")
    @classmethod
    def _read_arguments(cls, data: Any) -> Any:
        if isinstance(data, cls):
            return data
        data = read_distribution(data)
        if not isinstance(data, dict):
            raise ValueError(
                "a prior is a dictionary such as {dist: Normal, loc: 0, scale: 1}, or a "
                "distribution of Pyro such as Normal(0, 1)"
            )
        name = name_of(data.get("dist")) or data.get("dist")
        if name is None:
            raise ValueError("`dist` is missing: name a distribution, as {dist: Normal, …}")
        if not isinstance(name, str) or name not in DISTRIBUTIONS:
            raise _validation_error([unknown_name(name)])
        given = {key: value for key, value in data.items() if key != "dist"}
        arguments, faults = read_arguments(name, given)
        if faults:
            raise _validation_error(faults)
        return {"dist": name, "arguments": tuple(arguments.items())}

    @model_serializer
    def _to_mapping(self) -> dict[str, Any]:
        return {"dist": self.dist, **dict(self.arguments)}

    def __repr_args__(self) -> Any:
        return self._to_mapping().items()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"title": cls.__name__, "anyOf": [_json_schema(name) for name in DISTRIBUTIONS]}


def format_prior(prior: Prior) -> str:
    """A prior in short.

    Examples
    --------
    >>> format_prior(Prior(dist="Normal", loc=0.0, scale=1.0))
    'Normal(loc=0, scale=1)'
    """

    def number(value: float | tuple[float, ...]) -> str:
        if isinstance(value, tuple):
            return f"[{', '.join(f'{v:g}' for v in value)}]"
        return f"{value:g}"

    return f"{prior.dist}({', '.join(f'{name}={number(v)}' for name, v in prior.arguments)})"


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


def _validation_error(faults: list[Fault]) -> ValidationError:
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
    prior: Declaration,
    site: str,
    needed: Literal["boolean", "classes", "real", "logarithm", "positive", "probability", "number"],
    classes: int | None = None,
) -> None:
    """Refuse a prior that gives what a site cannot be.

    Parameters
    ----------
    prior : Prior, HumeRothery, PhaseRule or Logistic
    site : str
        Named in the message.
    needed : str
        What a value at the site is: 0 or 1, one of `classes` classes, any real number, one that
        is the logarithm of the value, a positive one, a probability, or any number, bounded or not.
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
        "logarithm": (
            "declared by its logarithm (transform: log)",
            "Normal, StudentT or Laplace of the logarithm, or `transform: identity`",
        ),
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
        "logarithm": support == "real",
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


def _check_real(prior: Prior) -> Prior:
    check_support(prior, "z", "real")
    return prior


def _latent_kind(value: Any) -> str:
    name = value.get("dist") if isinstance(value, dict) else getattr(value, "dist", None)
    return {"Mixture": "Mixture", "VampPrior": "VampPrior", "Flow": "FlowPrior"}.get(
        str(name), "Prior"
    )


LatentPrior = Annotated[
    Annotated[Prior, AfterValidator(_check_real), Tag("Prior")]
    | Annotated[Mixture, Tag("Mixture")]
    | Annotated[VampPrior, Tag("VampPrior")]
    | Annotated[FlowPrior, Tag("FlowPrior")],
    Discriminator(_latent_kind),
]
"""Prior of z: a distribution of each coordinate, the same for all, or one that is learnt."""
