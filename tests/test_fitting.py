"""A training with targets of every kind: refused where it must be, resumed, saved and loaded."""

import re
import tracemalloc
from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch
from small import SMALL, few_labels, quaternaries, small_spec

from pyro_hea import AlloyDataset, DisentangledVAE, ModelSpec
from pyro_hea.errors import DataError
from pyro_hea.evaluate.benchmark.timing import synthetic_alloys
from pyro_hea.fitting import TrainingRun
from pyro_hea.inference.objective import known_labels
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.training_data import augmented, hold_out

pytestmark = few_labels

TARGETS = {
    "single_phase": {
        "prior": {"logistic": {"number_of_elements": -0.5}},
        "reports": {},
        "calibration": "beta",
    },
    "phase": {
        "kind": "categorical",
        "classes": ["fcc", "bcc", "several"],
        "given": "single_phase",
        "only": {"single_phase": {"0": ["several"], "1": ["fcc", "bcc"]}},
        "calibration": "temperature",
    },
    "rating": {
        "kind": "ordinal",
        "levels": ["1", "2", "3"],
        "given": "phase",
        "calibration": "temperature",
    },
    "hardness": {
        "kind": "continuous",
        "unit": "HV",
        "given": ["phase"],
        "prior": {"dist": "Normal", "loc": 6.0, "scale": 0.7},
        "conditions": {"test_temperature_C": 25},
    },
    "modulus": {
        "kind": "continuous",
        "positive": False,
        "transform": "identity",
        "heteroscedastic": False,
        "prior": {"dist": "Normal", "loc": 0.0, "scale": 5.0},
        "given": "hardness",
    },
}
NAMES = list(TARGETS)


def spec_of(targets=None, latent=None, epochs: int = 6) -> ModelSpec:
    return small_spec(
        targets=targets or TARGETS,
        latent={"dim": 2, "flow": {"layers": 2, "hidden": 4}} | (latent or {}),
        likelihood__total_count=50,
        features__bins=3,
        head__dropout=0.2,
        training__epochs=epochs,
        training__batch_size=20,
    )


