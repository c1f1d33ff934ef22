import json

import pytest
import torch

from pyro_hea.errors import DataError
from pyro_hea.materials.crystals import (
    CrystalVocabulary,
    assignments,
    composition_batch,
    crystal_batch,
)


@pytest.fixture(scope="module")
def batch(crystals, vocabulary):
    return crystal_batch(crystals, vocabulary)


def test_a_vocabulary_counts_what_is_there(crystals, vocabulary):
    assert {p.label for p in vocabulary.prototypes} == set(crystals.info["prototype"])
    assert sum(p.members for p in vocabulary.prototypes) == len(crystals)
    counts = [p.members for p in vocabulary.prototypes]
    assert counts == sorted(counts, reverse=True)
    seen = {element for crystal in crystals.crystals for element in crystal.counts}
    assert set(vocabulary.seen) == seen
    marked = torch.tensor([element in seen for element in vocabulary.elements])
    assert torch.equal(vocabulary.element_seen, marked)


def test_rare_prototypes_are_no_classes(crystals):
    few = CrystalVocabulary.of(crystals, min_members=2)
    counts = crystals.info["prototype"].value_counts()
    assert {p.label for p in few.prototypes} == set(counts[counts >= 2].index)
    batch = crystal_batch(crystals, few)
    known = crystals.info["prototype"].isin(few.prototype_index).to_numpy()
    assert torch.equal(batch.prototype_known, torch.tensor(known))
    assert not batch.coordinate_mask[~batch.prototype_known].any()


def test_a_vocabulary_survives_json(vocabulary):
    again = CrystalVocabulary.from_mapping(json.loads(json.dumps(vocabulary.to_mapping())))
    assert again == vocabulary


def test_prototypes_hold_the_atoms_of_their_formula_type(vocabulary):
    for k, prototype in enumerate(vocabulary.prototypes):
        s = int(vocabulary.prototype_formula_type[k])
        assert vocabulary.formula_types[s] == prototype.formula_type
        per_kind = [0] * len(prototype.kinds)
        for letter, kind in prototype.orbits:
            per_kind[kind] += prototype.group.multiplicity(letter)
        units = prototype.atoms // sum(prototype.formula_type)
        assert per_kind == [units * n for n in prototype.formula_type]


def test_roles_of_equal_amounts_follow_each_other(vocabulary):
    s = vocabulary.formula_type_index[(1, 1, 3)]
    assert vocabulary.role_counts[s, :3].tolist() == [1, 1, 3]
    assert vocabulary.follows[s, :3].tolist() == [False, True, False]
    assert vocabulary.assignment_roles[s, :2, :3].tolist() == [[0, 1, 2], [1, 0, 2]]


def test_crystals_are_decoded_from_their_tensors(crystals, vocabulary, batch):
    for row, crystal in enumerate(crystals.crystals):
        prototype = vocabulary.prototypes[batch.prototype[row]]
        roles = int((batch.counts[row] > 0).sum())
        back = prototype.crystal(
            [vocabulary.elements[i] for i in batch.elements[row, :roles]],
            int(batch.assignment[row]),
            float(batch.log_volume[row]),
            batch.shape[row].tolist(),
            batch.coordinates[row, : prototype.free].tolist(),
        )
        assert back.counts == crystal.counts
        assert back.prototype == crystal.prototype
        assert back.volume_per_atom == pytest.approx(crystal.volume_per_atom, rel=1e-4)
        assert back.structure().matches(crystal.structure(), ltol=0.01, stol=0.02)


def test_masks_are_those_of_the_crystals(crystals, vocabulary, batch):
    for row, crystal in enumerate(crystals.crystals):
        group = crystal.group
        free = sum(group.position(orbit.letter).freedom for orbit in crystal.orbits)
        assert int(batch.coordinate_mask[row].sum()) == free
        angles = {"triclinic": 3, "monoclinic": 1}.get(group.crystal_system, 0)
        assert int(batch.shape_mask[row, 2:].sum()) == angles
        allowed = vocabulary.assignment_mask[batch.prototype[row], batch.assignment[row]]
        assert bool(allowed)
    assert ((batch.coordinates >= 0) & (batch.coordinates <= 1)).all()
    assert (batch.coordinates[~batch.coordinate_mask] == 0).all()


def test_assignments_are_places_among_those_of_the_formula_type(vocabulary, batch):
    for row in range(len(batch)):
        counts = vocabulary.formula_types[batch.formula_type[row]]
        assert int(batch.assignment[row]) < len(assignments(counts))
        assert batch.counts[row, : len(counts)].tolist() == list(counts)


def test_unknown_targets_are_placeholders_under_a_mask(crystals, batch):
    for name, column in crystals.targets.items():
        known = torch.tensor(column.notna().to_numpy())
        assert torch.equal(batch.labelled[name], known)
        assert batch.targets[name][known].numpy() == pytest.approx(column.dropna(), rel=1e-6)
        assert (batch.targets[name][~known] == 0).all()


def test_features_are_standardised_by_the_vocabulary(crystals, vocabulary, batch):
    assert batch.composition_features.mean(0).abs().max() < 1e-4
    spread = batch.structure_features.std(0, correction=0)
    varies = crystals.features["structure"].nunique().gt(1).to_numpy(copy=True)
    assert (spread[varies] - 1).abs().max() < 1e-3
    half = crystal_batch(crystals.take(range(0, len(crystals), 2)), vocabulary)
    assert torch.allclose(half.both_features, batch.both_features[::2])


def test_a_batch_is_taken_apart_and_moved(batch):
    rows = torch.tensor([4, 1])
    taken = batch.take(rows)
    assert len(taken) == 2
    assert torch.equal(taken.coordinates, batch.coordinates[rows])
    assert torch.equal(taken.targets["gap"], batch.targets["gap"][rows])
    assert taken.to("cpu").elements.device.type == "cpu"
    assert batch.without_labels().targets == {}


def test_chosen_targets_are_taken(crystals, vocabulary):
    assert list(crystal_batch(crystals, vocabulary, targets=["gap"]).targets) == ["gap"]


def test_compositions_alone_have_no_structure(crystals, vocabulary, batch):
    alone = composition_batch([c.counts for c in crystals.crystals], vocabulary)
    assert alone.prototype is None
    assert alone.structure_features is None
    for name in ("formula_type", "elements", "counts", "fractions", "composition_features"):
        assert torch.equal(getattr(alone, name), getattr(batch, name))
    assert torch.allclose(alone.fractions.sum(1), torch.ones(len(alone)))


def test_a_formula_type_that_is_not_known_is_marked(vocabulary):
    batch = composition_batch([{"Na": 7, "Cl": 11}, {"Ti": 2, "O": 4}], vocabulary)
    assert batch.formula_type_known.tolist() == [False, True]
    assert batch.counts[:, :2].tolist() == [[7, 11], [1, 2]]


def test_compositions_that_cannot_be_are_refused(vocabulary):
    with pytest.raises(DataError, match="whole numbers of atoms"):
        composition_batch([{"Na": 0.5, "Cl": 1}], vocabulary)
    with pytest.raises(DataError, match=r"has 5 elements; .* have 3 at most"):
        composition_batch([dict.fromkeys(["Na", "Cl", "K", "Br", "I"], 1)], vocabulary)
