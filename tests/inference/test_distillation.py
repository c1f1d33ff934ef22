"""Synthetic alloys, their class probabilities by a teacher, and the heads that learn these."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch.nn.functional import cross_entropy

from pyro_hea import DisentangledVAE, ModelSpec
from pyro_hea.devices import seeded
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.fitting import TrainingRun
from pyro_hea.inference import distil_heads, distillation_loss, elbo_loss
from pyro_hea.inference import distillation_set as module
from pyro_hea.inference.distillation_set import distillation_set, synthetic_compositions
from pyro_hea.inference.objective import withheld_labels
from pyro_hea.inference.opinions import trust_in_opinion
from pyro_hea.posterior import untrained_ensemble

SMALL = {
    "latent": {"dim": 2, "flow": None},
    "features": {"bins": 4},
    "head": {"hidden": [16]},
    "encoder": {"hidden": [8]},
    "decoder": {"hidden": [8]},
    "training": {
        "members": 2,
        "epochs": 4,
        "batch_size": 32,
        "distillation": {"trees": 20, "synthetic_alloys": 2000, "steps": 100},
    },
}
PHASE = {"kind": "categorical", "classes": ["fcc", "hcp", "bcc", "several"]}


def spec_of(targets=("single_phase",), **training):
    targets = {name: PHASE if name == "phase" else None for name in targets}
    return ModelSpec.from_mapping(
        SMALL | {"targets": targets, "training": SMALL["training"] | training}
    )


def prepared(spec, data, seed=0):
    device = torch.device("cpu")
    return TrainingRun.prepare(
        spec, data, None, seed=seed, device=device, folder=None, resume=False
    )


def untrained_and_data(spec, alloys, seed=0):
    ensemble = untrained_ensemble(spec, alloys, seed)
    batch = ensemble.batch(alloys)
    return ensemble, distillation_set(ensemble.model, [batch], ensemble.feature_map, seed)


def amounts(fractions):
    return np.sort(fractions, axis=1)


class TestSyntheticCompositions:
    @settings(deadline=None, max_examples=30)
    @given(st.integers(1, 6), st.integers(1, 7), st.integers(0, 2**32 - 1))
    def test_they_have_as_many_elements_as_a_real_alloy(self, rows, elements, seed):
        rng = np.random.default_rng(seed)
        made = rng.exponential(size=(rows, elements)) * (rng.random((rows, elements)) < 0.5)
        made[:, 0] += 0.1
        made /= made.sum(1, keepdims=True)
        new = synthetic_compositions(made, 40, rng)
        np.testing.assert_allclose(new.sum(1), 1)
        assert set((new > 0).sum(1)) <= set((made > 0).sum(1))
        assert not new[:, (made == 0).all(0)].any()

    def test_amounts_stay_and_elements_are_replaced(self, alloys):
        made = alloys.fractions.to_numpy()
        new = synthetic_compositions(made, 500, np.random.default_rng(0))
        known = {tuple(row) for row in amounts(made).round(9)}
        assert all(tuple(row) in known for row in amounts(new).round(9))
        sets = {tuple(row) for row in made > 0}
        assert np.mean([tuple(row) not in sets for row in new > 0]) > 0.5

    def test_frequent_elements_are_chosen_more_often(self):
        made = np.repeat(np.eye(3), [90, 9, 1], axis=0)
        new = synthetic_compositions(made, 20_000, np.random.default_rng(0)).sum(0)
        # From the first: 36 % give way, nine to one; the others add to both about alike.
        assert 7 < new[1] / new[2] < 11


class TestDistillationSet:
    def test_probabilities_of_the_teacher_agree_with_the_labels(self, alloys):
        ensemble, data = untrained_and_data(spec_of(), alloys)
        light = data.alloys.fractions[
            :, [list(ensemble.elements).index(e) for e in ("Al", "W", "Nb")]
        ]
        rule = (light.sum(1) < 0.2).numpy()
        for probabilities in data.probabilities["single_phase"]:
            torch.testing.assert_close(probabilities.sum(1), torch.ones(len(rule)))
            assert roc_auc_score(rule, probabilities[:, 1]) > 0.7

    def test_each_member_has_a_forest_of_its_own(self, alloys):
        first, second = untrained_and_data(spec_of(), alloys)[1].probabilities["single_phase"]
        assert (first != second).any()

    def test_features_are_those_of_the_compositions(self, alloys):
        ensemble, data = untrained_and_data(spec_of(), alloys)
        expected = ensemble.feature_map(data.alloys.composition.double())
        torch.testing.assert_close(data.alloys.features.double(), expected, rtol=1e-3, atol=1e-3)

    def test_a_class_that_no_alloy_has_has_no_probability(self, alloys_of_kinds):
        _, data = untrained_and_data(spec_of(["phase"]), alloys_of_kinds)
        probabilities = data.probabilities["phase"]
        assert probabilities.shape[2] == 4
        assert (probabilities[..., 1] == 0).all()
        assert (probabilities[..., [0, 2, 3]].amax((0, 1)) > 0.2).all()

    @pytest.mark.parametrize(("labels", "power"), [(60, 1.0), (400, 1 + 1 / 6)])
    def test_many_labels_give_sharper_probabilities(self, alloys, labels, power, monkeypatch):
        many = alloys.take(np.arange(labels) % 60)
        sharper = untrained_and_data(spec_of(), many)[1].probabilities["single_phase"]
        monkeypatch.setattr(module, "_SHARPENING", 0.0)
        plain = untrained_and_data(spec_of(), many)[1].probabilities["single_phase"]
        odds = power * (plain[..., 1] / plain[..., 0]).log()
        torch.testing.assert_close(sharper[..., 1], odds.sigmoid(), rtol=1e-4, atol=1e-5)

    def test_a_seed_gives_the_same_set_again(self, alloys):
        first, again, other = (untrained_and_data(spec_of(), alloys, seed)[1] for seed in (0, 0, 1))
        assert torch.equal(first.alloys.features, again.alloys.features)
        assert not torch.equal(first.alloys.features, other.alloys.features)
        name = "single_phase"
        assert torch.equal(first.probabilities[name], again.probabilities[name])

    def test_real_alloys_come_first_labelled_or_not(self, alloys):
        both = alloys.take(np.arange(30)) + alloys.take(np.arange(30, 60)).without_labels()
        ensemble, data = untrained_and_data(spec_of(), both)
        assert data.real == 60
        assert len(data.alloys) == 2060
        made = data.alloys.take(torch.arange(60)).composition
        torch.testing.assert_close(made, ensemble.batch(both).composition)

    def test_no_more_real_alloys_are_taken_than_synthetic_ones(self, alloys):
        _, data = untrained_and_data(
            spec_of(distillation={"trees": 20, "synthetic_alloys": 40}), alloys
        )
        assert data.real == 40
        assert len(data.alloys) == 80
        assert len(set(map(tuple, data.alloys.composition[:40].tolist()))) == 40


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, True),
        ({"prior": {"dist": "Bernoulli", "probs": 0.9}}, True),
        (PHASE, True),
        ({"prior": {"rule": "hume_rothery"}}, True),
        ({"prior": {"logistic": {"omega": 1}}}, True),
        ({"prior": {"rule": "hume_rothery"}, "reports": {}}, False),
        ({"reports": {}}, False),
        ({"kind": "ordinal", "levels": ["low", "high"]}, False),
        (
            {"kind": "continuous", "unit": "HV", "prior": {"dist": "Normal", "loc": 0, "scale": 1}},
            False,
        ),
    ],
)
def test_targets_that_are_distilled(body, expected):
    alone = ModelSpec(targets={"one": body})
    assert alone.distilled_targets == (("one",) if expected else ())
    assert alone.with_(training__distillation=None).distilled_targets == ()
    given_another = ModelSpec(targets={"other": None, "one": {**body, "given": ["other"]}})
    assert given_another.distilled_targets == ("other",)


def test_numbers_are_distilled_where_the_spec_asks_for_it():
    spec = ModelSpec(targets={"one": {"kind": "continuous", "unit": "HV"}})
    assert spec.with_(training__distillation__numbers=True).distilled_targets == ("one",)


def test_the_elbo_moves_no_distilled_head(alloys):
    def moved(teacher):
        trainer = prepared(spec_of(distillation=teacher), alloys).trainer
        batch = trainer.data.replaced(targets={}, labelled={})
        elbo_loss(trainer.model, batch).backward()
        heads = trainer.model.heads.parameters()
        return any(p.grad is not None and p.grad.abs().sum() > 0 for p in heads)

    assert moved(None)
    assert not moved({"trees": 20, "synthetic_alloys": 1})


@pytest.mark.parametrize("name", ["single_phase", "phase"])
def test_loss_is_the_cross_entropy_with_soft_labels(name, alloys_of_kinds):
    ensemble, data = untrained_and_data(spec_of([name]), alloys_of_kinds)
    model, picked = ensemble.model, torch.arange(0, 700, 100)
    probabilities = data.probabilities[name][:, picked]
    logits = model.heads[name](model.embedding(data.alloys.features[picked]))
    if name == "single_phase":
        logits = torch.cat([torch.zeros_like(logits), logits], -1)
    expected = [
        cross_entropy(*one, reduction="none") for one in zip(logits, probabilities, strict=True)
    ]
    torch.testing.assert_close(distillation_loss(model, data, picked), torch.stack(expected))


def test_losses_of_several_heads_add(alloys_of_kinds):
    ensemble, data = untrained_and_data(spec_of(["single_phase", "phase"]), alloys_of_kinds)
    picked = torch.arange(9)
    each = [
        distillation_loss(ensemble.model, replace(data, probabilities={name: p}), picked)
        for name, p in data.probabilities.items()
    ]
    assert len(each) == 2
    torch.testing.assert_close(distillation_loss(ensemble.model, data, picked), sum(each))


def weights(model):
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def same(before, after):
    return {n for n in before if torch.equal(before[n], after[n])}


@pytest.mark.parametrize(
    "spec",
    [
        spec_of(distillation=None),
        spec_of(distillation={"experts": False}).with_prior(
            "single_phase", {"rule": "hume_rothery"}
        ),
    ],
    ids=["no teacher", "none for an expert's prior"],
)
def test_nothing_is_distilled_without_a_teacher_or_a_target_for_it(spec, alloys):
    first = prepared(spec.with_(training__members=2), alloys).ensemble.model
    untaught = untrained_ensemble(spec, alloys, 0).model
    assert same(weights(first), weights(untaught)) == weights(first).keys()


def test_a_published_model_has_no_teacher():
    assert ModelSpec.shipped("published").training.distillation is None


def test_heads_learn_the_probabilities_of_the_teacher(alloys):
    spec = spec_of(distillation={"trees": 40, "synthetic_alloys": 500, "steps": 400})
    ensemble, data = untrained_and_data(spec, alloys)
    model = ensemble.model
    before = weights(model)
    random = torch.random.get_rng_state()
    distil_heads(model, data, steps=400, seed=0, progress=False)
    assert torch.equal(torch.random.get_rng_state(), random)
    moved = before.keys() - same(before, weights(model))
    assert moved == {n for n in before if n.startswith("heads.")}
    with torch.no_grad():
        q = model.heads["single_phase"](model.embedding(data.alloys.features)).sigmoid()[..., 0]
    away = (q - data.probabilities["single_phase"][..., 1]).abs()
    assert away.mean() < 0.05
    assert away[:, : data.real].mean() < 0.05


def test_members_learn_apart(alloys):
    """The first of two members is what it is alone, with the same teacher."""
    ensemble, data = untrained_and_data(spec_of(), alloys)
    single = ensemble.model.member(0)
    alone = replace(data, probabilities={n: p[:1] for n, p in data.probabilities.items()})
    for model, some in ((ensemble.model, data), (single, alone)):
        distil_heads(model, some, steps=20, seed=0, progress=False)
    for name, value in single.named_parameters():
        pair = ensemble.model.get_parameter(name)
        torch.testing.assert_close(pair[:1], value, rtol=1e-4, atol=1e-6)


def test_distilled_heads_are_not_moved_by_training(alloys):
    run = prepared(spec_of(epochs=2, learning_rate=1.0, head_learning_rate=1.0), alloys)
    before = weights(run.ensemble.model)
    for _ in run.trainer.epochs():
        pass
    run.trainer.keep_best()
    kept = same(before, weights(run.ensemble.model))
    assert kept == {n for n in before if n.startswith("heads.")}


def test_a_distillation_that_diverges_leaves_the_heads_as_they_were(alloys):
    ensemble, data = untrained_and_data(spec_of(), alloys)
    before = weights(ensemble.model)
    wrong = {n: p * float("nan") for n, p in data.probabilities.items()}
    broken = replace(data, probabilities=wrong)
    with pytest.raises(TrainingDivergedError, match="distillation diverged"):
        distil_heads(ensemble.model, broken, steps=3, seed=0, progress=False)
    assert same(before, weights(ensemble.model)) == before.keys()


def test_validation_alloys_that_are_passed_are_not_learnt(alloys_of_kinds):
    few = alloys_of_kinds
    known = (few.labels["phase"] != "bcc").to_numpy()
    options = {"seed": 0, "device": torch.device("cpu"), "folder": None, "resume": False}
    spec = spec_of(["phase"], distillation={"trees": 20, "synthetic_alloys": 500, "steps": 300})
    run = TrainingRun.prepare(spec, few.take(known), few.take(~known), **options)
    batch = run.trainer.data
    with torch.no_grad():
        q = run.ensemble.model.heads["phase"](run.ensemble.model.embedding(batch.features))
    assert q.softmax(-1)[..., 2].max() < 0.02


def test_training_is_continued_to_the_same_bits(alloys, tmp_path):
    whole = DisentangledVAE(spec_of(epochs=4)).fit(alloys, progress=False)
    device = torch.device("cpu")
    options = {"seed": 0, "device": device, "folder": tmp_path}
    run = TrainingRun.prepare(spec_of(epochs=4), alloys, None, **options, resume=False)
    epochs = run.trainer.epochs()
    run.records.extend(next(epochs) for _ in range(2))
    run.save()
    continued = TrainingRun.prepare(spec_of(epochs=4), alloys, None, **options, resume=True)
    continued.train(progress=False)
    assert continued.ensemble.model.state_dict().keys() == whole.ensemble.model.state_dict().keys()
    for name, value in whole.ensemble.model.state_dict().items():
        assert torch.equal(value, continued.ensemble.model.state_dict()[name]), name


HARDNESS = {"kind": "continuous", "unit": "HV", "calibration": "tails"}


@pytest.fixture(scope="module")
def numbers(alloys_of_kinds):
    """A prepared run on a number alone, with its teacher's moments and its label folds."""
    spec = ModelSpec.from_mapping(SMALL | {"targets": {"hardness": HARDNESS}})
    spec = spec.with_(training__members=4, training__distillation__numbers=True)
    run = prepared(spec, alloys_of_kinds)
    model, batch = run.ensemble.model, run.trainer.data
    teacher = distillation_set(model, [batch], run.ensemble.feature_map, 0)
    return model, batch, teacher


