import numpy as np
import pandas as pd
import pytest

from pyro_hea.errors import DataError
from pyro_hea.materials.crystals import TARGET_UNITS, CrystalDataset


def test_the_packaged_crystals_have_their_targets(packaged):
    assert len(packaged) == 15898
    assert tuple(packaged.targets) == tuple(TARGET_UNITS)
    assert packaged.targets.notna().any(axis=None)
    silicon = packaged.targets.loc["mp-149"]
    assert 0.4 < silicon["gap"] < 1.2
    assert silicon["metal"] == 0
    assert 400 < silicon["elastic_debye_temperature"] < 700


def test_crystals_with_soft_modes_have_no_harmonic_targets(packaged):
    soft = packaged.targets["soft_modes"] == 1
    harmonic = ["acoustic_debye_temperature", "debye_temperature", "heat_capacity", "entropy"]
    assert soft.sum() > 2000
    assert packaged.targets.loc[soft, [*harmonic, "maximum_frequency"]].isna().all(axis=None)
    assert (packaged.targets.loc[~soft, "minimum_frequency"].dropna() >= -0.3).all()


def test_a_metal_has_no_gap(packaged):
    gap, metal = packaged.targets["gap"], packaged.targets["metal"]
    assert (metal.isna() == gap.isna()).all()
    assert ((gap == 0) == (metal == 1)).all()


def test_sodium_nitride_is_no_missing_formula(packaged):
    crystal = next(c for c in packaged.crystals if c.counts == {"Na": 1, "N": 1})
    assert crystal.formula == "NaN"


def test_info_follows_from_the_structures(crystals):
    for crystal, structure, row in zip(
        crystals.crystals, crystals.structures, crystals.info.itertuples(), strict=True
    ):
        assert structure.composition.reduced_formula == row.formula == crystal.formula
        assert len(structure) == row.atoms
        assert structure.volume / len(structure) == pytest.approx(row.volume_per_atom)
        elements = {element.symbol for element in structure.elements}
        assert set(row.chemical_system.split("-")) == elements


def test_structures_are_made_when_asked_for(crystals):
    assert len(crystals.structures) == len(crystals)
    assert len(crystals.structures[3:5]) == 2
    assert crystals.structures[3:5][0].matches(crystals.structures[3])
    assert "pymatgen structures" in repr(crystals.structures)


@pytest.mark.parametrize("rows", [[5, 2, 9], slice(0, 4), "mask"])
def test_taken_rows_keep_everything(crystals, rows):
    if rows == "mask":
        rows = crystals.info["formula"].eq("TiO2").to_numpy()
    taken = crystals.take(rows)
    fresh = CrystalDataset(taken.text, taken.targets, taken.sources)
    positions = np.arange(len(crystals))[rows]
    assert taken.ids == [crystals.ids[i] for i in positions]
    assert taken.crystals == fresh.crystals
    pd.testing.assert_frame_equal(taken.info, fresh.info)
    pd.testing.assert_frame_equal(taken.targets, crystals.targets.iloc[positions])


def test_small_crystals_and_first_ones_are_chosen(packaged, crystals):
    small = crystals.of_size(4)
    assert set(small.ids) == set(crystals.info.index[crystals.info["atoms"] <= 4])
    once = packaged.without_duplicates()
    again = packaged.sources["duplicate_of"].dropna()
    assert len(once) == len(packaged) - len(again)
    assert set(again) <= set(packaged.ids)


def test_crystals_without_labels_keep_their_structures(crystals):
    bare = crystals.without_labels()
    assert bare.ids == crystals.ids
    assert bare.targets.isna().all(axis=None)


def test_no_chemical_system_is_in_two_folds(crystals):
    system = crystals.info["chemical_system"].to_numpy()
    folds = crystals.split_by_chemical_system(4, seed=3)
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == list(range(len(crystals)))
    for train, test in folds:
        assert set(system[train]).isdisjoint(system[test])
        assert len(train) + len(test) == len(crystals)
    sizes = [len(test) for _, test in folds]
    largest = pd.Series(system).value_counts().max()
    assert max(sizes) - min(sizes) <= largest


