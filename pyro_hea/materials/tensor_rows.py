"""Tables of tensors, one row for each material: what batches of alloys and of crystals share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from torch import Tensor


class TensorRows:
    """A frozen dataclass of tensors, mappings of tensors and None, all with the same rows."""

    def map(self, function: Any) -> Self:
        """Apply a function to every tensor."""
        this: Any = self
        changed: dict[str, Any] = {}
        for part in fields(this):
            value = getattr(self, part.name)
            if isinstance(value, Mapping):
                changed[part.name] = {name: function(tensor) for name, tensor in value.items()}
            elif value is not None:
                changed[part.name] = function(value)
        return self.replaced(**changed)

    def tensors(self) -> list[Tensor]:
        """Every tensor, always in the same order."""
        found: list[Tensor] = []
        self.map(found.append)
        return found

    def take(self, rows: Tensor) -> Self:
        """The materials at `rows`."""
        return self.map(lambda tensor: tensor[rows])

    def replaced(self, **changes: Any) -> Self:
        """The same with some attributes changed, such as `fractions` or `targets`."""
        this: Any = self
        changed: Self = replace(this, **changes)
        return changed