def test_each_label_of_a_number_is_withheld_from_one_member(numbers):
    model, batch, _ = numbers
    withheld = withheld_labels(batch, "hardness", model.members)
    known = batch.known("hardness")
    assert (withheld[:, known].sum(0) == 1).all()
    assert not withheld[:, ~known].any()


def test_the_teacher_of_a_member_has_not_seen_the_labels_that_are_withheld(numbers):
    model, batch, teacher = numbers
    withheld = withheld_labels(batch, "hardness", model.members)
    y = model.site("hardness").encode(batch.targets["hardness"])[..., 0]
    away = (teacher.moments["hardness"][:, : len(batch), 0] - y).abs()
    known = batch.known("hardness")
    unseen, seen = away[withheld].mean(), away[~withheld & known].mean()
    assert seen < 0.7 * unseen


def test_the_loss_of_a_number_is_at_least_the_entropy_of_its_teacher(numbers):
    """Where q has the teacher's mean and scale, the cross-entropy is the entropy."""
    model, _, teacher = numbers
    rows = torch.arange(30)
    _, sd = teacher.moments["hardness"][:, rows].unbind(-1)
    loss = distillation_loss(model, teacher, rows)
    assert (loss >= 0.5 * (1 + np.log(2 * np.pi)) + sd.log() - 1e-4).all()


