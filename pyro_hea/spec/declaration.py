"""What every declaration is: a frozen value that refuses unknown keys and says what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from pyro_hea.errors import SpecError, nearest

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class _Refusing(ModelMetaclass):
    """Faults of a declaration made in Python are told like those of one read from YAML."""

    def __call__(self, *args: Any, **data: Any) -> Any:
        try:
            return super().__call__(*args, **data)
        except ValidationError as error:
            raise spec_error(error, self.__name__, cast("type[BaseModel]", self)) from None


class Declaration(BaseModel, metaclass=_Refusing):
    """Frozen, hashable, equal by value; faults are a `SpecError` that names each key."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _kinds(cls, str(info.field_name))
        if isinstance(value, bool) and bool not in kinds and {int, float} & kinds:
            raise ValueError(
                f"{'an integer' if int in kinds else 'a number'} is needed, not a boolean"
            )
        return value


def spec_error(error: ValidationError, where: str, declaration: type[BaseModel]) -> SpecError:
    """Say every fault that validation found, one a line, with its key and what is allowed.

    Parameters
    ----------
    error : ValidationError
    where : str
        The file or object that was read.
    declaration : type
        What it was read as.
    """
    lines = []
    for fault in error.errors():
        place = list(fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        given = "" if isinstance(fault["input"], dict) else f" (given: {fault['input']!r})"
        if fault["type"] in ("extra_forbidden", "invalid_key"):
            key = place.pop()
            allowed = _at(declaration, place).model_fields
            message = f"unknown key '{key}'.{nearest(str(key), allowed)}"
            message, given = f"{message} Allowed: {', '.join(allowed)}", ""
        lines.append(f"{where}: {'.'.join(map(str, place)) or 'top level'}: {message}{given}")
    return SpecError("\n".join(lines))


def _at(declaration: type[BaseModel], place: Any) -> type[BaseModel]:
    """The declaration at a place within another; positions in a sequence lead nowhere further."""
    for key in place:
        if key in declaration.model_fields:
            inner = (k for k in _kinds(declaration, key) if isinstance(k, type))
            declaration = next((k for k in inner if issubclass(k, BaseModel)), declaration)
    return declaration


def _kinds(declaration: type[BaseModel], field: str) -> set[Any]:
    """Every type that the annotation of a field names."""
    found, left = set(), [declaration.model_fields[field].annotation]
    while left:
        kind = left.pop()
        arguments = [a for a in get_args(kind) if a is not Ellipsis]
        found.update([] if arguments else [kind])
        left.extend(a for a in arguments if not isinstance(a, str))
    return found
