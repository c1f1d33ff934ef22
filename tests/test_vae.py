import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from small import ELEMENTS, few_labels, quaternaries

from pyro_hea import AlloyDataset, DisentangledVAE, ModelSpec, fitting, saved_training
from pyro_hea.errors import (
    CheckpointError,
    DataError,
    FewLabelsWarning,
    LeakWarning,
    MissingFileError,
    NotFittedError,
    OutputError,
    ResumeWarning,
    UnknownElementError,
    UnknownTargetError,
    UnseenElementWarning,
)
from pyro_hea.inference import checkpoint
from pyro_hea.inference import trainer as inference
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.materials.alloys.dataset import to_batch
from pyro_hea.materials.alloys.features import FeatureMap
from pyro_hea.posterior.marginals import marginals

pytestmark = few_labels


def spec_of(targets=("single_phase",), flow: bool = True, **training) -> ModelSpec:
    settings = {
        "distillation": {"trees": 20, "synthetic_alloys": 1000, "steps": 60},
        "members": 2,
        "epochs": 7,
        "batch_size": 12,
        "learning_rate": 0.003,
    }
    return ModelSpec.from_mapping(
        {
            "targets": {name: {} for name in targets},
            "latent": {"dim": 2, "flow": {"layers": 2, "hidden": 4} if flow else None},
            "features": {"bins": 3},
            "head": {"hidden": [8], "dropout": 0.1},
            "encoder": {"hidden": [8]},
            "decoder": {"hidden": [8]},
            "training": settings | training,
        }
    )


def alloys_of(count: int, seed: int, labelled: float = 0.7, targets=("single_phase",)):
    """Distinct alloys of six elements; the aluminium decides the label."""
    rng = np.random.default_rng(seed)
    fractions = fraction_table(quaternaries(count, rng))
    fractions = fractions[~fractions.round(5).duplicated()]
    reports = [
        pd.DataFrame(
            {
                "formula": fractions.index,
                "target": target,
                "value": (fractions["Al"] < 0.1 + 0.1 * number).astype(float).to_numpy(),
            }
        )[rng.random(len(fractions)) < labelled]
        for number, target in enumerate(targets)
    ]
    return AlloyDataset.from_reports(fractions, pd.concat(reports), list(targets))


def apart(dataset: AlloyDataset) -> AlloyDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakWarning)
        return dataset.without(DATA)


DATA = alloys_of(24, seed=1)
VALIDATION = apart(alloys_of(16, seed=2, labelled=1.1))
FORMULAS = ["CoCrFeNi", "Al0.5CoCrFeNi", "(CoCrFeNi)23.75Al5"]


def fitted(spec=None, seed: int = 0, data=DATA, **options) -> DisentangledVAE:
    return DisentangledVAE(spec or spec_of()).fit(data, seed=seed, progress=False, **options)


@pytest.fixture(scope="session")
def model() -> DisentangledVAE:
    return fitted(validation=VALIDATION)


def weights(model: DisentangledVAE) -> dict[str, torch.Tensor]:
    return {n: t.detach().clone() for n, t in model.ensemble.model.state_dict().items()}


def same_weights(a: DisentangledVAE, b: DisentangledVAE) -> bool:
    a, b = weights(a), weights(b)
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


# Predicting.


def check_prediction(table: pd.DataFrame, formulas: list[str], targets=("single_phase",)) -> None:
    ends = ("", "_sd", "_low", "_high", "_epistemic", "_aleatoric")
    assert list(table.columns) == [f"{t}{end}" for t in targets for end in ends]
    assert list(table.index) == formulas
    assert table.index.name == "formula"
    assert np.isfinite(table).all(axis=None)
    for t in targets:
        assert (table[f"{t}_sd"] >= 0).all()
        assert (table[f"{t}_low"] >= 0).all()
        assert (table[f"{t}_low"] <= table[t]).all()
        assert (table[t] <= table[f"{t}_high"]).all()
        assert (table[f"{t}_high"] <= 1).all()


def test_a_prediction_has_the_columns_and_bounds_of_the_contract(model):
    check_prediction(model.predict(FORMULAS), FORMULAS)