def test_a_head_of_a_number_learns_its_teacher(alloys_of_kinds):
    spec = ModelSpec.from_mapping(SMALL | {"targets": {"hardness": HARDNESS}})
    distillation = {"training__distillation__numbers": True, "training__distillation__steps": 400}
    spec = spec.with_(training__members=2, **distillation)
    ensemble = untrained_ensemble(spec.scaled_to(alloys_of_kinds), alloys_of_kinds, 0)
    batch = ensemble.batch(alloys_of_kinds)
    model = ensemble.model
    teacher = distillation_set(model, [batch], ensemble.feature_map, 0)
    distil_heads(model, teacher, steps=400, seed=0, progress=False)
    alloys = teacher.alloys
    with torch.no_grad():
        q = model.site("hardness").normal(
            model.head(
                "hardness", model.head_inputs(alloys), model.conditioned("hardness", {}, alloys)
            )
        )
    mean, _ = teacher.moments["hardness"].unbind(-1)
    assert (q.loc - mean).abs().mean() < 0.5 * mean.std()


class TestExperts:
    """An expert's opinion beside what the labels taught."""

    RULE = spec_of().with_prior("single_phase", {"rule": "hume_rothery", "strength": 1.5})
    OPINION = spec_of().with_prior(
        "single_phase",
        {"logistic": {"mixing_enthalpy": 0.7, "omega": {"dist": "HalfNormal", "scale": 1}}},
    )

    @pytest.mark.parametrize("opinion", ["flat", "rule", "logistic"])
    def test_without_an_opinion_the_teacher_is_what_it_was(self, opinion, alloys, monkeypatch):
        """To the bit: no random number is drawn, and with no trust nothing is added."""
        monkeypatch.setattr(module, "trust_in_opinion", lambda *args: 0.0)
        flat = untrained_and_data(spec_of(), alloys)[1].probabilities["single_phase"]
        spec = {"flat": spec_of(), "rule": self.RULE, "logistic": self.OPINION}[opinion]
        found = untrained_and_data(spec, alloys)[1].probabilities["single_phase"]
        torch.testing.assert_close(found, flat, rtol=0, atol=0 if opinion == "flat" else 1e-7)

    @pytest.mark.parametrize("trust", [0.3, 1.0])
    def test_log_odds_of_the_rule_are_added_as_far_as_they_are_trusted(
        self, trust, alloys, monkeypatch
    ):
        monkeypatch.setattr(module, "trust_in_opinion", lambda *args: trust)
        _, flat = untrained_and_data(spec_of(), alloys)
        _, data = untrained_and_data(self.RULE, alloys)
        columns = dict(
            zip(spec_of().features.columns, data.alloys.features.unbind(-1), strict=True)
        )
        met = (columns["atomic_size_difference"] <= 6.6) & columns["mixing_enthalpy"].ge(-15)
        met &= columns["mixing_enthalpy"] <= 5
        p, q = (part.probabilities["single_phase"].double() for part in (flat, data))
        odds = p[..., 1] / p[..., 0] * torch.where(met, trust * 1.5, -trust * 1.5).exp()
        torch.testing.assert_close(q[..., 1], odds / (1 + odds), rtol=1e-4, atol=1e-6)

    def test_less_certain_coefficients_say_less(self, alloys):
        sure, unsure = (
            spec_of().with_prior("single_phase", {"logistic": {"omega": 1.0}, "scale": scale})
            for scale in (0.01, 3.0)
        )
        odds = []
        for spec in (sure, unsure):
            ensemble = untrained_ensemble(spec, alloys, 0)
            expert = ensemble.model.experts["single_phase"]
            with seeded(0):
                odds.append(expert.prior_log_odds(ensemble.batch(alloys).features))
        omega = alloys.features["omega"].to_numpy()
        by_hand = (omega - omega.mean()) / omega.std()
        np.testing.assert_allclose(odds[0], by_hand, atol=0.05)
        assert odds[1].abs().mean() < 0.6 * odds[0].abs().mean()

    def test_labels_are_predicted_by_a_teacher_that_has_not_seen_them(self):
        """Of labels that are noise, one that had would be sure."""
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(80, 3)), np.repeat([0, 1], 40)
        found = module.Teacher(x, x, y, 2, 100).held_out(rng)
        assert sorted(found.rows) == list(range(80))
        np.testing.assert_array_equal(found.label, y[found.rows])
        assert roc_auc_score(found.label, found.probability) < 0.75

    def test_a_class_of_one_label_leaves_the_prior_of_the_trust(self):
        x, y = np.eye(4), np.array([0, 0, 0, 1])
        found = module.Teacher(x, x, y, 2, 10).held_out(np.random.default_rng(0))
        assert len(found.rows) == len(found.probability) == len(found.label) == 0
        assert module.trust_in_opinion(np.empty(0), *found[1:]) == pytest.approx(0.2, abs=1e-3)

    def test_the_distilled_head_answers_alone(self, alloys):
        """Its answers do not move with the coefficients, which the ELBO goes on to train."""
        model = prepared(self.OPINION, alloys).ensemble.model
        batch = untrained_ensemble(self.OPINION, alloys, 0).batch(alloys)
        before = model.head("single_phase", model.head_inputs(batch), None)
        model.experts["single_phase"].loc.data += 1.0
        after = model.head("single_phase", model.head_inputs(batch), None)
        assert torch.equal(before, after)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200), st.floats(0, 3), st.integers(0, 10**6))
def test_the_trust_is_the_mode_of_a_grid(labels, size, seed):
    rng = np.random.default_rng(seed)
    opinion, label = rng.normal(0, size, labels), rng.integers(0, 2, labels)
    probability = rng.uniform(0.05, 0.95, labels)
    grid = np.linspace(0, 1, 4001)
    odds = np.log(probability / (1 - probability)) + grid[:, None] * opinion
    chance = np.where(label == 1, 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(odds)))
    posterior = np.log(chance).sum(1) - (grid - 0.2) ** 2 / (2 * 0.2**2)
    found = trust_in_opinion(opinion, probability, label)
    assert found == pytest.approx(grid[posterior.argmax()], abs=2e-3)
