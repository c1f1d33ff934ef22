"""Why no crystal can satisfy constraints: which of them leaves nothing of what is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_hea.design.crystal_constraints import AnyConstraint, CrystalConstraint, CrystalRegion
from pyro_hea.design.region import TOLERANCE
from pyro_hea.errors import ConstraintError, listing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.materials.crystals import CrystalVocabulary

_IMPOSSIBLE = 1e6


def check_possible(
    region: CrystalRegion, constraints: Sequence[AnyConstraint], vocabulary: CrystalVocabulary
) -> None:
    """Refuse constraints that no prototype of a training crystal can satisfy with any elements.

    What only shows on single crystals, as their distances, is not looked at.

    Parameters
    ----------
    region : CrystalRegion
    constraints : sequence of Constraint or CrystalConstraint
        As they were asked for.
    vocabulary : CrystalVocabulary

    Raises
    ------
    ConstraintError
        Naming the constraint that leaves nothing, or what is left without it.
    """
    on_elements = [c for c in constraints if not isinstance(c, CrystalConstraint)]
    on_structure = [c for c in constraints if isinstance(c, CrystalConstraint)]
    _check_elements(region, on_elements, vocabulary)
    possible = np.array([_can_have(region, kind) for kind in vocabulary.formula_types])
    elements = ", ".join(map(repr, on_elements))
    if not possible.any():
        raise ConstraintError(
            f"no stoichiometry of a training crystal satisfies {elements}; there are "
            f"{listing(map(_ratio, vocabulary.formula_types))}"
        )
    left = possible[vocabulary.prototype_formula_type.numpy()]
    for constraint in on_structure:
        allowed = np.array([constraint.allows(p) for p in vocabulary.prototypes])
        if not allowed.any():
            raise ConstraintError(
                f"no prototype of a training crystal satisfies {constraint!r}; there are "
                f"{_about(vocabulary, allowed | True)}"
            )
        if not (left & allowed).any():
            earlier = [*on_elements, *on_structure[: on_structure.index(constraint)]]
            kinds = [k for k, can in zip(vocabulary.formula_types, possible, strict=True) if can]
            raise ConstraintError(
                f"no prototype of a training crystal satisfies {constraint!r} together with "
                f"{', '.join(map(repr, earlier))}, which leave "
                f"{_about(vocabulary, left)}, and the stoichiometries "
                f"{listing(map(_ratio, kinds))}"
            )
        left &= allowed


def _check_elements(
    region: CrystalRegion, constraints: Sequence[AnyConstraint], vocabulary: CrystalVocabulary
) -> None:
    """Refuse elements that have to be there and that no training crystal holds."""
    seen = vocabulary.element_seen.numpy()
    names = np.array(vocabulary.elements)
    unseen = names[region.region.must & ~seen]
    if len(unseen):
        raise ConstraintError(
            f"no training crystal holds {', '.join(unseen)}, which "
            f"{', '.join(map(repr, constraints))} asks for; train on crystals with it"
        )


def _can_have(region: CrystalRegion, kind: tuple[int, ...]) -> bool:
    """Whether different elements can take the roles of a stoichiometry within their bounds."""
    from scipy.optimize import linear_sum_assignment  # takes long to import

    of = region.region
    if not of.min_elements <= len(kind) <= min(of.max_elements, int(region.elements.sum())):
        return False
    share = np.array(kind)[:, None] / sum(kind)
    fits = region.elements & (of.lower <= share + TOLERANCE) & (share <= of.upper + TOLERANCE)
    cost: NDArray[np.float64] = np.where(fits, -of.must.astype(float), _IMPOSSIBLE)
    return bool(cost[linear_sum_assignment(cost)].sum() == -of.must.sum())


def _about(vocabulary: CrystalVocabulary, kept: NDArray[np.bool_]) -> str:
    """Space groups and sizes of the prototypes that are left."""
    left = [p for p, keep in zip(vocabulary.prototypes, kept, strict=True) if keep]
    groups = sorted({p.group.number for p in left})
    atoms = [p.atoms for p in left]
    return (
        f"{len(left)} ({listing([p.label for p in left], 4)}) in the space groups "
        f"{listing(groups, 20)}, of {min(atoms)} to {max(atoms)} atoms"
    )


def _ratio(kind: tuple[int, ...]) -> str:
    return ":".join(map(str, kind))