def test_a_prediction_of_a_dataset_is_indexed_by_its_formulas(model):
    check_prediction(model.predict(DATA), DATA.formulas)


def test_alloys_given_in_any_way_have_the_same_predictions(model):
    from pymatgen.core import Composition

    expected = model.predict(FORMULAS).to_numpy()
    table = fraction_table(FORMULAS)
    dicts = [dict(row[row > 0]) for _, row in table.iterrows()]
    no_reports = pd.DataFrame({"formula": [], "target": [], "value": []})
    ways = {
        "dicts": dicts,
        "compositions": [Composition(d) for d in dicts],
        "fraction table": table,
        "percent table": 100 * table,
        "dataset": AlloyDataset(
            table,
            pd.DataFrame({"single_phase": np.nan}, table.index),
            no_reports,
            pd.Series(np.nan, table.index),
        ),
    }
    for way, alloys in ways.items():
        np.testing.assert_allclose(
            model.predict(alloys).to_numpy(), expected, atol=1e-6, err_msg=way
        )


def test_labels_of_a_dataset_have_no_influence_on_its_predictions(model):
    pd.testing.assert_frame_equal(model.predict(DATA), model.predict(DATA.without_labels()))


def test_a_prediction_of_one_alloy_is_that_among_many(model):
    many = model.predict(FORMULAS)
    for formula in FORMULAS:
        np.testing.assert_allclose(model.predict([formula]), many.loc[[formula]], atol=1e-6)


def test_predicting_touches_no_random_state_and_repeats_itself(model):
    before = torch.get_rng_state()
    first = model.predict(FORMULAS)
    assert torch.equal(torch.get_rng_state(), before)
    pd.testing.assert_frame_equal(first, model.predict(FORMULAS))


def test_an_unseen_element_is_named_and_widens_the_answer(model):
    known = model.predict(["CoCrFeNi"])
    formulas = ["CoCrFeNiTa0.2", "CoCrFeNiTa", "CoCrFeNiTa4"]
    with pytest.warns(UnseenElementWarning, match="no training alloy holds Ta: ") as caught:
        table = model.predict(formulas)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    check_prediction(table, formulas)
    sd = [known["single_phase_sd"].iloc[0], *table["single_phase_sd"]]
    assert sd == sorted(sd)
    assert sd[0] < sd[1]
    width = [
        float(t["single_phase_high"].iloc[0] - t["single_phase_low"].iloc[0])
        for t in (known, table)
    ]
    assert width[0] < width[1]


def test_the_answer_of_an_unseen_element_is_the_heads_with_a_share_of_the_prior(model):
    with pytest.warns(UnseenElementWarning):
        table = model.predict(["HfTa"])
    ensemble, fractions = model.ensemble, fraction_table(["HfTa"])
    columns = ensemble.spec.features.columns
    features = FeatureMap(columns, ensemble.tables, list(fractions.columns))
    batch = to_batch(fractions, features, device=ensemble.device)
    heads = marginals(ensemble.model, batch)["single_phase"].probabilities()[..., 1].mean()
    known = ensemble.feature_map(torch.tensor(ensemble.known.to_numpy(float))).numpy()
    ours = features(torch.tensor(fractions.to_numpy(float))).numpy()
    varies = known.std(0) > 0
    apart = (ours - known)[:, varies] / known[:, varies].std(0)
    far = np.sqrt(np.square(apart).sum(1).min())
    share = 0.05 * far / (1 + far)
    expected = (1 - share) * float(heads) + share * 0.5
    assert table["single_phase"].iloc[0] == pytest.approx(expected, abs=1e-5)


def test_an_unseen_element_beside_leaves_known_alloys_alone(model):
    with pytest.warns(UnseenElementWarning):
        both = model.predict(["CoCrFeNi", "CoTa"])
    np.testing.assert_allclose(both.iloc[:1], model.predict(["CoCrFeNi"]), atol=1e-6)


