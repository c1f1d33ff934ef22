"""The face of crystals: training, answers, designs and files of a small model."""

import warnings
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from pyro_hea import (
    AllowedElements,
    CrystalSpec,
    CrystalSystems,
    CrystalVAE,
    ElementBounds,
    ForbiddenElements,
    MaxAtoms,
    MaxElements,
    RequiredElements,
    SpaceGroups,
    load_crystals,
)
from pyro_hea.design import FeatureBounds
from pyro_hea.design.crystal_result import CrystalDesigns
from pyro_hea.devices import seeded
from pyro_hea.errors import (
    CheckpointError,
    ConstraintError,
    DataError,
    DesignWarning,
    FormulaError,
    NotFittedError,
    SpecError,
    StructureError,
    StructureWarning,
    UnknownTargetError,
    UnseenElementWarning,
)
from pyro_hea.inference import wyckoff_training
from pyro_hea.materials.crystals import (
    CrystalDataset,
    Prototype,
    WyckoffStructure,
    formula_type,
    shortest_distance,
)
from pyro_hea.materials.crystals.sequences import sequence_of
from pyro_hea.posterior.new_prototypes import crystals_of_sequences

NUMBER = {"kind": "continuous", "calibration": None}
SMALL = {
    "targets": {
        "metal": {},
        "gap": NUMBER
        | {
            "positive": False,
            "transform": "identity",
            "prior": {"dist": "Normal", "loc": 2, "scale": 2},
        },
        "acoustic_debye_temperature": NUMBER | {"prior": {"dist": "Normal", "loc": 5, "scale": 1}},
    },
    "undefined_if": {"gap": "metal"},
    "composition": {"dim": 4, "flow": {"layers": 2, "hidden": 8, "bins": 1}},
    "structure": {
        "dim": 8,
        "prior": {"kind": "prototypes", "hidden": [16], "trees": 10, "formulas": 200, "steps": 50},
    },
    "head": {"hidden": [16]},
    "encoder": {"hidden": [16]},
    "decoder": {"hidden": [16]},
    "head_epochs": 30,
    "training": {"members": 2, "epochs": 6, "batch_size": 32, "distillation": None, "mixup": 0.0},
}


@pytest.fixture(scope="module")
def spec() -> CrystalSpec:
    return CrystalSpec.from_mapping(SMALL)


@pytest.fixture(scope="module")
def crystals() -> CrystalDataset:
    """Binary compounds of at most four atoms, half of which have labels of phonons."""
    every = load_crystals()
    text = every.text.str.count(";").to_numpy()
    some = every.take(np.flatnonzero(text <= 1)[::9]).of_size(4)
    return some.take(np.arange(min(len(some), 160)))


@pytest.fixture(scope="module")
def vae(crystals, spec, few_teacher_trees) -> CrystalVAE:
    return CrystalVAE(spec).fit(crystals, seed=0, progress=False)


def test_it_says_what_it_is(vae, spec):
    assert "not fitted" in repr(CrystalVAE(spec))
    assert "2 members" in repr(vae)
    assert "prototypes" in vae._repr_html_()
    with pytest.raises(NotFittedError, match="call fit"):
        CrystalVAE().predict("KCl")


def test_the_same_seed_gives_the_same_model_and_resumes_to_the_same_bits(
    vae, crystals, spec, tmp_path
):
    import pyro_hea.fitting as fitting

    half = tmp_path / "half"
    with pytest.MonkeyPatch.context() as patch:
        epochs = fitting.Trainer.epochs

        def three(trainer):
            for record in epochs(trainer):
                yield record
                if record.epoch == 3:
                    raise KeyboardInterrupt

        patch.setattr(fitting.Trainer, "epochs", three)
        with pytest.raises(KeyboardInterrupt):
            CrystalVAE(spec).fit(crystals, seed=0, progress=False, checkpoint=half)
    resumed = CrystalVAE(spec).fit(crystals, seed=0, progress=False, checkpoint=half, resume=True)
    for name, weight in vae.ensemble.model.state_dict().items():
        np.testing.assert_array_equal(weight, resumed.ensemble.model.state_dict()[name], name)
    with pytest.raises(CheckpointError, match="another seed"):
        CrystalVAE(spec).fit(crystals, seed=1, progress=False, checkpoint=half, resume=True)