def rows_of(count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    fractions = fraction_table(quaternaries(count, np.random.default_rng(0), most=4))
    al = fractions["Al"].to_numpy()
    phase = np.where(al < 0.15, np.where(al < 0.05, "fcc", "bcc"), "several")
    rows = [
        *[("single_phase", i, float(al[i] < 0.15), "ann") for i in range(count) if i % 3],
        *[("single_phase", i, float(al[i] < 0.1), "bob") for i in range(count) if i % 4 == 1],
        *[("phase", i, phase[i], "ann") for i in range(count) if i % 3 != 1],
        *[("rating", i, str(1 + i % 3), "ann") for i in range(0, count, 2)],
        *[("hardness", i, 200 + 900 * al[i], "ann") for i in range(0, count, 2)],
        *[("modulus", i, 10 * al[i] - 1, "ann") for i in range(0, count, 3)],
    ]
    reports = pd.DataFrame(rows, columns=["target", "row", "value", "source"])
    reports = reports.assign(formula=fractions.index[reports["row"]], test_temperature_C=np.nan)
    hot = pd.DataFrame(
        {
            "target": "hardness",
            "value": 150.0,
            "source": "eve",
            "formula": fractions.index[:5],
            "test_temperature_C": 600.0,
        }
    )
    return fractions, pd.concat([reports, hot], ignore_index=True)


def alloys_of(count: int = 24, edit=lambda reports: reports) -> AlloyDataset:
    fractions, reports = rows_of(count)
    return AlloyDataset.from_reports(fractions, edit(reports), NAMES, expected_conflicts=99)


def prepared(data: AlloyDataset, spec: ModelSpec | None = None) -> TrainingRun:
    return TrainingRun.prepare(
        spec or spec_of(),
        data,
        None,
        seed=0,
        device=torch.device("cpu"),
        folder=None,
        resume=False,
    )


# What is refused.


@pytest.mark.parametrize("name", NAMES)
def test_a_target_without_a_label_is_refused_by_name(name):
    data = alloys_of(edit=lambda r: r[r["target"] != name])
    with pytest.raises(DataError, match=f"no alloy is labelled with '{name}'. Targets in the data"):
        prepared(data)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("single_phase", 1.0, "is 1: one class only cannot be learnt from"),
        ("phase", "bcc", "is bcc: one class only cannot be learnt from"),
        ("rating", "2", "is 2: one class only cannot be learnt from"),
        ("hardness", 300.0, "is 300: one value only cannot be learnt from. Add alloys with other"),
    ],
)
def test_labels_that_are_all_alike_are_refused(name, value, message):
    def alike(reports):
        return reports.assign(value=reports["value"].where(reports["target"] != name, value))

    with pytest.raises(DataError, match=re.escape(f"every label of '{name}' {message}")):
        prepared(alloys_of(edit=alike))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("phase", "bbc", "label 'bbc' of 'phase' is not allowed. Did you mean 'bcc'? Allowed: fcc"),
        ("rating", "4", "label 4.0 of 'rating' is not allowed. Allowed: 1, 2, 3"),
        ("hardness", -20.0, "label -20.0 of 'hardness' is not allowed. Allowed: a number above 0"),
    ],
)
def test_a_label_that_cannot_be_names_the_alloy(name, value, message):
    def spoilt(reports):
        row = reports.index[reports["target"] == name][2]
        reports.loc[row, "value"] = value
        return reports

    data = alloys_of(edit=spoilt)
    formula = data.formulas[{"phase": 3, "rating": 4, "hardness": 4}[name]]
    with pytest.raises(DataError, match=re.escape(f"'{formula}': {message}")):
        prepared(data)


def test_a_condition_that_no_report_has_is_refused():
    data = alloys_of(edit=lambda r: r.rename(columns={"test_temperature_C": "test_temp_C"}))
    message = r"'hardness' depends on the condition 'test_temperature_C', .* mean 'test_temp_C'\?"
    with pytest.raises(DataError, match=message):
        prepared(data)


def test_what_is_held_out_leaves_every_target_its_labels():
    """Two labels of a rare target: whichever alloys are drawn, both stay."""

    def rare(reports):
        ductile = pd.DataFrame(
            {"target": "ductile", "value": [0.0, 1.0], "source": "ann", "row": [0, 1]}
        ).assign(formula=reports["formula"].unique()[:2])
        return pd.concat([reports, ductile], ignore_index=True)

    fractions, reports = rows_of(160)
    data = AlloyDataset.from_reports(
        fractions, rare(reports), ["single_phase", "ductile"], expected_conflicts=99
    )
    spec = spec_of({"single_phase": {}, "ductile": {}})
    for seed in range(40):
        kept, held = hold_out(data, spec, seed)
        assert held is not None
        assert len(kept) + len(held) == len(data)
        assert kept.labels["ductile"].count() == 2


# What of a number each member is not shown.


def number_of(count: int, rows: int = 60) -> AlloyDataset:
    fractions, _ = rows_of(rows)
    rng = np.random.default_rng(1)
    value = np.exp(5 + fractions["Al"].to_numpy() + 0.1 * rng.normal(size=rows))
    reports = pd.DataFrame(
        {"target": "hardness", "value": value, "source": "ann", "formula": fractions.index}
    )
    return AlloyDataset.from_reports(fractions, reports[:count], ["hardness"])


HARDNESS = {"hardness": {"kind": "continuous", "prior": {"dist": "Normal", "loc": 5, "scale": 1}}}


