"""What every declaration is: a frozen value that refuses unknown keys and says what it takes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pyro_hea.errors import SpecError, nearest


class Declaration(BaseModel):
    """Frozen, hashable, equal by value; an unknown key is an error that names the nearest one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(
                        f"unknown key '{key}'.{nearest(str(key), cls.model_fields)} "
                        f"Allowed: {', '.join(cls.model_fields)}"
                    )
        return data


def spec_error(error: ValidationError, where: str) -> SpecError:
    """Say every fault that validation found, one a line, with its key and what is allowed.

    Parameters
    ----------
    error : ValidationError
    where : str
        The file or object that was read.
    """
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "top level"
        message = fault["msg"].removeprefix("Value error, ")
        given = "" if isinstance(fault["input"], dict) else f" (given: {fault['input']!r})"
        lines.append(f"{where}: {key}: {message}{given}")
    return SpecError("\n".join(lines))