def test_an_element_column_without_an_atom_warns_nothing(model):
    table = fraction_table(FORMULAS).assign(Ta=0.0, Hf=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = model.predict(table)
    np.testing.assert_allclose(got, model.predict(FORMULAS), atol=1e-6)


def test_the_training_alloys_are_predicted_without_a_warning():
    data = DATA.take(np.flatnonzero((DATA.fractions["Cu"] == 0).to_numpy()))
    assert "Cu" in data.fractions
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", FewLabelsWarning)
        one = fitted(data=data)
        one.predict(data)
    with pytest.warns(UnseenElementWarning, match="no training alloy holds Cu: "):
        one.predict(["CoCu"])
    assert "Cu" not in one.ensemble.elements


# Latents.


def test_encode_decode_and_reconstruct_have_the_shapes_of_the_contract(model):
    z = model.encode(DATA)
    assert list(z.columns) == ["z0", "z1"]
    assert list(z.index) == DATA.formulas
    x = model.decode(z, {"single_phase": 1})
    assert list(x.columns) == [*ELEMENTS]
    assert len(x) == len(DATA)
    r = model.reconstruct(DATA)
    assert list(r.columns) == [*ELEMENTS]
    assert list(r.index) == DATA.formulas
    for fractions in (x, r):
        assert (fractions >= 0).all(axis=None)
        np.testing.assert_allclose(fractions.sum(axis=1), 1, atol=1e-5)


def test_reconstruct_is_to_decode_what_was_encoded(model):
    labelled = DATA.labels["single_phase"].notna().to_numpy()
    for member in (0, 1):
        z = model.encode(DATA, member).to_numpy()
        r = model.reconstruct(DATA, member).to_numpy()
        for label in (0, 1):
            rows = labelled & (DATA.labels["single_phase"] == label).to_numpy()
            assert rows.any()
            x = model.decode(z[rows], {"single_phase": label}, member)
            np.testing.assert_allclose(x, r[rows], atol=1e-6)


def test_members_have_latents_of_their_own(model):
    assert not np.allclose(model.encode(DATA, 0), model.encode(DATA, 1))
    z = np.zeros((1, 2))
    a, b = (model.decode(z, {"single_phase": 1}, m) for m in (0, 1))
    assert not np.allclose(a, b)


def test_decode_takes_a_table_an_array_or_one_point(model):
    z = np.array([[0.5, -1.0]])
    expected = model.decode(z, {"single_phase": 0})
    for other in (pd.DataFrame(z, columns=["z0", "z1"]), z[0], [0.5, -1.0]):
        pd.testing.assert_frame_equal(model.decode(other, {"single_phase": 0}), expected)
    assert not np.allclose(model.decode(z, {"single_phase": 1}), expected)


@pytest.mark.parametrize("method", ["encode", "reconstruct", "posterior"])
def test_an_element_outside_training_is_refused_where_a_latent_is_needed(model, method):
    with pytest.raises(UnknownElementError, match=r"row 2 \('CoTa'\) holds Ta.*Al, Co, Cr, Cu"):
        getattr(model, method)(["CoCr", "CoTa"])


@pytest.mark.parametrize("member", [-1, 2])
def test_a_member_that_is_not_there_is_refused(model, member):
    message = f"there is no member {member}; this model has 0 to 1"
    for call in (
        lambda: model.encode(DATA, member),
        lambda: model.reconstruct(DATA, member),
        lambda: model.decode(np.zeros((1, 2)), {"single_phase": 1}, member),
    ):
        with pytest.raises(DataError, match=message):
            call()


@pytest.mark.parametrize("dim", [1, 3])
def test_a_latent_of_another_dimension_is_refused(model, dim):
    with pytest.raises(DataError, match=f"z has {dim} coordinates; this model has 2"):
        model.decode(np.zeros((4, dim)), {"single_phase": 1})


def test_decoding_needs_each_target_and_no_other(model):
    with pytest.raises(DataError, match=r"needs a value of each target; missing: \['single_phase"):
        model.decode(np.zeros((1, 2)), {})
    with pytest.raises(UnknownTargetError, match=r"'singlephase'.*Did you mean 'single_phase'"):
        model.decode(np.zeros((1, 2)), {"singlephase": 1})


def test_what_needs_training_says_so():
    untrained = DisentangledVAE(spec_of())
    for call in (
        lambda: untrained.predict(FORMULAS),
        lambda: untrained.encode(FORMULAS),
        lambda: untrained.decode(np.zeros((1, 2)), {"single_phase": 1}),
        lambda: untrained.reconstruct(FORMULAS),
        lambda: untrained.posterior(FORMULAS),
        lambda: untrained.design({"single_phase": 1}),
        lambda: untrained.save("nowhere"),
        lambda: untrained.ensemble,
    ):
        with pytest.raises(NotFittedError, match="not trained yet: call fit"):
            call()


def test_the_posterior_has_the_members_as_chains(model):
    idata = model.posterior(DATA, draws=3, seed=1)
    assert dict(idata.posterior["z"].sizes) == {
        "chain": 2,
        "draw": 3,
        "alloy": len(DATA),
        "latent": 2,
    }


def test_two_targets_each_with_labels_of_its_own():
    targets = ("single_phase", "ductile")
    data = alloys_of(90, seed=3, targets=targets)
    two = fitted(spec_of(targets), data=data)
    check_prediction(two.predict(FORMULAS), FORMULAS, targets)
    assert two.encode(data).shape == (len(data), 2)
    idata = two.posterior(data, draws=4)
    for name in targets:
        known = data.labels[name].notna().to_numpy()
        drawn = idata.posterior[name].to_numpy()[..., known]
        assert (drawn == data.labels[name].to_numpy()[known]).all()
    with pytest.raises(DataError, match=r"missing: .*ductile"):
        two.decode(np.zeros((1, 2)), {"single_phase": 1})


def test_a_model_without_flow_and_without_held_out_alloys_trains():
    check_prediction(fitted(spec_of(flow=False)).predict(FORMULAS), FORMULAS)


# Fitting.


def test_fit_returns_the_model_itself_and_knows_its_alloys():
    one = DisentangledVAE(spec_of())
    assert one.fit(DATA, seed=0, progress=False) is one
    assert list(one.ensemble.known.index) == DATA.formulas
    assert one.ensemble.elements == ELEMENTS


def test_fitting_is_the_same_for_a_seed_and_leaves_the_global_state(numpy_state):
    torch.manual_seed(5)
    before, of_numpy = torch.get_rng_state(), numpy_state()
    first = fitted()
    assert torch.equal(torch.get_rng_state(), before)
    assert numpy_state() == of_numpy
    torch.manual_seed(6)
    assert same_weights(first, fitted())
    assert not same_weights(first, fitted(seed=1))


def test_two_models_in_one_process_never_touch_each_other():
    first = fitted()
    before, answers = weights(first), first.predict(FORMULAS)
    second = fitted(seed=1)
    fitted(spec_of(flow=False))
    assert all(torch.equal(t, before[n]) for n, t in weights(first).items())
    pd.testing.assert_frame_equal(first.predict(FORMULAS), answers)
    assert not np.allclose(second.predict(FORMULAS), answers)
    own, other = ({p.data_ptr() for p in m.ensemble.model.parameters()} for m in (first, second))
    assert not own & other


def test_fitting_again_starts_anew():
    twice = fitted(seed=1)
    twice.fit(DATA, seed=0, progress=False)
    once = fitted()
    assert same_weights(twice, once)
    pd.testing.assert_frame_equal(twice.history, once.history)


def test_unlabelled_alloys_take_part():
    labelled = DATA.take(DATA.labels["single_phase"].notna().to_numpy())
    assert len(labelled) < len(DATA)
    assert not same_weights(fitted(), fitted(data=labelled))


def test_a_table_without_labels_is_refused():
    with pytest.raises(DataError, match="no alloy is labelled with 'single_phase'"):
        fitted(data=DATA.without_labels())
    with pytest.raises(
        DataError, match=r"no alloy is labelled with 'ductile'\. Targets in the data: single_phase"
    ):
        fitted(spec_of(("single_phase", "ductile")))


@pytest.mark.parametrize("label", [0, 1])
def test_labels_of_one_class_are_refused(label):
    rows = (DATA.labels["single_phase"] == label) | DATA.labels["single_phase"].isna()
    with pytest.raises(DataError, match=f"every label of 'single_phase' is {label}: one class"):
        fitted(data=DATA.take(rows.to_numpy()))


def test_training_alloys_that_are_validation_alloys_are_left_out_and_counted():
    validation = VALIDATION + DATA.take(slice(0, 3))
    with pytest.warns(LeakWarning, match="3 alloys are also among") as caught:
        one = fitted(validation=validation)
    assert len(caught) == 1
    assert list(one.ensemble.known.index) == DATA.formulas[3:]


def test_no_alloy_left_to_train_on_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakWarning)
        with pytest.raises(DataError):
            fitted(validation=DATA)


