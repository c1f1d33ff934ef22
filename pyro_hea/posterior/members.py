"""What ensembles of alloys and of crystals share: their members and their targets by name."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, Self

from pyro_hea.errors import DataError, UnknownTargetError, nearest


class Members:
    """K trained members of one model; the base of ensembles, which are dataclasses."""

    model: Any

    @property
    def members(self) -> int:
        """Number of members K."""
        return int(self.model.members)

    def check_member(self, index: int) -> int:
        """Refuse a member that there is not.

        Raises
        ------
        DataError
        """
        if not isinstance(index, Integral) or not 0 <= index < self.members:
            raise DataError(f"there is no member {index}; this model has 0 to {self.members - 1}")
        return index

    def of_member(self, index: int) -> Self:
        """An ensemble of one member.

        Raises
        ------
        DataError
            For a member that there is not.
        """
        self.check_member(index)
        ensemble: Any = self  # a dataclass, as every subclass is
        return replace(ensemble, model=self.model.member(index))

    def check_target(self, name: str) -> None:
        """Refuse a target that the model was not trained on."""
        names = self.model.spec.target_names
        if name not in names:
            raise UnknownTargetError(
                f"the model has no target '{name}'.{nearest(name, names)} Targets: "
                f"{', '.join(names)}"
            )
