"""What every spec can do: be read, written, shown and varied."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ValidationError

from pyro_hea.errors import SpecError, nearest
from pyro_hea.spec.declaration import Declaration, spec_error
from pyro_hea.spec.display import spec_html, spec_repr
from pyro_hea.spec.former_keys import renamed
from pyro_hea.spec.schema import json_schema_of
from pyro_hea.spec.variation import changed
from pyro_hea.spec.yaml_files import read_yaml, write_yaml


class Spec(Declaration):
    """A declaration that stands alone in a file."""

    _folder: ClassVar[str] = "shipped"
    """Of the package `pyro_hea.spec`, with the specs of this kind."""

    def __repr__(self) -> str:
        return spec_repr(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return spec_html(self)

    def with_(self, **changes: Any) -> Self:
        """The same spec with other values; a double underscore leads into what is nested.

        Raises
        ------
        SpecError
            Naming the nearest key, or what a key may be.

        Examples
        --------
        >>> from pyro_hea import ModelSpec
        >>> ModelSpec().with_(latent__dim=4, training__epochs=10).latent.dim
        4
        """
        return self.from_mapping(changed(self.to_mapping(), changes), "with_")

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of the YAML, for editors; it knows the distributions of one's own."""
        return json_schema_of(cls)

    @classmethod
    def from_mapping(cls, data: Any, where: str = "spec") -> Self:
        """Read a spec from plain dicts, lists and numbers.

        Keys of earlier releases are read under their present name, with a `FormerKeyWarning`.

        Raises
        ------
        SpecError
            Naming each faulty key, what is allowed there and the nearest known key.
        """
        if not isinstance(data, dict):
            raise SpecError(f"{where}: a spec is a mapping of keys, not {type(data).__name__}")
        try:
            return cls.model_validate(renamed(data, where))
        except ValidationError as error:
            raise spec_error(error, where, cls, data) from None

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a spec from a YAML file; keys that it leaves out keep their defaults.

        Raises
        ------
        MissingFileError, SpecError
        """
        data = read_yaml(path, "spec", SpecError)
        return cls.from_mapping({} if data is None else data, str(path))

    @classmethod
    def shipped(cls, name: str = "default") -> Self:
        """A spec that comes with the package.

        Raises
        ------
        SpecError
            Naming those that there are.

        Examples
        --------
        >>> from pyro_hea import ModelSpec
        >>> ModelSpec.shipped("default") == ModelSpec()
        True
        """
        folder = resources.files("pyro_hea.spec").joinpath(cls._folder)
        names = cls.shipped_names()
        if name not in names:
            raise SpecError(
                f"no spec '{name}' comes with the package.{nearest(name, names)} There are "
                f"{', '.join(names)}"
            )
        with resources.as_file(folder.joinpath(f"{name}.yaml")) as path:
            return cls.from_yaml(path)

    @classmethod
    def shipped_names(cls) -> list[str]:
        """Names of the specs that come with the package.

        Examples
        --------
        >>> from pyro_hea import ModelSpec
        >>> ModelSpec.shipped_names()
        ['default', 'expert', 'properties', 'published', 'reports']
        """
        folder = resources.files("pyro_hea.spec").joinpath(cls._folder)
        return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir())

    def to_mapping(self) -> dict[str, Any]:
        """The spec as plain dicts, lists and numbers; `from_mapping` reads it back."""
        return self.model_dump(mode="json")

    def to_yaml(self, path: str | Path) -> None:
        """Write every key; `from_yaml` reads the same spec back."""
        write_yaml(path, self.to_mapping())