def test_labels_that_all_leak_are_refused():
    leaking = DATA.take(DATA.labels["single_phase"].notna().to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakWarning)
        with pytest.raises(DataError, match="single_phase"):
            fitted(validation=leaking)


def test_a_validation_part_without_labels_decides_by_the_bound_or_is_refused():
    try:
        one = fitted(validation=VALIDATION.without_labels())
    except DataError:
        return
    assert one.history["best"].any()


def test_a_validation_part_without_labels_of_one_target_still_decides():
    targets = ("single_phase", "ductile")
    data = alloys_of(24, seed=3, targets=targets)
    validation = alloys_of(12, seed=4, labelled=1.1, targets=targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakWarning)
        validation = validation.without(data)
    validation = AlloyDataset(
        validation.fractions,
        validation.labels.assign(ductile=np.nan),
        validation.reports,
        validation.parts,
    )
    try:
        one = fitted(spec_of(targets), data=data, validation=validation)
    except DataError:
        return
    assert one.history["best"].any()


def test_a_tenth_of_many_labelled_alloys_is_held_out_and_the_unlabelled_stay():
    many = alloys_of(160, seed=5, labelled=0.8)
    labelled = int(many.labels["single_phase"].notna().sum())
    assert labelled >= 100
    one = fitted(spec_of(epochs=5), data=many)
    held_out = set(many.formulas) - set(one.ensemble.known.index)
    assert len(held_out) == labelled // 10
    assert many.labels.loc[sorted(held_out), "single_phase"].notna().all()
    assert one.history["validation_log_loss"].notna().any()
    few = fitted()
    assert len(few.ensemble.known) == len(DATA)
    assert few.history["validation_log_loss"].isna().all()