def test_predicts_structures_and_formulas(vae, crystals):
    some = crystals.take(np.arange(5))
    table = vae.predict(some)
    assert table.index.tolist() == some.ids
    pd.testing.assert_frame_equal(
        vae.predict(list(some.structures)).reset_index(drop=True),
        table.reset_index(drop=True),
        rtol=0.05,
    )
    assert (table["gap_low"] < table["gap_high"]).all()
    formulas = vae.predict(pd.Series(["KCl", "MgO"]))
    assert formulas.attrs["units"]["metal_low"] == "probability"
    assert formulas.index.tolist() == ["KCl", "MgO"]
    assert formulas["prototype_probability"].between(0, 1).all()
    assert np.isfinite(formulas.select_dtypes("number").to_numpy()).all()


def test_a_formula_is_the_mixture_of_its_structures(vae):
    shown = vae.polymorphs("KCl", 8)
    weight = shown.table["probability"].to_numpy()
    keep = weight > 0.02
    metal = np.average(shown.table["metal"][keep], weights=weight[keep])
    assert vae.predict("KCl")["metal"].item() == pytest.approx(metal, rel=0.05)


@pytest.fixture(scope="module")
def with_positions(crystals, spec, tmp_path_factory, few_teacher_trees) -> CrystalVAE:
    """Interrupted in the last phase of its training, that of the decoder, and resumed."""
    decoder = {"kind": "wyckoff", "hidden": [32], "epochs": 30}
    changed, folder = spec.with_(structure__decoder=decoder), tmp_path_factory.mktemp("positions")
    fit = {"seed": 0, "progress": False, "checkpoint": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            wyckoff_training, "one_cycle", Mock(side_effect=[0.1, 0.2, KeyboardInterrupt])
        )
        with pytest.raises(KeyboardInterrupt):
            CrystalVAE(changed).fit(crystals, **fit)
    return CrystalVAE(changed).fit(crystals, **fit, resume=True)


def test_the_decoder_of_positions_changes_nothing_of_the_rest(vae, with_positions):
    weights = with_positions.ensemble.model.state_dict()
    for name, weight in vae.ensemble.model.state_dict().items():
        np.testing.assert_array_equal(weight, weights[name], name)


def test_the_decoder_of_positions_draws_crystals_and_says_which_prototypes_are_new(
    with_positions, crystals
):
    drawn = with_positions.sample(40, seed=1)
    new = ~drawn.table["prototype"].isin(crystals.info["prototype"])
    assert (drawn.table["new_prototype"] == new).all()
    assert (drawn.table["distance_over_radii"] >= 0.75).all()


@pytest.mark.parametrize(
    ("number", "words"), [(62, ("c", "c")), (129, ("f", "cc")), (55, ("g", "h"))]
)
def test_atoms_of_a_prototype_that_is_in_no_table_are_placed(
    with_positions, crystals, number, words
):
    ensemble, prototype = with_positions.ensemble, Prototype(str(number), words, (), ())
    kind = [formula_type(crystal.counts) == (1, 1) for crystal in crystals.crystals]
    salt = ensemble.inputs(crystals.take(np.flatnonzero(kind)[:1]))
    z_c, z_s = ensemble.encode(salt)
    code = ensemble.model.code(z_c, ensemble.most_probable(salt), salt.formula_type)
    with seeded(0):
        (made,) = crystals_of_sequences(
            ensemble, salt.elements, salt.formula_type, [sequence_of(prototype)], code, z_s, 0.75
        )
    again = WyckoffStructure.from_structure(made.structure())
    assert again.prototype == made.prototype
    assert again.prototype not in ensemble.vocabulary.prototype_index
    assert (again.number, again.formula) == (number, crystals.crystals[np.argmax(kind)].formula)
    assert shortest_distance(made)[1] >= 0.75


def test_where_no_atoms_can_be_placed_the_table_decodes(with_positions, vae, crystals, monkeypatch):
    from pyro_hea.posterior import crystal_decoding

    monkeypatch.setattr(crystal_decoding, "crystals_of_sequences", lambda *of: [None])
    some = crystals.take(np.arange(5))
    made, of_table = (v.reconstruct(some).table for v in (with_positions, vae))
    pd.testing.assert_series_equal(made["prototype"], of_table["prototype"])


