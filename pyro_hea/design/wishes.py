"""What is wished of the targets, and the probability that an alloy fulfils all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from pyro_hea.dataset import AlloyBatch
from pyro_hea.errors import ConstraintError
from pyro_hea.posterior import joint_probability

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.posterior import Ensemble

Wish: TypeAlias = float | tuple[str, float] | tuple[float, float]
"""A value; or for a number an inequality, `(">", 500)`, or a range, `(900, 1200)`."""


def checked_wishes(ensemble: Ensemble, targets: Mapping[str, Wish]) -> dict[str, float]:
    """The wishes, where each is one that its target can fulfil.

    Raises
    ------
    UnknownTargetError
        For a target that the model was not trained on.
    ConstraintError
        Without any wish, or for one outside the target's support.
    """
    if not targets:
        raise ConstraintError(
            "a design needs a wish for at least one target, as in {'single_phase': 1}; targets: "
            f"{', '.join(ensemble.spec.target_names)}"
        )
    wishes = {}
    for name, wish in targets.items():
        ensemble.check_target(name)
        if isinstance(wish, tuple):
            raise ConstraintError(
                f"target '{name}' is 0 or 1, not a number: {wish!r} is no wish for it; "
                "inequalities and ranges are for continuous targets"
            )
        if wish not in (0, 1):
            raise ConstraintError(f"target '{name}' is 0 or 1, not {wish!r}")
        wishes[name] = float(wish)
    return wishes


def probability(ensemble: Ensemble, features: Tensor, wishes: Mapping[str, float]) -> Tensor:
    """Probability by each member that all wishes hold together, (K, N).

    The members' mean is not a product over the wishes.

    Parameters
    ----------
    ensemble : Ensemble
    features : Tensor, shape (N, F)
        As the model reads them.
    wishes : mapping of target to value
    """
    batch = AlloyBatch(None, features, {}, {})
    return joint_probability(ensemble.model, batch, {n: (v,) for n, v in wishes.items()})


def fulfilment(ensemble: Ensemble, fractions: Tensor, wishes: Mapping[str, float]) -> Tensor:
    """`probability` of alloys as they are weighed in, fractions (N, E) in double precision."""
    features = ensemble.feature_map(fractions).to(ensemble.model.embedding.edges.dtype)
    return probability(ensemble, features, wishes)