def test_validation_alloys_of_other_elements_say_nothing():
    no_copper = DATA.take((DATA.fractions["Cu"] == 0).to_numpy())
    one = fitted(data=no_copper, validation=VALIDATION)
    inside = VALIDATION.take((VALIDATION.fractions["Cu"] == 0).to_numpy())
    assert 0 < len(inside) < len(VALIDATION)
    other = fitted(data=no_copper, validation=inside)
    assert same_weights(one, other)


def test_an_impossible_device_is_refused():
    with pytest.raises(DataError, match="device 'abacus' cannot be used"):
        fitted(device="abacus")


def test_progress_can_be_shown(capsys):
    DisentangledVAE(spec_of(epochs=5)).fit(DATA, validation=VALIDATION, progress=True)
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "5/5" in shown
    fitted()
    assert capsys.readouterr() == ("", "")


# History.

COLUMNS = ["epoch", "member", "loss", "validation_elbo_loss", "validation_log_loss", "best"]


def test_the_history_has_a_row_for_each_epoch_and_member(model):
    history = model.history
    assert list(history.columns) == COLUMNS
    assert history["epoch"].tolist() == [e for e in range(1, 8) for _ in range(2)]
    assert history["member"].tolist() == [0, 1] * 7
    assert np.isfinite(history["loss"]).all()
    evaluated = history["epoch"].isin([5, 7])
    for name in ("validation_elbo_loss", "validation_log_loss"):
        assert (history[name].notna() == evaluated).all()
    assert history["best"].dtype == bool


def test_the_best_epoch_of_each_member_is_that_of_its_least_validation_loss(model):
    history = model.history.dropna()
    losses = history["validation_elbo_loss"] + history["validation_log_loss"]
    least = losses.groupby(history["member"]).idxmin()
    assert model.history.index[model.history["best"]].tolist() == sorted(least)