def test_the_decoder_of_positions_tells_the_prototypes_of_structures(with_positions, crystals):
    some = crystals.take(np.arange(40))
    made = with_positions.reconstruct(some)
    assert (made.table["prototype"].to_numpy() == some.info["prototype"]).mean() > 0.5
    shown = with_positions.polymorphs("KCl", 5).table
    assert shown["probability"].is_monotonic_decreasing
    assert shown["probability"].sum() < 1 + 1e-5


def test_the_decoder_of_positions_designs_and_is_saved(with_positions, tmp_path):
    designs = with_positions.design({"metal": 1}, [SpaceGroups(221, 225)], n=5)
    assert designs.table["space_group"].isin([221, 225]).all()
    with_positions.save(tmp_path / "model")
    loaded = CrystalVAE.load(tmp_path / "model")
    assert loaded.spec == with_positions.spec
    pd.testing.assert_frame_equal(loaded.sample(5).table, with_positions.sample(5).table)


def test_encodes_to_two_tables_and_decodes_those(vae, crystals):
    some = crystals.take(np.arange(4))
    composition, structure = vae.encode(some)
    assert composition.shape == (4, 4)
    assert structure.shape == (4, 8)
    decoded = vae.decode(composition, structure, some)
    assert decoded.table["prototype"].tolist() == some.info["prototype"].tolist()
    with pytest.raises(DataError, match="has to be"):
        vae.decode(composition.iloc[:, :2], structure, some)
    with pytest.raises(DataError, match="no member 2"):
        vae.encode(some, member=2)


def test_polymorphs_have_the_formula_and_falling_probabilities(vae):
    found = vae.polymorphs("KCl", 4)
    assert set(found.table["formula"]) == {"KCl"}
    assert (np.diff(found.table["probability"]) <= 0).all()
    assert found.table["probability"].sum() <= 1 + 1e-6
    assert len(set(found.crystals)) == 4


def test_a_substitution_changes_elements_alone(vae, crystals):
    row = crystals.formulas.index(next(f for f in crystals.formulas if "O" in f and "Os" not in f))
    oxide = crystals.take([row])
    (metal,) = set(oxide.crystals[0].counts) - {"O"}
    made = vae.substitute(oxide, {metal: "Sr" if metal != "Sr" else "Ca"})
    assert made.table["prototype"].tolist() == oxide.info["prototype"].tolist()
    old, new = oxide.crystals[0], made.crystals[0]
    assert sorted(new.counts.values()) == sorted(old.counts.values())
    assert new.letters["O"] == old.letters["O"]
    with pytest.raises(DataError, match="holds no Xe"):
        vae.substitute(oxide, {"Xe": "Kr"})
    with pytest.raises(DataError, match="one element in two places"):
        vae.substitute(oxide, {metal: "O"})


def test_a_swap_takes_the_structure_of_the_other(vae, crystals):
    kinds = crystals.info["prototype"]
    ab = [i for i, c in enumerate(crystals.crystals) if sorted(c.counts.values()) == [1, 1]]
    first = ab[0]
    second = next(i for i in ab if kinds.iloc[i] != kinds.iloc[first])
    made = vae.swap(crystals.take([first]), crystals.take([second]))
    assert made.table["prototype"].tolist() == [kinds.iloc[second]]
    other = next(i for i, c in enumerate(crystals.crystals) if len(c.counts) == 1)
    with pytest.raises(DataError, match="different stoichiometries"):
        vae.swap(crystals.take([first]), crystals.take([other]))