@pytest.mark.parametrize(
    ("members", "numbers", "expected"),
    [
        (2, True, [12, 12, 12, 11]),
        (8, True, [6] * 7 + [5]),
        (12, True, [5] * 7 + [4] * 3),
        (2, False, [5] * 7 + [4] * 3),
    ],
)
def test_every_label_of_a_number_is_in_one_fold_one_a_member_where_it_is_distilled(
    members, numbers, expected
):
    training = {"training__members": members, "training__distillation__numbers": numbers}
    spec = spec_of(HARDNESS).with_(**training)
    folds = prepared(number_of(47), spec).trainer.data.label_folds["hardness"]
    assert (folds[47:] == -1).all()
    assert torch.bincount(folds[:47]).tolist() == expected


def test_fewer_labels_than_parts_are_all_shown_to_all():
    run = prepared(number_of(9), spec_of(HARDNESS))
    assert run.trainer.data.label_folds == {}
    run.train(progress=False)
    assert run.ensemble.model.site("hardness").calibration.tolist() == [1.0, 1.0, 1.0]


def test_labels_that_a_member_is_not_shown_leave_its_head_as_it_is():
    """The labels of one part are changed: the head of that member alone is unmoved."""
    data = number_of(40)
    heads = []
    for factor in (1.0, 3.0):
        run = prepared(data, spec_of(HARDNESS).with_(training__distillation=None))
        trainer = run.trainer
        hidden = trainer.data.label_folds["hardness"] == 1
        value = trainer.data.targets["hardness"]
        targets = {"hardness": torch.where(hidden, factor * value, value)}
        trainer.data = trainer.data.replaced(targets=targets)
        torch.manual_seed(0)
        trainer.model.train()
        known = known_labels(trainer.data)
        trainer.head_loss.of_labels(trainer.data, known, "hardness").backward()
        parameters = trainer.model.heads["hardness"].parameters()
        heads.append([p.grad.clone() for p in parameters])
    for a, b in zip(*heads, strict=True):
        assert torch.equal(a[1], b[1])
        assert not torch.equal(a[0], b[0])


def test_few_labels_of_a_number_stop_its_heads_without_validation_alloys():
    spec = spec_of(HARDNESS, epochs=15).with_(training__distillation=None)
    run = prepared(number_of(40), spec)
    assert run.trainer.validation is None
    run.train(progress=False)
    assert [r.epoch for r in run.records if r.best is not None] == []
    assert run.trainer._best_loss.isfinite().all()
    assert run.ensemble.model.site("hardness").calibration.tolist() != [1.0, 1.0, 1.0]


def test_an_update_keeps_the_calibration_and_shows_every_label_to_every_member():
    data = number_of(40)
    vae = DisentangledVAE(spec_of(HARDNESS)).fit(data, progress=False)
    before = vae.ensemble.model.site("hardness").calibration.clone()
    vae.update(number_of(45).take(range(40, 45)), epochs=2, progress=False)
    assert torch.equal(vae.ensemble.model.site("hardness").calibration, before)


# What is told of the data.


def test_scales_conditions_and_sources_are_those_of_the_data():
    run = prepared(alloys_of())
    statistics = run.ensemble.model.statistics
    _, reports = rows_of(24)
    cold = reports[reports["test_temperature_C"].isna()]
    logs = np.log(cold[cold["target"] == "hardness"]["value"].astype(float))
    assert statistics.scales["hardness"] == pytest.approx((logs.mean(), logs.std()))
    plain = cold[cold["target"] == "modulus"]["value"].astype(float)
    assert statistics.scales["modulus"] == pytest.approx((plain.mean(), plain.std()))
    assert statistics.sources == {"single_phase": ("ann", "bob")}
    at = np.array([25.0] * 12 + [600.0] * 5)
    assert statistics.conditions["hardness"] == pytest.approx((at.std(),))
    measured = run.trainer.head_loss.measurements["hardness"]
    assert len(measured.rows) == 17
    assert measured.conditions.unique().tolist() == pytest.approx([0.0, 575 / at.std()])


# Resuming, saving and loading.

