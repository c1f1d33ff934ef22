"""The quantity that is explained: one number per member and alloy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyro_hea.errors import DataError, nearest
from pyro_hea.materials.alloys.dataset import AlloyBatch
from pyro_hea.posterior import marginals
from pyro_hea.spec import Binary, Continuous

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.posterior import Ensemble
    from pyro_hea.program.model import AlloyModel

PROBABILITY = "probability"
"""Unit of the quantity of a target with classes."""


@dataclass(frozen=True)
class Quantity:
    """The probability of a class, or the median of a number; other targets are summed out.

    Attributes
    ----------
    target : str
    column : str
        Its name in the table of `predict`.
    unit : str
        "probability", or the unit of the number.
    position : int or None
        Of the class; None for the median of a number.
    """

    target: str
    column: str
    unit: str
    position: int | None

    def of(self, model: AlloyModel, features: Tensor) -> Tensor:
        """Prediction of each member for alloys with features (N, F), (K, N)."""
        batch = AlloyBatch(None, features, {}, {})
        marginal = marginals(model, batch, [self.target])[self.target]
        if self.position is None:
            return marginal.medians()
        return marginal.probabilities()[..., self.position]


def quantity(ensemble: Ensemble, target: str | None = None, value: str | None = None) -> Quantity:
    """The quantity to explain.

    Parameters
    ----------
    ensemble : Ensemble
    target : str, optional
        The first one by default.
    value : str, optional
        The class whose probability is meant: needed for a target of several classes, 1 for a
        binary one, and none for a number, whose median is meant.

    Raises
    ------
    UnknownTargetError
    DataError
        For a class that the target does not have, or where one has to be named.
    """
    name = ensemble.spec.target_names[0] if target is None else target
    ensemble.check_target(name)
    declared = ensemble.spec.target(name)
    if isinstance(declared, Continuous):
        if value is not None:
            raise DataError(
                f"value={value!r}: '{name}' is a number, whose median is explained; leave value out"
            )
        return Quantity(name, name, declared.unit or "no unit", None)
    if isinstance(declared, Binary):
        if value is not None:
            raise DataError(
                f"value={value!r}: of '{name}' the probability of 1 is explained; leave value out"
            )
        return Quantity(name, name, PROBABILITY, 1)
    if value not in declared.classes:
        hint = "" if value is None else nearest(value, declared.classes)
        raise DataError(
            f"value={value!r} is no class of '{name}'.{hint} "
            f"Use one of {', '.join(declared.classes)}"
        )
    return Quantity(name, f"{name}[{value}]", PROBABILITY, declared.classes.index(value))
