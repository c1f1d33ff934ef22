"""Pyro's distributions by name: what each takes, and what its arguments and its draws can be."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, cast

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution, constraints
from pyro.distributions.torch_distribution import TorchDistributionMixin

from pyro_hea.errors import SpecError, nearest
from pyro_hea.spec.declaration import unknown_key

Argument = float | tuple[float, ...]
D = TypeVar("D", bound=type[TorchDistributionMixin])

LEARNT = ("Mixture", "VampPrior", "Flow")
"""Names of priors of z that are no distributions but declarations of their own."""

_NAMES = """
    Bernoulli Categorical
    AsymmetricLaplace Cauchy Gumbel Laplace Logistic Normal SkewLogistic SoftAsymmetricLaplace
    SoftLaplace StableWithLogProb StudentT
    Chi2 Exponential FisherSnedecor Gamma HalfCauchy HalfNormal InverseGamma LogNormal Weibull
    Beta Kumaraswamy
    AffineBeta GeneralizedPareto Pareto Uniform
"""
"""One number or class each, with numbers as arguments: 0 or 1, real, positive, a share, bounded."""

DISTRIBUTIONS: dict[str, type[TorchDistributionMixin]] = {
    name: getattr(dist, name) for name in _NAMES.split()
}
"""Every distribution that a spec can name."""


_SYNONYMS = {
    "Gaussian": "Normal",
    "Lognorm": "LogNormal",
    "Student": "StudentT",
    "HalfGaussian": "HalfNormal",
    "InvGamma": "InverseGamma",
    "Binomial": "Bernoulli",
    "Multinomial": "Categorical",
    "Expon": "Exponential",
}
"""Other names of distributions, for hints."""


def register_distribution(distribution: D) -> D:
    """Let specs name a distribution of one's own; decorates its class.

    A spec names it by the name of its class, with the arguments of its constructor, which are
    numbers or lists of numbers and arrive as tensors. Registering the same class again, as a
    notebook does that runs a cell twice, puts the new one in the place of the old.

    Parameters
    ----------
    distribution : type
        A `TorchDistribution`.

    Raises
    ------
    SpecError
        For what is no distribution, or a name that is taken.

    Examples
    --------
    >>> @register_distribution
    ... class Wide(dist.Normal):
    ...     def __init__(self, loc, validate_args=None):
    ...         super().__init__(loc, 100.0, validate_args=validate_args)
    >>> parameters("Wide")
    {'loc': True}
    """
    if not (isinstance(distribution, type) and issubclass(distribution, TorchDistributionMixin)):
        raise SpecError(f"{distribution!r} is no class of TorchDistribution; register only such")
    name = distribution.__name__
    known = DISTRIBUTIONS.get(name, distribution)
    home, known_home = ((kind.__module__, kind.__qualname__) for kind in (distribution, known))
    if home != known_home or name in LEARNT:
        raise SpecError(f"a distribution named '{name}' exists already; name the class otherwise")
    DISTRIBUTIONS[name] = distribution
    return distribution


def parameters(name: str) -> dict[str, bool]:
    """The arguments that a distribution takes, and whether each has to be given.

    Examples
    --------
    >>> parameters("StudentT")
    {'df': True, 'loc': False, 'scale': False}
    """
    taken = inspect.signature(DISTRIBUTIONS[name]).parameters.values()
    ranges = ranges_of(name)
    return {
        p.name: p.default is p.empty
        for p in taken
        if p.name != "validate_args" and (not ranges or p.name in ranges)
    }


def ranges_of(name: str) -> dict[str, Any]:
    """The constraint of each argument; empty where the class does not tell."""
    found = DISTRIBUTIONS[name].arg_constraints
    return dict(found) if isinstance(found, dict) else {}


def build(
    name: str, arguments: Mapping[str, Argument], like: torch.Tensor | None = None
) -> TorchDistribution:
    """A distribution in the precision and on the device of `like`, else in single precision."""
    like = torch.empty(0, dtype=torch.float32) if like is None else like
    tensors = {  # a scalar is filled in on the device, where a copy would wait for it
        key: like.new_full((), value) if isinstance(value, int | float) else like.new_tensor(value)
        for key, value in arguments.items()
    }
    return cast("TorchDistribution", DISTRIBUTIONS[name](**tensors))


def name_of(given: Any) -> str | None:
    """The name of a distribution's class, None for what is no such class that a spec can name.

    Examples
    --------
    >>> name_of(dist.Normal), name_of("Normal"), name_of(dist.Delta)
    ('Normal', None, None)
    """
    is_class = isinstance(given, type) and issubclass(given, torch.distributions.Distribution)
    return given.__name__ if is_class and given.__name__ in DISTRIBUTIONS else None


def read_distribution(given: Any) -> Any:
    """A distribution of Pyro or torch as a mapping of its name and arguments, else as it is.

    Examples
    --------
    >>> read_distribution(dist.Normal(0.0, 2.0))
    {'dist': 'Normal', 'loc': 0.0, 'scale': 2.0}
    """
    if isinstance(given, type) and (name := name_of(given)):
        return {"dist": name}
    if not isinstance(given, torch.distributions.Distribution):
        return given
    name = name_of(type(given))
    if name is None:
        return {"dist": type(given).__name__}
    taken = list(parameters(name))
    if {"probs", "logits"} <= {*taken}:  # of which one is computed from the other
        taken = ["probs" if "probs" in vars(given) else "logits"]
    values = {key: getattr(given, key, None) for key in taken}
    plain = {
        key: value.tolist() if isinstance(value, torch.Tensor) else value
        for key, value in values.items()
    }
    return {"dist": name} | {key: value for key, value in plain.items() if value is not None}


class Fault(NamedTuple):
    """What is wrong with one key of a prior."""

    place: tuple[str, ...]
    message: str
    given: Any = None


def unknown_name(name: Any) -> Fault:
    """The fault of a `dist` that nothing is known by."""
    if name in LEARNT:
        return Fault(("dist",), f"'{name}' is a prior of z only", name)
    hint = nearest(str(name), (*DISTRIBUTIONS, *LEARNT, *_SYNONYMS))
    for synonym, known in _SYNONYMS.items():
        hint = hint.replace(f"'{synonym}'", f"'{known}'")
    return Fault(
        ("dist",),
        f"no distribution known here.{hint} Allowed: {', '.join(DISTRIBUTIONS)}, and for z "
        f"{', '.join(LEARNT)}. Make one of your own known with "
        "@pyro_hea.spec.register_distribution before the spec is read, which only Python can: "
        "the command line runs no code of yours",
        name,
    )


def read_arguments(name: str, given: Mapping[Any, Any]) -> tuple[dict[str, Argument], list[Fault]]:
    """The arguments of a distribution in the order of its constructor, and what is wrong with them.

    Examples
    --------
    >>> read_arguments("Normal", {"scale": "1e-4", "loc": 0})
    ({'loc': 0.0, 'scale': 0.0001}, [])
    """
    taken, ranges = parameters(name), ranges_of(name)
    faults = [
        Fault((), unknown_key(str(key), ["dist", *taken])) for key in given if key not in taken
    ]
    missing = [key for key, required in taken.items() if required and key not in given]
    if missing:
        faults.append(Fault((), f"{name} needs {', '.join(missing)}; it takes {', '.join(taken)}"))
    if {"probs", "logits"} <= taken.keys() and len({"probs", "logits"} & given.keys()) != 1:
        faults.append(Fault((), f"{name} needs either probs or logits"))
    values = {}
    for key in taken:
        if key in given:
            try:
                values[key] = _read(given[key])
                _check_range(values[key], ranges.get(key))
            except ValueError as error:
                faults.append(Fault((key,), str(error), given[key]))
    if not faults:
        try:
            build(name, values)
        except Exception as error:  # of a constructor that may be the user's own
            said = " ".join(str(error).split())
            faults.append(Fault((), f"{name} refuses its arguments: {said}"))
    return values, faults


def _read(value: Any) -> Argument:
    if not isinstance(value, (list, tuple)):
        return _read_number(value)
    if not value:
        raise ValueError("a list needs at least one number")
    return tuple(_read_number(number) for number in value)


def _read_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        kind = "boolean" if isinstance(value, bool) else type(value).__name__
        raise ValueError(f"a number is needed, not a {kind}")
    try:
        number = float(value)  # a string too: YAML reads 1e-4 as one
    except (ValueError, OverflowError):
        raise ValueError("a number is needed") from None
    single = torch.finfo(torch.float32)
    if not abs(number) <= single.max or 0 < abs(number) < single.tiny:
        raise ValueError("a finite number is needed that has a place in single precision")
    return number


def _check_range(value: Argument, constraint: Any) -> None:
    if constraint is None or constraints.is_dependent(constraint):
        return
    tensor = torch.tensor(value, dtype=torch.float64)
    if tensor.dim() < constraint.event_dim:
        raise ValueError("a list of numbers is needed, one for each class")
    if not bool(constraint.check(tensor).all()):
        raise ValueError(f"must be {_range_name(constraint)}")


def _range_name(constraint: Any) -> str:
    if constraint is constraints.simplex:
        return "probabilities that sum to 1"
    if isinstance(constraint, constraints.greater_than):
        return f"greater than {constraint.lower_bound:g}"
    if isinstance(constraint, constraints.interval):
        return f"from {constraint.lower_bound:g} to {constraint.upper_bound:g}"
    return str(constraint)


def support_name(support: Any) -> str:
    """What a distribution's draws can be, in a word.

    Examples
    --------
    >>> support_name(dist.Gamma(1.0, 1.0).support)
    'positive'
    """
    if support is constraints.real:
        return "real"
    if support is constraints.boolean:
        return "boolean"
    if isinstance(support, constraints.integer_interval):
        return f"{int(support.upper_bound) + 1}-class"
    if isinstance(support, (constraints.greater_than, constraints.greater_than_eq)):
        return "positive" if float(support.lower_bound) == 0.0 else "bounded"
    if isinstance(support, constraints.interval):
        bounds = float(support.lower_bound), float(support.upper_bound)
        return "unit-interval" if bounds == (0.0, 1.0) else "bounded"
    return str(support)
