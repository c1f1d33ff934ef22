"""Crystals as tensors: what model and guide read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_hea.errors import DataError
from pyro_hea.materials.crystals.alignment import align, prototype_like
from pyro_hea.materials.crystals.dataset import CrystalDataset
from pyro_hea.materials.crystals.elements import electronegativity_order
from pyro_hea.materials.crystals.features import composition_features, fraction_matrix, roles_of
from pyro_hea.materials.crystals.prototypes import formula_type, shape_mask
from pyro_hea.materials.crystals.vocabulary import CrystalVocabulary
from pyro_hea.materials.tensor_rows import TensorRows


@dataclass(frozen=True)
class CrystalBatch(TensorRows):
    """Crystals as tensors on one device; what is not known is a placeholder under a mask.

    Attributes
    ----------
    formula_type : Tensor of int, shape (N,)
    formula_type_known : Tensor of bool, shape (N,)
        False for a formula type that the vocabulary lacks.
    elements : Tensor of int, shape (N, R)
        Element of each role, a place in `CrystalVocabulary.elements`.
    counts : Tensor of int, shape (N, R)
        Atoms of each role in a formula unit; 0 where there is no such role.
    fractions : Tensor, shape (N, E)
        Atomic fractions.
    composition_features : Tensor, shape (N, F)
        Standardised.
    prototype : Tensor of int, shape (N,), or None
        None here and below where only compositions are known.
    prototype_known : Tensor of bool, shape (N,)
        False for a prototype that the vocabulary lacks; assignment, shape and coordinates are then
        those of the crystal by itself, and no `coordinate_mask` is set.
    assignment : Tensor of int, shape (N,)
        Which role is on which kind of atom, a place in `assignments`.
    log_volume : Tensor, shape (N,)
        Logarithm of the volume per atom in Å³.
    shape, shape_mask : Tensor, shape (N, 5)
        log b/a, log c/a, α, β, γ (radians) of the standard cell, and which of them are free.
    coordinates, coordinate_mask : Tensor, shape (N, K)
        Free coordinates in [0, 1), aligned to the prototype's reference.
    structure_features, both_features : Tensor, shape (N, F)
        Standardised.
    targets : mapping of str to Tensor of shape (N,)
    labelled : mapping of str to Tensor of bool of shape (N,)
    """

    formula_type: Tensor
    formula_type_known: Tensor
    elements: Tensor
    counts: Tensor
    fractions: Tensor
    composition_features: Tensor
    prototype: Tensor | None = None
    prototype_known: Tensor | None = None
    assignment: Tensor | None = None
    log_volume: Tensor | None = None
    shape: Tensor | None = None
    shape_mask: Tensor | None = None
    coordinates: Tensor | None = None
    coordinate_mask: Tensor | None = None
    structure_features: Tensor | None = None
    both_features: Tensor | None = None
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    labelled: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.formula_type)

    def to(self, device: str | torch.device) -> CrystalBatch:
        """The same on another device."""
        return self.map(lambda tensor: tensor.to(device))

    def without_labels(self) -> CrystalBatch:
        """The same crystals, nothing known of their targets."""
        return self.replaced(targets={}, labelled={})


def composition_batch(
    compositions: Sequence[Mapping[str, float]],
    vocabulary: CrystalVocabulary,
    dtype: torch.dtype = torch.float32,
) -> CrystalBatch:
    """Tensors of compositions without a structure.

    Parameters
    ----------
    compositions : sequence of mapping of element to whole amount

    Raises
    ------
    DataError
        For a composition of more elements than any crystal of the vocabulary, or amounts that are
        not whole.
    UnknownElementError
    """
    width = vocabulary.role_counts.shape[1]
    elements, counts = (np.zeros((len(compositions), width), int) for _ in range(2))
    types, known = [], []
    for row, composition in enumerate(compositions):
        whole = {element: round(amount) for element, amount in composition.items() if amount}
        if any(abs(whole[element] - composition[element]) > 1e-6 for element in whole):
            raise DataError(f"{dict(composition)}: a crystal has whole numbers of atoms")
        roles, amounts = roles_of(whole), formula_type(whole)
        if len(roles) > width:
            formula = "".join(f"{e}{'' if n == 1 else n}" for e, n in whole.items())
            raise DataError(
                f"'{formula}' has {len(roles)} elements; the crystals that the model was trained "
                f"on have {width} at most: leave it out, or train on such crystals too"
            )
        elements[row, : len(roles)] = [electronegativity_order(element) for element in roles]
        counts[row, : len(roles)] = amounts
        types.append(vocabulary.formula_type_index.get(amounts, 0))
        known.append(amounts in vocabulary.formula_type_index)
    return CrystalBatch(
        torch.tensor(types),
        torch.tensor(known),
        torch.tensor(elements),
        torch.tensor(counts),
        torch.tensor(fraction_matrix(compositions), dtype=dtype),
        _standardised(composition_features(compositions), vocabulary, "composition", dtype),
    )


def crystal_batch(
    dataset: CrystalDataset,
    vocabulary: CrystalVocabulary,
    dtype: torch.dtype = torch.float32,
    targets: Sequence[str] | None = None,
) -> CrystalBatch:
    """Tensors of crystals.

    Parameters
    ----------
    dataset : CrystalDataset
    vocabulary : CrystalVocabulary
        Of the training data.
    dtype : torch.dtype
    targets : sequence of str, optional
        Those of the dataset's targets to take, all by default; a blank is a placeholder (0) where
        `labelled` is False.
    """
    width = vocabulary.coordinate_mask.shape[1]
    n = len(dataset)
    place, assignment, known = np.zeros(n, int), np.zeros(n, int), np.zeros(n, bool)
    volume, shape, shape_free = np.zeros(n), np.zeros((n, 5)), np.zeros((n, 5), bool)
    coordinates = np.zeros((n, width))
    for row, (crystal, label) in enumerate(
        zip(dataset.crystals, dataset.info["prototype"], strict=True)
    ):
        known[row] = label in vocabulary.prototype_index
        if known[row]:
            place[row] = vocabulary.prototype_index[label]
            prototype = vocabulary.prototypes[place[row]]
            aligned = align(crystal, prototype)
            coordinates[row, : prototype.free] = aligned.coordinates
        else:
            _, aligned = prototype_like(crystal)
        assignment[row] = aligned.assignment
        volume[row], shape[row] = aligned.log_volume, aligned.shape
        shape_free[row] = shape_mask(crystal.group)
    batch = composition_batch([crystal.counts for crystal in dataset.crystals], vocabulary, dtype)
    chosen = dataset.targets if targets is None else dataset.targets[list(targets)]
    values = torch.tensor(chosen.to_numpy(float), dtype=dtype)
    prototype_of_row, recognised = torch.tensor(place), torch.tensor(known)
    return batch.replaced(
        prototype=prototype_of_row,
        prototype_known=recognised,
        assignment=torch.tensor(assignment),
        log_volume=torch.tensor(volume, dtype=dtype),
        shape=torch.tensor(shape, dtype=dtype),
        shape_mask=torch.tensor(shape_free),
        coordinates=torch.tensor(coordinates, dtype=dtype),
        coordinate_mask=vocabulary.coordinate_mask[prototype_of_row] & recognised[:, None],
        structure_features=_standardised(
            dataset.features["structure"], vocabulary, "structure", dtype
        ),
        both_features=_standardised(dataset.features["both"], vocabulary, "both", dtype),
        targets={str(name): values[:, k].nan_to_num(0.0) for k, name in enumerate(chosen)},
        labelled={str(name): ~values[:, k].isnan() for k, name in enumerate(chosen)},
    )


def _standardised(
    table: pd.DataFrame, vocabulary: CrystalVocabulary, name: str, dtype: torch.dtype
) -> Tensor:
    scale = vocabulary.scales[name]
    values = (table[list(scale.names)].to_numpy() - np.array(scale.centre)) / np.array(scale.spread)
    return torch.tensor(values, dtype=dtype)
