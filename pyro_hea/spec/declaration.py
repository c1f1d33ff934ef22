"""What every declaration is: a frozen value that refuses unknown keys and says what it takes."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WrapSerializer,
    field_validator,
)

from pyro_hea.errors import SpecError, nearest

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

K = TypeVar("K")
V = TypeVar("V")

Positive = Annotated[float, Field(gt=0.0, le=1e30)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Width = Annotated[int, Field(ge=1, le=4096)]

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 2, 80, 80
"""Shortens what was given in messages."""


class _DeclarationMeta(ModelMetaclass):
    """Faults of a declaration made in Python are told like those of one read from YAML."""

    def __call__(self, *args: Any, **data: Any) -> Any:
        if args:
            data = cast("type[Declaration]", self).name_arguments(args, data)
        try:
            return super().__call__(**data)
        except ValidationError as error:
            raise spec_error(error, self.__name__, cast("type[BaseModel]", self), data) from None


class Declaration(BaseModel, metaclass=_DeclarationMeta):
    """Frozen, hashable, equal by value; faults are a `SpecError` that names each key."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @classmethod
    def name_arguments(cls, args: tuple[Any, ...], data: dict[str, Any]) -> dict[str, Any]:
        """Arguments by name, where a `name` may be given by position.

        Raises
        ------
        SpecError
            For any other that has no key.
        """
        keys = ["name"] if "name" in cls.model_fields else []
        return name_by_position(cls.__name__, keys, args, data)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _types_in(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool) and bool not in kinds and {int, float} & {*kinds}:
            raise ValueError(
                f"{'an integer' if int in kinds else 'a number'} is needed, not a boolean"
            )
        return value


def name_by_position(
    where: str, keys: Sequence[str], args: tuple[Any, ...], data: dict[str, Any]
) -> dict[str, Any]:
    """Positional arguments under their keys.

    Examples
    --------
    >>> name_by_position("Prior", ["dist", "loc", "scale"], ("Normal", 0), {"scale": 1})
    {'dist': 'Normal', 'loc': 0, 'scale': 1}
    """
    if len(args) > len(keys):
        raise SpecError(
            f"{where}: {len(args)} values by position, and at most {len(keys)} are taken "
            f"({', '.join(keys) or 'none'}); write key=value"
        )
    named = dict(zip(keys, args, strict=False))
    for key in named:
        if key in data:
            raise SpecError(f"{where}: {key}: given twice, by position and by name")
    return {**named, **data}


class FrozenMapping(Mapping[K, V]):
    """A mapping that cannot change and so has a hash.

    Examples
    --------
    >>> hash(FrozenMapping({"a": 1})) == hash(FrozenMapping({"a": 1}))
    True
    """

    def __init__(self, items: Mapping[K, V]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


Frozen = Annotated[
    Mapping[K, V],
    AfterValidator(FrozenMapping),
    WrapSerializer(lambda mapping, write: write(dict(mapping))),
]
"""The annotation of a field that holds a mapping."""


def spec_error(
    error: ValidationError, where: str, declaration: type[BaseModel], data: Any = None
) -> SpecError:
    """Say every fault that validation found, one a line, with its key and what is allowed.

    Parameters
    ----------
    error : ValidationError
    where : str
        The file or object that was read.
    declaration : type
        What it was read as.
    data : optional
        What was read, whose own keys then name a place.
    """
    lines = []
    for fault in error.errors():
        at, key, context = list(fault["loc"]), None, fault.get("ctx", {})
        if fault["type"] == "too_short" and len(fault["input"]) >= context["min_length"]:
            continue  # of what is there some is faulty, and was told
        if fault["type"] in ("extra_forbidden", "invalid_key"):
            key = at.pop()
        place, kinds = _locate(declaration, at, data)
        message = fault["msg"].removeprefix("Value error, ")
        given = (
            "" if isinstance(fault["input"], dict) else f" (given: {_REPR.repr(fault['input'])})"
        )
        if key is not None:
            allowed = list(dict.fromkeys(name for kind in kinds for name in kind.model_fields))
            message, given = unknown_key(str(key), allowed), ""
        elif fault["type"] == "union_tag_invalid":
            place.append("kind")
            tag, allowed = context["tag"], context["expected_tags"].strip("'").split("', '")
            message = f"unknown kind '{tag}'.{nearest(tag, allowed)} Allowed: {', '.join(allowed)}"
        elif fault["type"] == "union_tag_not_found":
            message = "Input should be a valid dictionary"
        elif fault["type"] == "literal_error":
            message += nearest(str(fault["input"]), re.findall(r"'([^']*)'", context["expected"]))
        lines.append(f"{where}: {'.'.join(map(str, place)) or 'top level'}: {message}{given}")
    return SpecError("\n".join(lines))


def unknown_key(key: str, allowed: list[str]) -> str:
    """Say that a key is not known, what it was probably meant to be, and what there is.

    Examples
    --------
    >>> unknown_key("dims", ["dim", "prior"])
    "unknown key 'dims'. Did you mean 'dim'? Allowed: dim, prior"
    """
    return f"unknown key '{key}'.{nearest(key, allowed)} Allowed: {', '.join(allowed)}"


def _locate(
    declaration: type[BaseModel], place: Iterable[int | str], data: Any
) -> tuple[list[int | str], list[type[BaseModel]]]:
    """The keys of a place within a declaration, and what stands there.

    The place of a fault also names which member of a union was read, and how; no user wrote that.
    """
    keys: list[int | str] = []
    kinds = [declaration]
    for part in place:
        holder = next((kind for kind in kinds if part in kind.model_fields), None)
        read_as = [kind for kind in kinds if part in _tags(kind)]
        if holder is not None:
            kinds = declarations_in(holder.model_fields[str(part)].annotation)
        elif read_as:
            kinds = read_as
            continue
        elif isinstance(part, str) and re.search(r"[\[(]|^(number|str|int|float|bool)$", part):
            continue
        if isinstance(data, dict) and isinstance(part, int) and keys == ["targets"]:
            part = list(data)[part]  # a mapping that was read as a sequence
        keys.append(part)
        data = data.get(part) if isinstance(data, dict) else None
    return keys, kinds


def _tags(kind: type[BaseModel]) -> set[Any]:
    """What tells a declaration from the others in a union."""
    choices = (field.annotation for field in kind.model_fields.values())
    literals = [choice for choice in choices if get_origin(choice) is Literal]
    return {kind.__name__, *(tag for choice in literals for tag in get_args(choice))}


def declarations_in(annotation: Any) -> list[type[BaseModel]]:
    """The declarations that an annotation names, in its order."""
    kinds = [kind for kind in _types_in(annotation) if isinstance(kind, type)]
    return [kind for kind in kinds if issubclass(kind, BaseModel)]


def _types_in(annotation: Any) -> list[Any]:
    """Every type that an annotation names, in its order."""
    if get_origin(annotation) is Literal:
        return []
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        parts = parts[:1]
    return [kind for part in parts for kind in _types_in(part)] if parts else [annotation]