def test_splits_follow_the_seed(crystals):
    def tested(seed):
        return [test.tolist() for _, test in crystals.split_by_chemical_system(3, seed)]

    assert tested(0) == tested(0)
    assert tested(0) != tested(1)
    (_, one), (_, again) = (crystals.train_test_split(seed=1) for _ in range(2))
    assert one.ids == again.ids


def test_train_and_test_share_no_chemical_system(crystals):
    train, test = crystals.train_test_split(0.3, seed=0)
    assert len(train) + len(test) == len(crystals)
    assert len(test) / len(crystals) == pytest.approx(0.3, abs=0.08)
    assert set(train.info["chemical_system"]).isdisjoint(test.info["chemical_system"])


def test_splits_that_cannot_be_are_refused(crystals):
    with pytest.raises(DataError, match="1 folds of"):
        crystals.split_by_chemical_system(1)
    with pytest.raises(DataError, match=r"test_size is 2: .*between 0 and 1"):
        crystals.train_test_split(2)


def test_polymorphs_are_pairs_of_one_formula_and_two_prototypes(crystals):
    pairs = crystals.polymorphs
    formula, prototype = crystals.info["formula"], crystals.info["prototype"]
    assert len(pairs) > 20
    for pair in pairs.itertuples():
        assert formula.iloc[pair.first] == formula.iloc[pair.second] == pair.formula
        assert prototype.iloc[pair.first] != prototype.iloc[pair.second]
    titania = [i for i, name in enumerate(formula) if name == "TiO2"]
    expected = sum(
        prototype.iloc[i] != prototype.iloc[j] for i in titania for j in titania if i < j
    )
    assert (pairs["formula"] == "TiO2").sum() == expected


def test_a_dataset_tells_what_it_holds(crystals):
    assert repr(crystals).startswith(f"CrystalDataset({len(crystals)} crystals of ")
    assert f"gap: {crystals.targets['gap'].count()}" in repr(crystals)
    assert "mp-13" in crystals._repr_html_()


def test_ids_have_to_be_distinct_and_the_same(crystals):
    twice = crystals.text.iloc[[0, 0]]
    with pytest.raises(DataError, match=f"'{crystals.ids[0]}' occurs more than once"):
        CrystalDataset(twice, crystals.targets.iloc[[0, 0]])
    with pytest.raises(DataError, match="the same ids"):
        CrystalDataset(crystals.text, crystals.targets.iloc[1:])


def test_crystals_are_taken_by_id(crystals):
    ids = crystals.ids
    assert crystals[ids[2]].ids == [ids[2]]
    assert crystals[[ids[2], ids[0]]].ids == [ids[2], ids[0]]
    assert crystals[-1].ids == [ids[-1]]
    assert crystals[crystals.info["atoms"] > 2].info["atoms"].min() > 2
    assert [one.ids[0] for one in crystals[:3]] == ids[:3]
    with pytest.raises(DataError, match=rf"no crystal 'mp-x'\..* Ids are as '{ids[0]}'"):
        crystals["mp-x"]
    with pytest.raises(DataError, match=r"mask has shape \(3,\)"):
        crystals[np.ones(3, bool)]
    with pytest.raises(DataError, match="mask is of other crystals"):
        crystals[crystals.info["atoms"].reset_index(drop=True) > 2]


def test_a_target_cannot_be_called_as_what_follows_from_a_structure(crystals):
    with pytest.raises(DataError, match="no target can be called 'atoms'"):
        crystals.with_targets(crystals.targets.assign(atoms=1.0))


def test_two_datasets_are_joined(crystals):
    first, second = crystals.take(slice(0, 8)), crystals.take(slice(8, 20))
    joined = first + second
    pd.testing.assert_frame_equal(joined.table, crystals.take(slice(0, 20)).table)
    assert joined.without_duplicates().ids == crystals.take(slice(0, 20)).without_duplicates().ids
    own = CrystalDataset(second.text, second.targets[["gap"]].rename(columns={"gap": "hardness"}))
    both = first + own
    assert both.targets["hardness"].iloc[:8].isna().all()
    assert both.targets["gap"].iloc[8:].isna().all()
    with pytest.raises(DataError, match=rf"the id '{first.ids[3]}' is in both .*; rename one"):
        first + crystals.take(slice(3, 6))