def test_a_model_that_has_not_trained_has_an_empty_history_of_the_same_columns(model, tmp_path):
    model.save(tmp_path)
    for one in (DisentangledVAE(spec_of()), DisentangledVAE.load(tmp_path)):
        assert len(one.history) == 0
        assert list(one.history.columns) == COLUMNS


# Showing.


def test_the_repr_says_what_the_model_is(model):
    assert repr(DisentangledVAE(spec_of())) == "DisentangledVAE(single_phase; not fitted)"
    count = len(model.ensemble.known)
    expected = f"DisentangledVAE(single_phase; 2 members, {count} alloys of 6 elements)"
    assert repr(model) == expected
    assert expected in model._repr_html_()


def test_the_html_shows_the_spec_and_escapes_it(model):
    html = model._repr_html_()
    assert "training.members" in html
    assert html.count("<") == html.count(">")


# Files.


@pytest.mark.parametrize("flow", [True, False])
def test_a_loaded_model_answers_to_the_last_bit(tmp_path, flow):
    one = fitted(spec_of(flow=flow))
    one.save(tmp_path / "model")
    back = DisentangledVAE.load(tmp_path / "model")
    assert back.spec == one.spec
    assert same_weights(one, back)
    pd.testing.assert_frame_equal(back.predict(FORMULAS), one.predict(FORMULAS), check_exact=True)
    pd.testing.assert_frame_equal(back.encode(DATA, 1), one.encode(DATA, 1), check_exact=True)
    pd.testing.assert_frame_equal(back.reconstruct(DATA), one.reconstruct(DATA), check_exact=True)
    pd.testing.assert_frame_equal(
        back.ensemble.known, one.ensemble.known, check_names=False, check_exact=True
    )
    draws = [m.posterior(DATA, draws=3).posterior for m in (one, back)]
    assert draws[0].equals(draws[1])
    assert back.ensemble.elements == one.ensemble.elements
    assert back.ensemble.seed == 0


def test_a_loaded_model_saves_the_same_bytes(model, tmp_path):
    model.save(tmp_path / "a")
    model.save(tmp_path / "b")
    DisentangledVAE.load(tmp_path / "a").save(tmp_path / "c")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 4
    for name in names:
        data = (tmp_path / "a" / name).read_bytes()
        assert (tmp_path / "b" / name).read_bytes() == data
        assert (tmp_path / "c" / name).read_bytes() == data


def test_the_manifest_says_what_the_tensors_are(model, tmp_path):
    from importlib.metadata import version

    model.save(tmp_path)
    manifest = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    tensors = f"model-{manifest['tensors_sha256'][:16]}.safetensors"
    cards = {"model_card.json", "model_card.md"}
    assert {path.name for path in tmp_path.iterdir()} == {tensors, "model.json", *cards}
    assert manifest["schema_version"] == checkpoint.SCHEMA_VERSION
    assert ModelSpec.from_mapping(manifest["spec"]) == model.spec
    assert manifest["elements"] == [*ELEMENTS]
    assert manifest["classes"] == {"single_phase": ["0", "1"]}
    assert manifest["features"] == list(model.ensemble.feature_map.names)
    assert manifest["seed"] == 0
    assert manifest["tables_sha256"] == checkpoint.hash_of_tables(model.ensemble.tables)
    assert manifest["known"] == list(model.ensemble.known.index)
    assert manifest["versions"]["torch"] == version("torch")
    assert manifest["versions"]["pyro-hea"] == version("pyro-hea")


def test_other_tables_are_refused(model, tmp_path, monkeypatch):
    model.save(tmp_path)
    monkeypatch.setattr(checkpoint, "hash_of_tables", lambda tables: "another")
    with pytest.raises(CheckpointError, match="trained with other element or pair tables"):
        DisentangledVAE.load(tmp_path)


