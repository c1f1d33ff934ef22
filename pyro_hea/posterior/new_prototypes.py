"""Crystals of prototypes as the decoder of Wyckoff positions chooses them.

What a training crystal has of a prototype, a cell and coordinates, a new one lacks. Its free
coordinates are drawn, atoms that overlap are pushed apart, and of several ways the one is taken
whose structure features are nearest to z_structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyro_hea.devices import seeded
from pyro_hea.errors import StructureError
from pyro_hea.materials.crystals import (
    Prototype,
    WyckoffStructure,
    assignments,
    crystal_features,
    shortest_distance,
)
from pyro_hea.materials.crystals.cells import cell_matrix, full_lattice
from pyro_hea.materials.crystals.elements import element_property
from pyro_hea.materials.crystals.placing import pushed_apart
from pyro_hea.materials.crystals.sequences import (
    Choices,
    orbits_in_order,
    prototype_of_sequence,
)
from pyro_hea.posterior.crystal_ensemble import Option
from pyro_hea.program.crystal_distributions import onto
from pyro_hea.program.crystal_sequences import BINS, sequences_of

if TYPE_CHECKING:
    from pyro_hea.materials.crystals.cells import Floats
    from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble
    from pyro_hea.program.crystal_batch import CrystalInputs

SHORTEST = 0.75
"""Share of the sum of two covalent radii below which no crystal has its atoms."""

_WAYS = 16
"""Ways to place the atoms of a new prototype among which the best is taken."""

_DRAWS = 32
"""Of z_structure by each member, behind the probability of a new prototype."""

_APART = 0.95
"""Share of the sum of two covalent radii to which atoms are pushed apart."""


@torch.no_grad()
def crystals_of_sequences(
    ensemble: CrystalEnsemble,
    elements: Tensor,
    s: Tensor,
    sequences: Sequence[Choices],
    code: Tensor,
    z_s: Tensor,
    shortest: float,
) -> list[WyckoffStructure | None]:
    """Crystals of known and of new prototypes.

    Parameters
    ----------
    ensemble : CrystalEnsemble
    elements : Tensor of int, shape (N, R)
    s : Tensor of int, shape (N,)
    sequences : sequence of tuple of int
        As `WyckoffSequences` gives them.
    code, z_s : Tensor, shape (K, N, d)
    shortest : float
        Share of the radii below which no distance of a new prototype is.

    Returns
    -------
    list of WyckoffStructure or None
        None where no way to place the atoms of a new prototype keeps `shortest`, its space group
        and its Wyckoff positions.
    """
    model, vocabulary = ensemble.model, ensemble.vocabulary
    kinds = [vocabulary.formula_types[t] for t in s.tolist()]
    made = [prototype_of_sequence(q, kind) for q, kind in zip(sequences, kinds, strict=True)]
    place = torch.tensor([vocabulary.prototype_index.get(p.label, -1) for p in made])
    found: list[WyckoffStructure | None] = [None] * len(made)
    known = (place >= 0).nonzero()[:, 0]
    if len(known):
        p, own = place[known], z_s[:, known]
        nearest = model.prototype_likelihood(own, s[known]).probs.mean(0).argmax(-1)
        centre = onto(model.prototype_centres, p)
        # Around another centre z_structure says nothing of the coordinates of this prototype.
        own = torch.where((nearest == p)[:, None], own, centre)
        ways = model.assignment_likelihood(code[:, known], own, p).probs.mean(0).argmax(-1)
        crystals = ensemble.crystals(elements[known], s[known], p, ways, own)
        for row, crystal in zip(known.tolist(), crystals, strict=True):
            found[row] = crystal
    for row in (place < 0).nonzero()[:, 0].tolist():
        at = slice(row, row + 1)
        found[row] = _placed(
            ensemble, made[row], elements[at], s[at], sequences[row], code[:, at], z_s[:, at],
            shortest,
        )  # fmt: skip
    return found


@torch.no_grad()
def new_options(
    ensemble: CrystalEnsemble, inputs: CrystalInputs, most: int, seed: int = 0
) -> tuple[list[Option], float]:
    """Structures of one formula whose prototype no training crystal has.

    Prototypes are drawn from the conditional prior of z_structure; the share of the draws is their
    probability.

    Returns
    -------
    list of Option
        The most probable whose atoms can be placed.
    float
        Share of all new prototypes.
    """
    model, s = ensemble.model, inputs.formula_type
    kind = ensemble.vocabulary.formula_types[int(s)]
    y = ensemble.most_probable(inputs)
    code = model.code(ensemble.encode(inputs)[0], y, s)
    drawn: dict[str, tuple[int, Choices, Tensor]] = {}
    with seeded(seed):
        prior = model.structure_prior(inputs.composition, y, s)
        z_s = prior.sample(torch.Size([_DRAWS]))[:, :, 0].movedim(0, 1)
        sequences = sequences_of(model.sequence_likelihood(z_s, s.expand(_DRAWS)).sample())
        for k, several in enumerate(sequences):
            for n, sequence in enumerate(several):
                label = prototype_of_sequence(sequence, kind).label
                if label not in ensemble.vocabulary.prototype_index:
                    times, first, at = drawn.get(label, (0, sequence, z_s[k, n]))
                    drawn[label] = (times + 1, first, at)
        total = sum(len(several) for several in sequences)
        found: list[Option] = []
        for label, (times, sequence, at) in sorted(drawn.items(), key=lambda one: -one[1][0]):
            here = at.expand(len(code), 1, -1)
            (crystal,) = crystals_of_sequences(
                ensemble, inputs.elements, s, [sequence], code, here, SHORTEST
            )
            if crystal is not None:
                found.append(Option(crystal, label, times / total))
            if len(found) == most:
                break
    return found, sum(times for times, *_ in drawn.values()) / total


def _placed(
    ensemble: CrystalEnsemble,
    prototype: Prototype,
    elements: Tensor,
    s: Tensor,
    sequence: Choices,
    code: Tensor,
    z_s: Tensor,
    shortest: float,
) -> WyckoffStructure | None:
    """One crystal of a new prototype, the best of several ways to place its atoms."""
    model, kind = ensemble.model, prototype.formula_type
    assert model.wyckoff is not None
    fractions = model.fractions(elements, s)
    likelihood = model.sequence_likelihood(z_s, s)
    shape, odds = model.wyckoff.geometry(likelihood.read, [sequence], likelihood.counts)
    names = [ensemble.vocabulary.elements[e] for e in elements[0, : len(kind)].tolist()]
    volume = float(model.volume_likelihood(fractions, z_s).mean.mean(0))
    form = shape.mean(0)[0].double().tolist()
    coordinates = _drawn(prototype, odds.softmax(-1).mean(0))
    logits = model.assigner(torch.cat([code, z_s], -1))[..., : len(assignments(kind))]
    ways = torch.multinomial(logits.softmax(-1).mean(0)[0], _WAYS, True).tolist()
    radius = element_property("covalent_radius", names)
    of_roles = [assignments(kind)[way] for way in ways]
    radii = np.array([[radius[roles[k]] for _, k in prototype.orbits] for roles in of_roles])
    try:
        first = prototype.crystal(names, ways[0], volume, form, coordinates[0])
    except StructureError:  # a shape that is no cell
        return None
    cell = cell_matrix(full_lattice(first.group.crystal_system, first.lattice))
    coordinates = pushed_apart(prototype, coordinates, cell, radii, _APART)
    found = []
    for way, at in zip(ways, coordinates, strict=True):
        try:
            centre = _centre(ensemble, prototype.crystal(names, way, volume, form, at))
        except StructureError:  # an atom on a more special position
            continue
        found.append((float((centre - z_s).square().sum()), way, at, centre))
    for _, way, at, centre in sorted(found, key=lambda one: one[0]):
        volume = float(model.volume_likelihood(fractions, centre).mean.mean(0))
        crystal = prototype.crystal(names, way, volume, form, at)
        if shortest_distance(crystal)[1] >= shortest and is_prototype(crystal):
            return crystal
    return None


def _drawn(prototype: Prototype, chance: Tensor) -> Floats:
    """Free coordinates (C, K) by the probability (O, 3, B) of each part of a cell edge."""
    drawn = np.empty((_WAYS, prototype.free))
    for own, o in zip(chance, orbits_in_order(prototype), strict=True):
        part = prototype.slices[o]
        bins = torch.multinomial(own, _WAYS, True).T + torch.rand(_WAYS, 3)
        drawn[:, part] = bins.numpy()[:, : part.stop - part.start] / BINS
    return drawn


def _centre(ensemble: CrystalEnsemble, crystal: WyckoffStructure) -> Tensor:
    """Where the features of a structure put it in z_structure, (K, 1, d)."""
    scale = ensemble.vocabulary.scales["structure"]
    table = crystal_features([crystal])[0][list(scale.names)].to_numpy()
    features = (table - np.array(scale.centre)) / np.array(scale.spread)
    return ensemble.model.centre_by_features(torch.tensor(features, dtype=torch.float32))


def is_prototype(crystal: WyckoffStructure) -> bool:
    """Whether spglib finds the prototype in a crystal that was made as one."""
    try:
        again = WyckoffStructure.from_structure(crystal.structure())
    except StructureError:
        return False
    return again.prototype == crystal.prototype
