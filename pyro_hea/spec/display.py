"""How a spec shows itself: by what differs from the default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any, cast

from pyro_hea.spec.targets import Continuous, Target

if TYPE_CHECKING:
    from pyro_hea.spec.base import Spec
    from pyro_hea.spec.model import ProgramSpec


def spec_differences(spec: Spec) -> dict[str, Any]:
    """Settings whose values are not the default, by dotted name; targets are left out.

    Examples
    --------
    >>> from pyro_hea import ModelSpec
    >>> spec_differences(ModelSpec(training={"members": 2}))
    {'training.members': 2}
    """
    default = type(spec)().to_mapping()
    found = dict(_differences(spec.to_mapping(), default, ""))
    return {name: value for name, value in found.items() if name.partition(".")[0] != "targets"}


def targets_in_short(spec: ProgramSpec) -> dict[str, dict[str, Any]]:
    """Each target by its name, without keys that have their default.

    Examples
    --------
    >>> from pyro_hea import ModelSpec
    >>> targets_in_short(ModelSpec())
    {'single_phase': {'kind': 'binary'}}
    """
    return {target.name: _target_in_short(target) for target in spec.targets}


def _target_in_short(target: Target) -> dict[str, Any]:
    changed = target.model_dump(exclude_defaults=True, exclude={"name"})
    every = target.model_dump(mode="json")
    return {"kind": target.kind, **{key: every[key] for key in changed}}


def spec_repr(spec: Spec) -> str:
    """The call that makes a spec from the default.

    Examples
    --------
    >>> from pyro_hea import ModelSpec
    >>> ModelSpec(training={"members": 2}, latent={"flow": None})
    ModelSpec().with_(latent__flow=None, training__members=2)
    """
    default = type(spec)()
    changes: dict[str, Any] = {}
    if _targets_of(spec) != _targets_of(default):
        changes["targets"] = targets_in_short(cast("ProgramSpec", spec))
    changes |= {name.replace(".", "__"): v for name, v in spec_differences(spec).items()}
    name = f"{type(spec).__name__}()"
    written = ", ".join(f"{key}={value!r}" for key, value in changes.items())
    return f"{name}.with_({written})" if changes else name


def spec_html(spec: Spec) -> str:
    """Targets and settings that differ from the default, to fold out in a notebook."""
    targets = [(target.name, _target_in_words(target)) for target in _targets_of(spec)]
    settings = [(name, str(value)) for name, value in spec_differences(spec).items()]
    shown = (
        f"<details open><summary>{len(targets)} target{'s' * (len(targets) != 1)}</summary>"
        f"{_table(targets)}</details>"
    )
    return (
        f"{shown if targets else ''}<details><summary>{len(settings)} settings that are not the "
        f"default</summary>{_table(settings)}</details>"
    )


def _targets_of(spec: Spec) -> tuple[Target, ...]:
    """The targets of a spec that declares any."""
    return getattr(spec, "targets", ())


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><th style='text-align: left'>{escape(name)}</th>"
        f"<td style='text-align: left'>{escape(value)}</td></tr>"
        for name, value in rows
    )
    return f"<table>{cells}</table>"


def _target_in_words(target: Target) -> str:
    parts: list[str] = [target.kind]
    if isinstance(target, Continuous):
        parts += [target.unit] if target.unit else []
        log = "exp " if target.transform == "log" else ""
        parts.append(f"prior {log}{target.prior!r}" if target.prior else "prior scaled to labels")
    else:
        parts += [", ".join(target.classes)] if target.kind != "binary" else []
        parts += [f"prior {target.prior!r}"] if target.prior else []
    parts += [
        f"{name} ({', '.join(value)})" if isinstance(value, tuple) else f"{name} (at {value:g})"
        for name, value in target.conditions.items()
    ]
    return "; ".join([*parts, *(["given " + ", ".join(target.given)] if target.given else [])])


def _differences(
    given: Mapping[str, Any], default: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any]]:
    """Values that differ, each at the deepest place where both have the same keys and tags."""
    for key, value in given.items():
        base = default.get(key)
        if value == base:
            continue
        if isinstance(value, dict) and isinstance(base, dict) and _comparable(value, base):
            yield from _differences(value, base, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _comparable(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    tags = ("kind", "dist", "rule")
    return one.keys() == other.keys() and all(one.get(tag) == other.get(tag) for tag in tags)