def tamper(folder, **changes) -> None:
    body = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    body |= changes
    body = {key: value for key, value in body.items() if value is not None}
    del body["manifest_sha256"]
    body["manifest_sha256"] = checkpoint.hash_of_json(body)
    (folder / "model.json").write_text(json.dumps(body), encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": None},
        {"elements": None},
        {"known": None},
        {"known": ["CoCr"]},
        {"elements": ["Al", "Co"]},
        {"seed": None},
        {"tables_sha256": None},
        {"spec": {"latent": {"dim": 4}}},
        {"spec": {"latnt": {}}},
    ],
    ids=str,
)
def test_a_manifest_that_does_not_fit_the_tensors_is_refused(model, tmp_path, changes):
    model.save(tmp_path)
    tamper(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path))):
        DisentangledVAE.load(tmp_path)


def test_features_of_another_order_are_refused(model, tmp_path):
    model.save(tmp_path)
    tamper(tmp_path, features=list(model.ensemble.feature_map.names)[::-1])
    with pytest.raises(CheckpointError):
        DisentangledVAE.load(tmp_path)


def test_no_model_there_is_said(tmp_path):
    with pytest.raises(MissingFileError, match="is no saved model"):
        DisentangledVAE.load(tmp_path)


def test_a_place_that_cannot_be_written_is_named(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write into .*file"):
        model.save(tmp_path / "file" / "model")


# Interrupts.


def interrupt(monkeypatch, where: str, call: int) -> None:
    """Raise a KeyboardInterrupt at the given call of a function."""
    calls = []

    def counted(function):
        def wrapped(*args, **kwargs):
            calls.append(1)
            if len(calls) == call:
                raise KeyboardInterrupt
            return function(*args, **kwargs)

        return wrapped

    if where == "progress":

        class Bar(saved_training.tqdm):
            update = counted(saved_training.tqdm.update)

        monkeypatch.setattr(saved_training, "tqdm", Bar)
    else:
        monkeypatch.setattr(inference, where, counted(getattr(inference, where)))


@pytest.mark.parametrize(
    ("where", "call"),
    [
        pytest.param("elbo_loss", 1, id="before the first step"),
        pytest.param("progress", 3, id="between epochs"),
        pytest.param("progress", 5, id="after an evaluation"),
        pytest.param("elbo_loss", 6, id="amid an epoch"),
        pytest.param("clip_member_gradients", 8, id="amid a step"),
        pytest.param("label_loss", 1, id="amid an evaluation"),
        pytest.param("label_loss", 2, id="amid the last evaluation"),
    ],
)
def test_an_interrupted_fit_is_saved_and_resumes_to_the_same_bits(
    tmp_path, monkeypatch, where, call
):
    whole = fitted(validation=VALIDATION)
    one = DisentangledVAE(spec_of())
    with monkeypatch.context() as patch:
        interrupt(patch, where, call)
        with pytest.raises(KeyboardInterrupt) as interrupted:
            one.fit(DATA, validation=VALIDATION, seed=0, progress=False, checkpoint=tmp_path / "c")
    (note,) = interrupted.value.__notes__
    assert f"fit(..., checkpoint='{tmp_path / 'c'}', resume=True)" in note
    assert (tmp_path / "c" / "training.json").is_file()
    check_prediction(one.predict(FORMULAS), FORMULAS)  # the best so far
    resumed = fitted(validation=VALIDATION, checkpoint=tmp_path / "c", resume=True)
    pd.testing.assert_frame_equal(resumed.history, whole.history, check_exact=True)
    assert same_weights(resumed, whole)


def test_the_state_is_saved_as_training_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting.TrainingRun, "save_every", 2)
    saved = []
    write = checkpoint.write

    def counted(folder, name, tensors, manifest):
        saved.append(int(tensors["epoch"]))
        write(folder, name, tensors, manifest)

    monkeypatch.setattr(checkpoint, "write", counted)
    whole = fitted(checkpoint=tmp_path)
    assert saved[:5] == [0, 0, 2, 4, 6]
    resumed = fitted(checkpoint=tmp_path, resume=True)
    assert same_weights(resumed, whole)


