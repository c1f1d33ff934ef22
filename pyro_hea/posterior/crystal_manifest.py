"""The manifest of a saved model of crystals, and what has to hold between it and the tensors."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from pyro_hea.materials.crystals import (
    CrystalDataset,
    CrystalVocabulary,
    WyckoffStructure,
    composition_features,
    crystal_features,
    element_table,
)
from pyro_hea.materials.crystals.elements import electronegativity_order
from pyro_hea.posterior.manifest import Names, check_tensor
from pyro_hea.program.crystal_batch import element_properties
from pyro_hea.spec import Continuous, CrystalSpec
from pyro_hea.spec.declaration import Count, Declaration, Positive

Numbers = tuple[float, ...]

_SALT = "225 | 5.64 | Na:a:0,0,0;Cl:b:0.5,0.5,0.5"


class SavedPrototype(Declaration):
    """A `Prototype` as `CrystalVocabulary.to_mapping` writes it."""

    label: str
    kinds: Annotated[Names, Field(min_length=1)]
    reference: Numbers
    reference_shape: Annotated[Numbers, Field(min_length=5, max_length=5)]
    members: Count


class SavedScale(Declaration):
    """Names, means and standard deviations of features."""

    names: Names
    centre: Numbers
    spread: tuple[Positive, ...]


class SavedVocabulary(Declaration):
    """A `CrystalVocabulary` as its `to_mapping` writes it."""

    formula_types: Annotated[
        tuple[Annotated[tuple[Count, ...], Field(min_length=1)], ...], Field(min_length=1)
    ]
    prototypes: Annotated[tuple[SavedPrototype, ...], Field(min_length=1)]
    seen: Names
    scales: dict[str, SavedScale]


class KnownCrystals(Declaration):
    """Training crystals: their ids, and their text as of `WyckoffStructure`."""

    ids: Names
    text: Annotated[Names, Field(min_length=1)]


class CrystalManifest(Declaration):
    """What the manifest of a saved model of crystals declares beside the hashes.

    Attributes
    ----------
    spec : dict
        As `CrystalSpec.to_mapping` makes it.
    vocabulary : SavedVocabulary
    label_scales : dict of target to (float, float)
        Mean and standard deviation of a number's labels.
    population : int
        Training crystals.
    seed : int
    known : KnownCrystals
    targets : tuple of str
        Columns of the labels of the training crystals.
    elements_sha256 : str
        Of the table of the elements' properties, which the features were computed from.
    versions : dict of str
        Of the packages that wrote the model.
    """

    spec: dict[str, Any]
    vocabulary: SavedVocabulary
    label_scales: dict[str, tuple[float, Positive]]
    population: Count
    seed: int
    known: KnownCrystals
    targets: Names
    elements_sha256: str
    versions: dict[str, str]


def hash_of_elements() -> str:
    """Hash of the properties of the elements, which may change from one pymatgen to the next."""
    return hashlib.sha256(element_table().to_csv(float_format="%.10g").encode()).hexdigest()


def checked_vocabulary(saved: SavedVocabulary) -> CrystalVocabulary:
    """The vocabulary, if prototypes and scales are those that this release would make.

    Raises
    ------
    ValueError
        Also as `StructureError` or `UnknownElementError`.
    """
    vocabulary = CrystalVocabulary.from_mapping(saved.model_dump())
    _refuse_twice("formula_types", vocabulary.formula_types)
    _refuse_twice("prototypes", [p.label for p in vocabulary.prototypes])
    for counts in vocabulary.formula_types:
        if tuple(sorted(counts)) != counts or math.gcd(*counts) != 1:
            raise ValueError(f"formula type {counts} is not of smallest whole amounts, ascending")
    for prototype in vocabulary.prototypes:
        group, *orbits = prototype.label.split(":")
        if not group.isdecimal() or not orbits:
            raise ValueError(f"'{prototype.label[:80]}' is no prototype")
        if prototype.formula_type not in vocabulary.formula_type_index:
            raise ValueError(f"prototype {prototype.label} is of no formula type")
        if len(prototype.reference) != prototype.free:
            raise ValueError(f"prototype {prototype.label} has other free coordinates")
    for element in vocabulary.seen:
        electronegativity_order(element)
    structure, both = crystal_features([WyckoffStructure.from_text(_SALT)])
    now = {"composition": composition_features([{"Na": 1}]), "structure": structure, "both": both}
    if vocabulary.scales.keys() != now.keys():
        raise ValueError("scales are not those of composition, structure and both")
    for name, scale in vocabulary.scales.items():
        if scale.names != tuple(now[name].columns):
            raise ValueError(f"the features of {name} are not those of this release")
        if not len(scale.names) == len(scale.centre) == len(scale.spread):
            raise ValueError(f"the scales of the features of {name} are incomplete")
    return vocabulary


def check_crystal_manifest(
    manifest: CrystalManifest, spec: CrystalSpec, known: CrystalDataset
) -> None:
    """Refuse what the declared types leave possible, and the spec or the crystals do not."""
    numbers = {t.name for t in spec.targets if isinstance(t, Continuous)}
    if manifest.label_scales.keys() != numbers:
        raise ValueError("label_scales are not those of the spec")
    _refuse_twice("targets", manifest.targets)
    if not len(known.crystals) == manifest.population:  # reads every text
        raise ValueError(f"population is {manifest.population}, of {len(known)} crystals")


def check_tables(tables: Mapping[str, Tensor], vocabulary: CrystalVocabulary) -> None:
    """Refuse tables that are not those of the vocabulary.

    Shapes are compared before anything is made of them: assignments, for one, grow as the factorial
    of the elements.
    """
    types, prototypes = vocabulary.formula_types, vocabulary.prototypes
    roles, free = max(map(len, types)), max(1, *(p.free for p in prototypes))
    ways = max(math.prod(math.factorial(n) for n in Counter(t).values()) for t in types)
    s, p = len(types), len(prototypes)
    whole, number = torch.int64, torch.float32
    properties = element_properties().float()
    for name, (shape, dtype) in {
        "properties": (tuple(properties.shape), number),
        "counts": ((s, roles), number),
        "tied": ((s, roles), torch.bool),
        "type_counts": ((s,), number),
        "prototype_type": ((p,), whole),
        "prototype_counts": ((p,), number),
        "descriptors": ((p, len(vocabulary.scales["structure"].names)), number),
        "shape": ((p, 5), number),
        "coordinates": ((p, free), number),
        "assignment_counts": ((p, ways), number),
    }.items():
        check_tensor(f"table_{name}", tables.get(name), shape, dtype)
    for name, value in {
        "properties": properties,
        "counts": vocabulary.role_counts,
        "tied": vocabulary.follows,
        "prototype_type": vocabulary.prototype_formula_type,
        "shape": vocabulary.reference_shape,
        "coordinates": vocabulary.reference,
    }.items():
        if not torch.equal(tables[name], value.to(tables[name].dtype)):
            raise ValueError(f"table_{name} is not that of the vocabulary")
    possible = (tables["assignment_counts"] >= 0).any(-1).all()
    if not possible or (tables["type_counts"] < 0).any() or (tables["prototype_counts"] < 1).any():
        raise ValueError("crystals are counted below zero, or a prototype has no assignment")


def _refuse_twice(what: str, names: Any) -> None:
    (most, times) = Counter(names).most_common(1)[0] if len(names) else ("", 1)
    if times > 1:
        raise ValueError(f"{what} holds {str(most)[:80]!r} {times} times")
