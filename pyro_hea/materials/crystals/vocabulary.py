"""What a model of crystals counts: formula types, prototypes, assignments; feature scales."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_hea.materials.crystals.alignment import Aligned, align, prototype_like
from pyro_hea.materials.crystals.cells import Floats
from pyro_hea.materials.crystals.dataset import CrystalDataset
from pyro_hea.materials.crystals.elements import electronegativity_order, element_table
from pyro_hea.materials.crystals.prototypes import (
    SHAPE,
    Prototype,
    assignments,
    formula_type,
    shape_mask,
)
from pyro_hea.materials.crystals.wyckoff import WyckoffStructure

_COMPARED = 12  # members of a prototype among which its reference is looked for


@dataclass(frozen=True)
class Scale:
    """Names, means and standard deviations of features."""

    names: tuple[str, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]


@dataclass(frozen=True)
class CrystalVocabulary:
    """Classes of crystals, from training data.

    Elements are those of `element_table`, E = 94, from the most electropositive on. A formula type
    has R roles at most, a prototype O orbits and K free coordinates at most.

    Attributes
    ----------
    formula_types : tuple of tuple of int
        Whole amounts, ascending; the most frequent type first. Roles of equal amounts are in the
        order of electronegativity.
    prototypes : tuple of Prototype
        The most frequent first.
    seen : tuple of str
        Elements that occur.
    scales : mapping of str to Scale
        Of the features `composition`, `structure` and `both`.
    """

    formula_types: tuple[tuple[int, ...], ...]
    prototypes: tuple[Prototype, ...]
    seen: tuple[str, ...]
    scales: Mapping[str, Scale]

    @classmethod
    def of(cls, dataset: CrystalDataset, min_members: int = 1) -> Self:
        """Count the crystals of a dataset.

        Parameters
        ----------
        dataset : CrystalDataset
            Training data.
        min_members : int
            Crystals that a prototype needs to be a class.
        """
        crystals = dataset.crystals
        types = Counter(formula_type(crystal.counts) for crystal in crystals)
        members: dict[str, list[WyckoffStructure]] = defaultdict(list)
        for label, crystal in zip(dataset.info["prototype"], crystals, strict=True):
            members[label].append(crystal)
        labels = sorted(members, key=lambda label: (-len(members[label]), label))
        return cls(
            tuple(sorted(types, key=lambda t: (-types[t], t))),
            tuple(_prototype(members[x]) for x in labels if len(members[x]) >= min_members),
            tuple(sorted({e for c in crystals for e in c.counts}, key=electronegativity_order)),
            {name: _scale(table) for name, table in dataset.features.items()},
        )

    def __repr__(self) -> str:
        return (
            f"CrystalVocabulary({len(self.seen)} elements, {len(self.formula_types)} "
            f"formula types, {len(self.prototypes)} prototypes)"
        )

    @property
    def elements(self) -> tuple[str, ...]:
        """Every element, (E,)."""
        return tuple(element_table().index)

    @cached_property
    def element_seen(self) -> Tensor:
        """Which elements occur, (E,)."""
        return torch.tensor([element in set(self.seen) for element in self.elements])

    @property
    def largest(self) -> int:
        """Atoms of the primitive cell of any prototype at most."""
        return max(prototype.atoms for prototype in self.prototypes)

    @cached_property
    def prototype_index(self) -> Mapping[str, int]:
        """Place of each prototype by label."""
        return {prototype.label: k for k, prototype in enumerate(self.prototypes)}

    @cached_property
    def formula_type_index(self) -> Mapping[tuple[int, ...], int]:
        """Place of each formula type."""
        return {counts: k for k, counts in enumerate(self.formula_types)}

    @cached_property
    def role_counts(self) -> Tensor:
        """Atoms of each role in a formula unit, (S, R), 0 beyond the last role."""
        return _padded(self.formula_types)

    @cached_property
    def follows(self) -> Tensor:
        """Whether a role has as many atoms as the one before it, (S, R).

        Its element then comes after that one's.
        """
        counts = self.role_counts
        same = (counts[:, 1:] == counts[:, :-1]) & (counts[:, 1:] > 0)
        return torch.cat([torch.zeros(len(counts), 1, dtype=torch.bool), same], 1)

    @cached_property
    def prototype_formula_type(self) -> Tensor:
        """Formula type of each prototype, (P,)."""
        return torch.tensor([self.formula_type_index[p.formula_type] for p in self.prototypes])

    @cached_property
    def assignment_roles(self) -> Tensor:
        """Role on each kind of atom, (S, A, R), -1 beyond; see `assignments`."""
        ways = [assignments(counts) for counts in self.formula_types]
        table = torch.full((len(ways), max(map(len, ways)), self.role_counts.shape[1]), -1)
        for row, own in zip(table, ways, strict=True):
            row[: len(own), : len(own[0])] = torch.tensor(own)
        return table

    @cached_property
    def assignment_mask(self) -> Tensor:
        """Assignments of each prototype that are different crystals, (P, A)."""
        mask = torch.zeros(len(self.prototypes), self.assignment_roles.shape[1], dtype=torch.bool)
        for row, prototype in zip(mask, self.prototypes, strict=True):
            row[list(_different(prototype))] = True
        return mask

    @cached_property
    def coordinate_mask(self) -> Tensor:
        """Free coordinates that a prototype has, (P, K)."""
        free = torch.tensor([p.free for p in self.prototypes])
        return torch.arange(max(1, int(free.max()))) < free[:, None]

    @cached_property
    def reference(self) -> Tensor:
        """Free coordinates of the reference crystals, (P, K)."""
        return _padded([p.reference for p in self.prototypes], 0.0, self.coordinate_mask.shape[1])

    @cached_property
    def shape_mask(self) -> Tensor:
        """Which parameters of the shape of a cell are free, (P, 5)."""
        return torch.tensor(np.array([shape_mask(p.group) for p in self.prototypes]))

    @cached_property
    def reference_shape(self) -> Tensor:
        """`SHAPE` of the reference crystals, (P, 5)."""
        return _padded([p.reference_shape for p in self.prototypes], 0.0, len(SHAPE))

    def to_mapping(self) -> dict[str, Any]:
        """Everything in lists, numbers and strings, for JSON."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """The vocabulary that `to_mapping` wrote."""
        return cls(
            tuple(tuple(counts) for counts in mapping["formula_types"]),
            tuple(
                Prototype(
                    p["label"],
                    tuple(p["kinds"]),
                    tuple(p["reference"]),
                    tuple(p["reference_shape"]),
                    p["members"],
                )
                for p in mapping["prototypes"]
            ),
            tuple(mapping["seen"]),
            {
                name: Scale(*(tuple(scale[k]) for k in ("names", "centre", "spread")))
                for name, scale in mapping["scales"].items()
            },
        )


def _prototype(crystals: Sequence[WyckoffStructure]) -> Prototype:
    """The prototype of crystals, its reference the one nearest to the mean of some."""
    some = crystals[:: max(1, len(crystals) // _COMPARED)][:_COMPARED]
    first, _ = prototype_like(some[0])
    if len(some) == 1 or not first.free:
        return replace(first, members=len(crystals))
    aligned = [align(crystal, first) for crystal in some]
    angles = 2 * np.pi * np.array([a.coordinates for a in aligned])
    mean = np.arctan2(np.sin(angles).mean(0), np.cos(angles).mean(0))
    off = np.square(np.sin((angles - mean) / 2)).sum(1)
    nearest: Aligned = aligned[int(off.argmin())]
    return replace(
        first,
        reference=tuple(nearest.coordinates.tolist()),
        reference_shape=tuple(nearest.shape.tolist()),
        members=len(crystals),
    )


def _different(prototype: Prototype) -> set[int]:
    """Assignments that are different crystals: each as `align` names it."""
    ways = assignments(prototype.formula_type)
    if len(ways) == 1:
        return {0}
    elements = list(
        element_table().index[: len(prototype.kinds)]
    )  # in the order of electronegativity
    return {
        align(
            prototype.crystal(
                elements, k, math.log(20), prototype.reference_shape, prototype.reference
            ),
            prototype,
        ).assignment
        for k in range(len(ways))
    }


def _scale(table: Any) -> Scale:
    spread = table.std(ddof=0)
    return Scale(
        tuple(table.columns),
        tuple(table.mean().tolist()),
        tuple(spread.where(spread > 1e-9, 1.0).tolist()),
    )


def _padded(rows: Sequence[Sequence[float]], fill: float = 0, width: int = 1) -> Tensor:
    """Rows of different lengths as one tensor; of integers if all are."""
    width = max(width, *(len(row) for row in rows))
    table: Floats | NDArray[np.int_] = np.full((len(rows), width), fill)
    for into, row in zip(table, rows, strict=True):
        into[: len(row)] = row
    return torch.tensor(table)