def test_an_interrupt_without_a_folder_saves_nothing_and_leaves_the_best(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = DisentangledVAE(spec_of())
    interrupt(monkeypatch, "progress", 6)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        one.fit(DATA, validation=VALIDATION, progress=False)
    (note,) = interrupted.value.__notes__
    assert "the model holds its best weights so far; it cannot be resumed" in note
    assert list(tmp_path.iterdir()) == []
    check_prediction(one.predict(FORMULAS), FORMULAS)
    assert one.history["epoch"].max() == 6


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, "progress", 3)
        with pytest.raises(KeyboardInterrupt):
            fitted(validation=VALIDATION, checkpoint=tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"spec": spec_of(learning_rate=0.1)}, "spec"),
        ({"seed": 1}, "seed"),
        ({"data": DATA.take(slice(1, None))}, "data"),
        (
            {"data": AlloyDataset(DATA.fractions, 1 - DATA.labels, DATA.reports, DATA.parts)},
            "data",
        ),
        ({"data": DATA.take(np.arange(len(DATA))[::-1])}, "data"),
        ({"validation": None}, "data"),
    ],
    ids=["spec", "seed", "fewer alloys", "other labels", "another order", "no validation"],
)
def test_resuming_with_something_else_is_refused(interrupted, changed, what):
    options = {"validation": VALIDATION} | changed
    with pytest.raises(CheckpointError, match=f"started with another {what}"):
        fitted(checkpoint=interrupted, resume=True, **options)


def test_resuming_needs_a_folder():
    with pytest.raises(DataError, match="resume needs the folder"):
        fitted(resume=True)


def test_where_nothing_was_saved_a_new_training_starts_and_says_so(tmp_path):
    with pytest.warns(ResumeWarning, match=f"no training to resume in '{tmp_path}'; a new one"):
        resumed = fitted(checkpoint=tmp_path, resume=True)
    assert same_weights(resumed, fitted())


def test_a_refused_resume_leaves_a_trained_model_as_it_was(interrupted):
    one = fitted()
    before = one.predict(FORMULAS)
    with pytest.raises(CheckpointError):
        one.fit(DATA, seed=5, progress=False, checkpoint=interrupted, resume=True)
    pd.testing.assert_frame_equal(one.predict(FORMULAS), before)


def test_an_unwritable_checkpoint_folder_is_said_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    steps = []
    elbo_loss = inference.elbo_loss
    monkeypatch.setattr(inference, "elbo_loss", lambda *a: steps.append(1) or elbo_loss(*a))
    with pytest.raises(OutputError, match="cannot write into"):
        fitted(checkpoint=tmp_path / "file")
    assert not steps


def test_an_interrupted_distillation_says_that_nothing_has_changed(monkeypatch):
    one = DisentangledVAE(spec_of())

    def interrupted_distillation(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "distil_heads", interrupted_distillation)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        one.fit(DATA, validation=VALIDATION, progress=False)
    assert interrupted.value.__notes__ == [
        "Interrupted before the first epoch: the model is as it was before"
    ]
    with pytest.raises(NotFittedError):
        one.predict(FORMULAS)


# What is asked wrongly, and tables.


def test_a_data_frame_is_read_by_the_spec(model):
    table = DATA.fractions.reset_index(drop=True).assign(
        single_phase=DATA.labels["single_phase"].to_numpy()
    )
    own = fitted(data=table)
    assert len(own.ensemble.known) == len(DATA)
    assert own.ensemble.elements == model.ensemble.elements


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda model: fitted(seed=-1), "seed=-1 is not allowed; it is at least 0"),
        (lambda model: model.update(DATA, DATA, epochs=-1), "epochs=-1 is not allowed"),
        (lambda model: model.update(DATA, DATA, epochs=0), "it is at least 1"),
        (
            lambda model: model.decode(np.zeros((1, 2)), {"single_phase": 5}),
            r"'single_phase' has no class 5; allowed: 0 \(0\), 1 \(1\)",
        ),
        (lambda model: model.scan(None, {"single_phase": 1}, member=-1), "no member -1"),
    ],
)
def test_what_cannot_be_is_refused_by_name(ask, message, model):
    with pytest.raises(DataError, match=message):
        ask(model)