@pytest.fixture(scope="module")
def designs(vae) -> CrystalDesigns:
    constraints = [
        ForbiddenElements("Pb", "Tl"),
        MaxElements(2),
        MaxAtoms(4),
        CrystalSystems("cubic", "hexagonal"),
    ]
    wishes = {"gap": (0.5, 4), "acoustic_debye_temperature": ("<", 300)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return vae.design(wishes, constraints, n=6)


class TestDesigns:
    def test_constraints_hold_exactly(self, designs):
        assert len(designs) > 0
        for crystal in designs.crystals:
            assert not {"Pb", "Tl"} & set(crystal.counts)
            assert len(crystal.counts) <= 2
            assert crystal.atoms <= 4
            assert crystal.group.crystal_system in {"cubic", "hexagonal"}
        assert (designs.table["distance_over_radii"] >= 0.75).all()

    def test_the_same_seed_gives_the_same_designs(self, vae):
        wish = {"metal": 0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DesignWarning)
            first, second = (vae.design(wish, n=3, seed=4) for _ in range(2))
        pd.testing.assert_frame_equal(first.table, second.table)

    def test_they_are_sorted_and_drawn(self, designs, vae):
        assert (np.diff(designs.table["all_wishes"]) <= 1e-9).all()
        drawn = designs.idata["posterior"]
        assert dict(drawn.sizes)["chain"] == vae.ensemble.members
        assert dict(drawn.sizes)["draw"] == len(designs)
        np.testing.assert_allclose(
            drawn["all_wishes"].mean("chain"), designs.table["all_wishes"], rtol=1e-5
        )

    def test_they_are_new_and_say_what_is_nearest(self, designs, crystals):
        assert designs.table["nearest"].isin(crystals.ids).all()
        assert set(designs.table.columns) >= {"new", "match", "nearest_formula"}

    @pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")  # 2/3 as 0.66666667
    def test_they_write_files_and_pictures(self, designs, vae, tmp_path):
        files = designs.write_cif(tmp_path / "cif")
        assert len(files) == len(designs)
        read = Structure.from_file(files[0])
        assert read.composition.reduced_formula == designs.table["formula"][0]
        pd.testing.assert_frame_equal(vae.predict(designs), vae.predict(designs.crystals))
        with pytest.raises(DataError, match="there is no row 99"):
            designs.plot(99)
        axes = designs.plot(0)
        drawn = {text.get_text() for text in axes.texts}  # legible in grey
        assert drawn == set(designs.crystals[0].counts)
        assert designs.table["formula"][0] in axes.get_title()
        assert len(designs.structures) == len(designs)
        assert "formula" in designs._repr_html_()


class TestBadInput:
    def test_a_wish_for_a_target_never_measured(self, vae):
        with pytest.raises(UnknownTargetError, match=r"no target 'gaps'\. Did you mean 'gap'"):
            vae.design({"gaps": (1, 2)})

    def test_a_wish_that_contradicts_itself(self, vae):
        with pytest.raises(ConstraintError, match="only where 'metal' is 0"):
            vae.design({"gap": (1, 2), "metal": 1})

    def test_a_space_group_that_no_formula_has(self, vae):
        with pytest.raises(ConstraintError, match="no prototype of a training crystal"):
            vae.design({"gap": (1, 2)}, [SpaceGroups(3)])
        with pytest.raises(ConstraintError, match="1 to 230"):
            SpaceGroups(231)
        with pytest.raises(ConstraintError, match="Did you mean 'cubic'"):
            CrystalSystems("cubical")

    def test_constraints_that_clash_or_read_alloys(self, vae):
        with pytest.raises(ConstraintError, match="O"):
            vae.design({"metal": 0}, [RequiredElements("O"), ForbiddenElements("O")])
        with pytest.raises(ConstraintError, match="features of alloys"):
            vae.design({"metal": 0}, [FeatureBounds("valence_electron_concentration", 4, 5)])

    def test_a_structure_among_several_is_named(self, vae, crystals):
        structures = list(crystals.take(np.arange(3)).structures)
        structures[1] = structures[1].copy()
        structures[1].replace(0, {"Na": 0.5, "K": 0.5})
        with pytest.raises(StructureError, match=r"structure 2 of 3: .*partly occupied"):
            vae.predict(structures)
        with pytest.raises(StructureError, match=r"^(?!structure).*partly occupied"):
            vae.predict(structures[1])
        with pytest.raises(DataError, match="no structure here"):
            vae.encode([])

    def test_a_space_group_that_so_many_elements_cannot_have(self, vae):
        number = vae.ensemble.known.crystals[0].number
        wish = [SpaceGroups(number), RequiredElements("Mg", "K", "Cl")]
        with pytest.raises(ConstraintError, match=r"no stoichiometry .*'Mg', 'K', 'Cl'\); there"):
            vae.design({"metal": 0}, wish)

    def test_a_space_group_that_the_formula_cannot_have(self, vae):
        groups = vae.ensemble.known.info["space_group"]
        kinds = [sorted(c.counts.values()) for c in vae.ensemble.known.crystals]
        equal = {g for g, kind in zip(groups, kinds, strict=True) if kind == [1, 1]}
        other = next(g for g in groups if g not in equal)  # of NumPy, as a table gives it
        salt = [
            RequiredElements("Mg", "O"),
            AllowedElements("Mg", "O"),
            ElementBounds("O", 0.5, 0.5),
        ]
        with pytest.raises(ConstraintError, match=r"no prototype .*SpaceGroups.*stoichiom.* 1:1$"):
            vae.design({"metal": 0}, [*salt, SpaceGroups(other)])

    def test_elements_that_no_training_crystal_holds(self, vae):
        with pytest.raises(ConstraintError, match="no training crystal holds He, which"):
            vae.design({"metal": 0}, [RequiredElements("He")])
        with pytest.warns(UnseenElementWarning, match="no training crystal holds He"):
            vae.predict("HeO")

    def test_designs_without_a_wish_and_constraints_that_are_none(self, vae):
        with pytest.raises(ConstraintError, match="needs a wish for at least one target"):
            vae.design({})
        with pytest.raises(ConstraintError, match="not designed for 'max'; wish for a bound"):
            vae.design({"gap": "max"})
        with pytest.raises(ConstraintError, match=r"a sequence: write \[MaxAtoms"):
            vae.design({"metal": 0}, MaxAtoms(4))
        with pytest.raises(ConstraintError, match=r"'Pb' is no constraint; use .*SpaceGroups"):
            vae.design({"metal": 0}, "Pb")
        with pytest.raises(ConstraintError, match=r"n=2\.5 is not allowed"):
            vae.design({"metal": 0}, n=2.5)

    def test_what_is_no_structure(self, vae, crystals):
        for ask in (vae.encode, vae.reconstruct, vae.posterior, vae.explore):
            with pytest.raises(DataError, match=r"'KCl' is no structure: .*polymorphs"):
                ask("KCl")
        with pytest.raises(DataError, match="None is no structure"):
            vae.predict(None)
        with pytest.raises(DataError, match="no structure here"):
            vae.predict(crystals.of_size(0))
        with pytest.raises(DataError, match="mapping of old to new"):
            vae.substitute(crystals.take([0]), "Ba")

    def test_a_stoichiometry_without_latents_is_not_taken_for_another(self, vae, crystals):
        places = np.array([[0, 0, 0], [2, 2, 2], [2, -2, -2], [-2, 2, -2], [-2, -2, 2]]) / 8
        structure = Structure(Lattice.cubic(4), ["Mg", *"OOOO"], places)
        foreign, some = [structure], crystals.take([0])
        for ask in (vae.encode, vae.reconstruct, vae.posterior, vae.explore):
            with pytest.raises(DataError, match=r"of crystal-0 \(MgO4\): .*`predict`"):
                ask(foreign)
        with pytest.raises(DataError, match="no training crystal has the stoichiometry"):
            vae.swap(foreign, some)
        assert len(vae.predict(foreign)) == 1
        both = [*foreign, *some.structures]
        with pytest.warns(StructureWarning, match="crystal-0: .* not on the maps"):
            assert "1 crystals" in repr(vae.explore(both))

    def test_numbers_of_crystals_and_latents_that_are_none(self, vae, crystals):
        for n in (0, -1, 2.5):
            with pytest.raises(ConstraintError, match="at least one structure"):
                vae.polymorphs("KCl", n)
            with pytest.raises(ConstraintError, match="at least one crystal"):
                vae.sample(n)
        with (
            pytest.warns(DesignWarning, match="0 crystals"),
            pytest.raises(ConstraintError, match=r"shortest_distance=9 *; lower"),
        ):
            vae.sample(2, shortest_distance=9)
        with pytest.raises(FormulaError, match="one formula at a time"):
            vae.polymorphs(["KCl", "MgO"])
        z_c, z_s = vae.encode(crystals.take([0]))
        with pytest.raises(DataError, match="no finite numbers"):
            vae.decode(z_c * np.nan, z_s, crystals.take([0]))

    def test_what_it_is_made_of_and_trained_on(self, vae, crystals):
        with pytest.raises(SpecError, match="'crystals' is no CrystalSpec"):
            CrystalVAE("crystals")
        with pytest.raises(DataError, match=r"trained on a CrystalDataset, .* not on list"):
            CrystalVAE(vae.spec).fit(list(crystals.structures))

    def test_formulas_that_are_none(self, vae):
        with pytest.raises(FormulaError, match="no element 'Xy'"):
            vae.predict("Xy2")
        with pytest.raises(FormulaError, match="no formula"):
            vae.predict("(Na")
        with pytest.raises(FormulaError, match="whole numbers"):
            vae.predict("Na0.5Cl0.5")
        with pytest.raises(DataError, match="stoichiometry 3:7"):
            vae.predict("K3Cl7")

    def test_targets_that_cannot_be_learnt(self, crystals, spec):
        with pytest.raises(UnknownTargetError, match="no target 'gap'"):
            CrystalVAE(spec).fit(
                CrystalDataset(crystals.text, crystals.targets.drop(columns="gap"))
            )
        blank = crystals.targets.assign(gap=np.nan)
        with pytest.raises(DataError, match="different labels of 'gap'"):
            CrystalVAE(spec).fit(CrystalDataset(crystals.text, blank))
        with pytest.raises(DataError, match="too few"):
            CrystalVAE(spec).fit(crystals.take(np.arange(3)))


def test_a_number_without_a_prior_gets_one_of_its_labels(crystals, tmp_path):
    quick = {"training": {"members": 1, "epochs": 1, "batch_size": 32}, "head_epochs": 1}
    quick["structure"] = {"prior": {"trees": 5, "steps": 5}}
    own = CrystalSpec(targets={"bulk_modulus": {"kind": "continuous", "unit": "GPa"}}, **quick)
    vae = CrystalVAE(own).fit(crystals, progress=False)
    labels = np.log(crystals.targets["bulk_modulus"].dropna())
    prior = vae.spec.target("bulk_modulus").prior.distribution()
    assert float(prior.loc) == pytest.approx(labels.mean(), abs=0.01)
    vae.save(tmp_path)
    assert CrystalVAE.load(tmp_path).spec == vae.spec
    assert vae.predict("MgO").attrs["units"]["bulk_modulus"] == "GPa"


def test_draws_of_the_model_keep_what_is_asked_for(vae, monkeypatch):
    from pyro_hea.posterior import crystal_decoding

    every = vae.sample(12, shortest_distance=0, seed=3)
    kept = vae.sample(12, seed=3)
    assert len(every) == len(kept) == 12
    assert (kept.table["distance_over_radii"] >= 0.75).all()
    fine = every.table["distance_over_radii"] >= 0.75
    assert set(every.table["formula"][fine]) <= set(kept.table["formula"])
    monkeypatch.setattr(crystal_decoding, "is_neutral", lambda counts: min(counts) < "M")
    assert not all(min(crystal.counts) < "M" for crystal in every.crystals)
    neutral = vae.sample(12, neutral=True, seed=3).crystals
    assert all(min(crystal.counts) < "M" for crystal in neutral)
    monkeypatch.setattr(crystal_decoding, "is_neutral", lambda counts: False)
    with pytest.warns(DesignWarning, match="0 crystals were drawn, not 2: .* or charges"):
        crystal_decoding.draw_crystals(vae.ensemble, 2, neutral=True)


def test_draws_of_the_posterior_have_names(vae, crystals):
    some = crystals.take(np.arange(3))
    idata = vae.posterior(some, draws=4, seed=1)
    drawn = idata["posterior"]
    assert drawn["z_composition"].dims == ("chain", "draw", "crystal", "z_composition_dim")
    assert dict(drawn.sizes)["draw"] == 4
    known = some.targets["gap"].to_numpy()
    known = np.where(known > 0, known, np.nan)
    rows = ~np.isnan(known)
    np.testing.assert_allclose(drawn["gap"][0, 0].to_numpy()[rows], known[rows], rtol=1e-5)


def test_a_saved_model_answers_the_same(vae, crystals, tmp_path):
    vae.save(tmp_path)
    loaded = CrystalVAE.load(tmp_path)
    some = crystals.take(np.arange(5))
    assert loaded.spec == vae.spec
    pd.testing.assert_frame_equal(loaded.predict(some), vae.predict(some))
    pd.testing.assert_frame_equal(loaded.polymorphs("KCl", 2).table, vae.polymorphs("KCl", 2).table)
    (file,) = tmp_path.glob("crystals*.safetensors")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="truncated"):
        CrystalVAE.load(tmp_path)