LATENTS = {"flow": {}, "Mixture": {"prior": {"dist": "Mixture", "components": 3}}}


@pytest.mark.parametrize("latent", LATENTS)
def test_a_model_of_every_kind_is_resumed_saved_and_loaded_to_the_bit(latent, tmp_path):
    spec, every = spec_of(latent=LATENTS[latent]), alloys_of(40)
    data, validation = every.take(range(30)), every.take(range(30, 40))
    whole = DisentangledVAE(spec).fit(data, validation=validation, seed=3, progress=False)

    def stop_after(epochs):
        run = TrainingRun.prepare(
            spec,
            data,
            validation,
            seed=3,
            device=torch.device("cpu"),
            folder=tmp_path / "run",
            resume=False,
        )
        run.records.extend(islice(run.trainer.epochs(), epochs))
        run.save()

    stop_after(4)
    resumed = DisentangledVAE(spec).fit(
        data,
        validation=validation,
        seed=3,
        progress=False,
        checkpoint=tmp_path / "run",
        resume=True,
    )
    first, second = (v.ensemble.model.state_dict() for v in (whole, resumed))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[n], second[n]) for n in first)
    pd.testing.assert_frame_equal(whole.history, resumed.history)
    fitted = {n: first[f"sites.{n}.calibration"] for n in NAMES}
    assert not [name for name, value in fitted.items() if (value == 1.0).any()]

    whole.save(tmp_path / "model")
    loaded = DisentangledVAE.load(tmp_path / "model")
    assert loaded.ensemble.spec == spec
    pd.testing.assert_frame_equal(loaded.predict(data), whole.predict(data))
    a, b = (v.posterior(data.take([0, 1, 2]), draws=4, seed=1) for v in (whole, loaded))
    for group in ("posterior", "prior", "prior_predictive", "observed_data"):
        assert a[group].equals(b[group])
    assert loaded.ensemble.model.population == len(whole.ensemble.known)


def test_middles_lie_between_two_alloys_of_one_principal_element(alloys):
    more = augmented(alloys, 1.5, seed=3)
    assert augmented(alloys, 0.0, seed=3) is alloys
    assert more.formulas == augmented(alloys, 1.5, seed=3).formulas
    pd.testing.assert_frame_equal(more.fractions.iloc[:60], alloys.fractions)
    pd.testing.assert_frame_equal(more.labels.iloc[:60], alloys.labels)
    assert more.labels.iloc[60:].isna().all(axis=None)
    known, made = alloys.fractions.to_numpy(), more.fractions.iloc[60:].to_numpy()
    assert 50 < len(made) <= 90
    first, second = np.triu_indices(60, 1)
    middles = (known[first] + known[second]) / 2
    off = np.abs(made[:, None] - middles).sum(2)
    assert off.min(1).max() < 1e-12
    pair = off.argmin(1)
    principal = known.argmax(1)
    assert (principal[first[pair]] == principal[second[pair]]).all()


def test_no_memory_is_taken_for_pairs_of_alloys():
    many = synthetic_alloys(10_000, 30)
    tracemalloc.start()
    augmented(many, 0.0, seed=0)
    augmented(many, 0.001, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6  # a byte for each pair would be 100 MB


def test_middles_are_trained_on_and_are_no_known_alloys(alloys):
    spec = ModelSpec.from_mapping(SMALL)
    plain, more = (
        TrainingRun.prepare(
            spec.with_(training__augmentation=share, training__distillation=None),
            alloys,
            None,
            seed=0,
            device=torch.device("cpu"),
            folder=None,
            resume=False,
        )
        for share in (0.0, 0.5)
    )
    assert len(plain.trainer.data) == 60
    assert 70 < len(more.trainer.data) <= 90
    assert not more.trainer.data.known("single_phase")[60:].any()
    pd.testing.assert_frame_equal(more.ensemble.known, plain.ensemble.known)
