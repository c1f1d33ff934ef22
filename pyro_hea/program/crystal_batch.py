"""Crystals as the program reads them, and what it counts of formula types and prototypes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_hea.materials.alloys.dataset import AlloyBatch
from pyro_hea.materials.crystals import element_table

if TYPE_CHECKING:
    from pyro_hea.materials.crystals import CrystalBatch, CrystalVocabulary


@dataclass(frozen=True, kw_only=True)
class CrystalInputs(AlloyBatch):
    """Crystals as tensors on one device, with what the targets of any program need.

    `features` are those of the composition, of the structure and of both, side by side; the last
    two are 0 where the structure is not known.

    Attributes
    ----------
    structure_known : Tensor of bool, shape (N,)
        False for a formula alone; what stands below of its structure is then a placeholder.
    formula_type : Tensor of int, shape (N,)
    elements : Tensor of int, shape (N, R)
    prototype : Tensor of int, shape (N,)
        -1 for one that the vocabulary lacks.
    structure_features : Tensor, shape (N, D)
    assignment : Tensor of int, shape (N,)
    log_volume : Tensor, shape (N,)
    shape, shape_mask : Tensor, shape (N, 5)
    coordinates, coordinate_mask : Tensor, shape (N, C)
    """

    structure_known: Tensor
    formula_type: Tensor
    elements: Tensor
    prototype: Tensor
    structure_features: Tensor
    assignment: Tensor
    log_volume: Tensor
    shape: Tensor
    shape_mask: Tensor
    coordinates: Tensor
    coordinate_mask: Tensor


def inputs_of(
    batch: CrystalBatch, vocabulary: CrystalVocabulary, placeholders: Mapping[str, float]
) -> CrystalInputs:
    """A batch of the data room as the program reads it.

    Parameters
    ----------
    batch : CrystalBatch
    vocabulary : CrystalVocabulary
    placeholders : mapping of str to float
        A value that each target could have; targets that are not named are left out.
    """
    n, composition = len(batch), batch.composition_features
    widths = [len(vocabulary.scales[name].names) for name in ("structure", "both")]
    free = vocabulary.coordinate_mask.shape[1]
    known = batch.prototype is not None

    def of(name: str, width: int, dtype: torch.dtype = composition.dtype) -> Tensor:
        found = getattr(batch, name)
        shape = (n, width) if width else (n,)
        return composition.new_zeros(shape, dtype=dtype) if found is None else found.to(dtype)

    integer, boolean = torch.int64, torch.bool
    prototype = of("prototype", 0, integer)
    structure = of("structure_features", widths[0])
    targets = {t: batch.targets[t] for t in placeholders if t in batch.targets}
    labelled = {t: batch.labelled[t] for t in targets}
    return CrystalInputs(
        batch.fractions,
        torch.cat([composition, structure, of("both_features", widths[1])], -1),
        {t: torch.where(labelled[t], y, placeholders[t]) for t, y in targets.items()},
        labelled,
        structure_known=torch.full((n,), known, device=composition.device),
        formula_type=batch.formula_type,
        elements=batch.elements,
        prototype=prototype.masked_fill(~of("prototype_known", 0, boolean), -1),
        structure_features=structure,
        assignment=of("assignment", 0, integer),
        log_volume=of("log_volume", 0),
        shape=of("shape", 5),
        shape_mask=of("shape_mask", 5, boolean),
        coordinates=of("coordinates", free),
        coordinate_mask=of("coordinate_mask", free, boolean),
    )


def element_properties() -> Tensor:
    """Properties of the elements, standardised over all of them, (E, Q)."""
    values = torch.tensor(element_table().to_numpy(float))
    return (values - values.mean(0)) / values.std(0)


@dataclass(frozen=True)
class CrystalTables:
    """What is known of formula types and prototypes before training, as tensors.

    Attributes
    ----------
    elements : int
        Number of elements E, ordered by electronegativity.
    features : tuple of int
        Features of the composition, of the structure and of both.
    properties : Tensor, shape (E, Q)
        Of the elements, see `element_table`, standardised.
    counts : Tensor, shape (S, R)
        Atoms on each role of each formula type, ascending; 0 for no role.
    tied : Tensor of bool, shape (S, R)
        Whether a role has the same count as the one before it.
    type_counts : Tensor, shape (S,)
        Crystals of each formula type.
    prototype_type, prototype_counts : Tensor, shape (P,)
        Formula type of each prototype, and its crystals.
    descriptors : Tensor, shape (P, D)
        Mean structure features of its crystals.
    shape : Tensor, shape (P, 5)
        Of the reference cell.
    coordinates : Tensor, shape (P, C)
        Free coordinates of the reference, fractional.
    assignment_counts : Tensor, shape (P, A)
        Crystals with each assignment of roles to orbits; -1 where it is impossible.
    largest : int
        Atoms of the primitive cell of any prototype at most.
    """

    elements: int
    features: tuple[int, int, int]
    properties: Tensor
    counts: Tensor
    tied: Tensor
    type_counts: Tensor
    prototype_type: Tensor
    prototype_counts: Tensor
    descriptors: Tensor
    shape: Tensor
    coordinates: Tensor
    assignment_counts: Tensor
    largest: int = 1

    @classmethod
    def of(cls, vocabulary: CrystalVocabulary, data: CrystalInputs) -> CrystalTables:
        """Those of a vocabulary and the training crystals."""
        float_ = data.features.dtype
        known = data.prototype >= 0
        rows, prototypes = data.prototype[known], len(vocabulary.prototypes)
        features = tuple(
            len(vocabulary.scales[n].names) for n in ("composition", "structure", "both")
        )
        number = torch.bincount(rows, minlength=prototypes).clamp_min(1).to(float_)
        descriptors = torch.zeros(prototypes, features[1], dtype=float_)
        descriptors.index_add_(0, rows, data.structure_features[known])
        possible = vocabulary.assignment_mask
        counts = torch.zeros(possible.shape, dtype=float_)
        one = torch.ones(len(rows), dtype=float_)
        counts.index_put_((rows, data.assignment[known]), one, accumulate=True)
        types = len(vocabulary.formula_types)
        return cls(
            len(vocabulary.elements),
            (features[0], features[1], features[2]),
            element_properties().to(float_),
            vocabulary.role_counts.to(float_),
            vocabulary.follows,
            torch.bincount(data.formula_type, minlength=types).to(float_),
            vocabulary.prototype_formula_type,
            number,
            descriptors / number.unsqueeze(-1),
            vocabulary.reference_shape.to(float_),
            vocabulary.reference.to(float_),
            counts.masked_fill(~possible & (counts == 0), -1.0),
            vocabulary.largest,
        )

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name."""
        named = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in named.items() if isinstance(value, Tensor)}
