import math
import re
import warnings

import numpy as np
import pyro
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import log_loss
from torch import nn

from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference import (
    Trainer,
    clip_member_gradients,
    elbo_loss,
    label_loss,
    schedule,
    steps_per_epoch,
)
from pyro_hea.inference import trainer as inference
from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import ModelSpec

E, FEATURES, K = 4, 3, 2


def spec_of(dropout: float = 0.2, **training) -> ModelSpec:
    settings = {
        "distillation": None,
        "members": K,
        "epochs": 8,
        "batch_size": 10,
        "patience": 30,
    } | training
    return ModelSpec.from_mapping(
        {
            "latent": {"dim": 2, "flow": {"layers": 2, "hidden": 4}},
            "head": {"hidden": [8], "dropout": dropout},
            "encoder": {"hidden": [8], "dropout": dropout},
            "decoder": {"hidden": [8]},
            "training": settings,
        }
    )


def model_of(spec: ModelSpec, seed: int = 0) -> AlloyModel:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        edges = torch.tensor([[-2.0, -0.7, 0.0, 0.7, 2.0]]).expand(FEATURES, 5).contiguous()
        return AlloyModel(spec, E, Statistics(edges, torch.zeros(FEATURES), torch.ones(FEATURES)))


def alloys(count: int, seed: int, labelled: float = 0.7) -> AlloyBatch:
    """The first feature decides the label, and with it which element leads."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, FEATURES, generator=generator)
    y = (features[:, 0] > 0).float()
    x = torch.rand(count, E, generator=generator) + 0.1
    x[:, 0] += 3 * y
    x[:, 1] += 3 * (1 - y)
    x[::3, 3] = 0.0
    known = torch.rand(count, generator=generator) < labelled
    return AlloyBatch(
        x / x.sum(-1, keepdim=True),
        features,
        {"single_phase": torch.where(known, y, 0.0)},
        {} if known.all() else {"single_phase": known},
    )


DATA, VALIDATION = alloys(24, seed=1), alloys(12, seed=2, labelled=1.1)


def trainer_of(spec=None, data=DATA, validation=VALIDATION, seed: int = 0) -> Trainer:
    return Trainer(model_of(spec or spec_of()), data, validation, seed)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.fixture
def every_epoch(monkeypatch):
    monkeypatch.setattr(inference, "EVALUATE_EVERY", 1)


# Clipping.


def test_gradients_are_clipped_to_the_norm_of_each_member_alone():
    a, b, untouched = (nn.Parameter(torch.zeros(3, 2)) for _ in range(3))
    a.grad = torch.tensor([[3.0, 0.0], [0.3, 0.0], [0.0, 0.0]])
    b.grad = torch.tensor([[0.0, 4.0], [0.0, 0.4], [0.0, 0.0]])
    clip_member_gradients([a, b, untouched], 1.0)  # norms 5, 0.5 and 0
    torch.testing.assert_close(a.grad, torch.tensor([[0.6, 0.0], [0.3, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(b.grad, torch.tensor([[0.0, 0.8], [0.0, 0.4], [0.0, 0.0]]))
    assert untouched.grad is None


def test_clipping_is_that_of_torch_member_by_member():
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(K, 3, 4)), nn.Parameter(torch.zeros(K, 1, 4))]
    for p in parameters:
        p.grad = 5 * torch.randn(p.shape, generator=generator)
    singles = [[nn.Parameter(torch.zeros(p.shape[1:])) for p in parameters] for _ in range(K)]
    for k, single in enumerate(singles):
        for p, s in zip(parameters, single, strict=True):
            s.grad = p.grad[k].clone()
        nn.utils.clip_grad_norm_(single, 2.0)
    clip_member_gradients(parameters, 2.0)
    for k, single in enumerate(singles):
        for p, s in zip(parameters, single, strict=True):
            torch.testing.assert_close(p.grad[k], s.grad)


def test_clipping_nothing_is_no_error():
    clip_member_gradients([nn.Parameter(torch.zeros(2))], 1.0)


# Losses.


def test_the_label_loss_is_the_log_loss_of_each_member_on_the_labelled_alloys():
    model = model_of(spec_of()).eval()
    got = label_loss(model, DATA)["single_phase"]
    known = DATA.labelled["single_phase"].numpy()
    y = DATA.targets["single_phase"].numpy()[known]
    with torch.no_grad():
        logits = model.head("single_phase", model.head_inputs(DATA), None)[..., 0]
    for k in range(K):
        expected = log_loss(y, torch.sigmoid(logits[k]).double().numpy()[known])
        assert float(got[k].detach()) == pytest.approx(expected, rel=1e-5)


def test_without_mixup_the_training_loss_of_labels_is_their_mean_cross_entropy():
    trainer = trainer_of(spec_of(mixup=0.0))
    trainer.model.eval()
    got = float(trainer.head_loss(DATA).detach())
    known = DATA.labelled["single_phase"].tolist()
    y = DATA.targets["single_phase"].tolist()
    by_hand = 0.0
    p = trainer.model.head("single_phase", trainer.model.head_inputs(DATA), None)[..., 0]
    p = p.detach().double().sigmoid().tolist()
    for k in range(K):
        terms = [-math.log(p[k][n] if y[n] else 1 - p[k][n]) for n in range(len(DATA)) if known[n]]
        by_hand += sum(terms) / len(terms)
    assert got == pytest.approx(by_hand, rel=1e-5)


def test_batches_of_any_share_of_labels_add_up_to_the_loss_of_all():
    trainer = trainer_of(spec_of(mixup=0.0))
    trainer.model.eval()
    whole = float(trainer.head_loss(DATA).detach())
    halves = [DATA.map(lambda t, r=rows: t[r]) for rows in (slice(0, 12), slice(12, 24))]
    parts = [float(trainer.head_loss(half).detach()) for half in halves]
    assert sum(parts) / 2 == pytest.approx(whole, rel=1e-5)


def test_mixup_gives_placeholders_no_influence():
    losses = []
    for placeholder in (0.0, 1.0, 1e20):
        known = DATA.labelled["single_phase"]
        y = torch.where(known, DATA.targets["single_phase"], placeholder)
        data = AlloyBatch(DATA.fractions, DATA.features, {"single_phase": y}, DATA.labelled)
        trainer = trainer_of(spec_of(mixup=1.0, dropout=0.0), data)
        torch.manual_seed(0)
        with pyro.validation_enabled(False):  # a placeholder need not be a class
            losses.append(float(trainer.head_loss(data).detach()))
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize(
    ("count", "size", "steps"), [(1156, 512, 3), (1156, 256, 5), (24, 512, 3), (2, 512, 2)]
)
def test_an_epoch_has_three_steps_or_more(count, size, steps):
    assert steps_per_epoch(count, spec_of(batch_size=size).training) == steps


def test_a_training_loss_is_bound_and_label_loss_per_alloy_and_member(monkeypatch):
    monkeypatch.setattr(schedule, "_MIN_STEPS", 1)
    one_step = {"mixup": 0.0, "jitter": 0.0, "batch_size": 100, "label_weight": 3.0, "epochs": 1}
    spec = spec_of(dropout=0.0, distillation=None, **one_step)
    trainer = trainer_of(spec, validation=None)
    untrained = model_of(spec)
    record = next(trainer.epochs())
    torch.manual_seed(0)  # the noise of the bound comes after the order of the alloys
    order = torch.randperm(len(DATA))
    known = DATA.labelled["single_phase"][order]
    parts = [DATA.take(order[~known]).without_labels()]
    labelled = DATA.take(order[known])
    parts.append(AlloyBatch(labelled.fractions, labelled.features, labelled.targets, {}))
    bound = sum(float(elbo_loss(untrained, part).detach()) for part in parts) / len(DATA)
    labels = float(label_loss(untrained, DATA)["single_phase"].detach().sum())
    assert record.loss == pytest.approx((bound + 3.0 * labels) / K, rel=1e-5)


# Jitter.


def test_jitter_keeps_absent_elements_absent_and_rows_summing_to_one():
    trainer = trainer_of(spec_of(jitter=0.3))
    torch.manual_seed(0)
    x = trainer._jittered(DATA).fractions
    assert not torch.equal(x, DATA.fractions)
    assert torch.equal(x > 0, DATA.fractions > 0)
    torch.testing.assert_close(x.sum(-1), torch.ones(len(DATA)))
    assert (x >= 0.7 * DATA.fractions - 1e-6).all()  # at most that share moves


def test_jitter_moves_atoms_evenly_among_the_elements_present():
    trainer = trainer_of(spec_of(jitter=0.5))
    torch.manual_seed(0)
    pure = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    batch = AlloyBatch(pure.expand(20_000, E), torch.zeros(20_000, FEATURES), {}, {})
    moved = (trainer._jittered(batch).fractions - 0.5 * pure) / 0.5
    # Shares of two exponentials are uniform: mean 1/2, variance 1/12.
    assert float(moved[:, 0].mean()) == pytest.approx(0.5, abs=0.01)
    assert float(moved[:, 0].var()) == pytest.approx(1 / 12, rel=0.03)


def test_without_jitter_the_compositions_stay():
    assert trainer_of(spec_of(jitter=0.0))._jittered(DATA) is DATA


# Randomness.


def test_training_is_the_same_for_a_seed_and_another_for_another():
    runs = []
    for seed in (3, 3, 4):
        trainer = trainer_of(seed=seed)
        records = list(trainer.epochs())
        runs.append((weights(trainer.model), records))
    assert same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not same(runs[0][0], runs[2][0])


def test_the_global_random_state_neither_changes_nor_matters(numpy_state):
    torch.manual_seed(1)
    before, of_numpy = torch.get_rng_state(), numpy_state()
    first = trainer_of()
    for _ in first.epochs():
        assert torch.equal(torch.get_rng_state(), before)
    first.keep_best()
    assert torch.equal(torch.get_rng_state(), before)
    assert numpy_state() == of_numpy
    torch.manual_seed(2)
    second = trainer_of()
    for _ in second.epochs():
        torch.rand(3)
    second.keep_best()
    assert same(weights(first.model), weights(second.model))


def test_members_differ():
    trainer = trainer_of()
    list(trainer.epochs())
    assert all((p[0] != p[1]).any() for p in trainer.model.parameters())


# Resuming.


def finish(trainer: Trainer) -> list:
    records = list(trainer.epochs())
    trainer.keep_best()
    return records


@pytest.mark.parametrize("validation", [VALIDATION, None], ids=["validated", "not validated"])
def test_a_resumed_training_equals_an_uninterrupted_one_to_the_bit(validation):
    whole = trainer_of(validation=validation)
    expected = finish(whole)

    first = trainer_of(validation=validation)
    states = [first.state()]  # what happens after does not change a state
    states += [first.state() for _ in first.epochs()]
    assert all(set(state) >= {"epoch", "rng", "best_loss", "stale"} for state in states)

    for interrupted_after in (0, 1, 5, 6, 8):
        second = Trainer(model_of(spec_of(), seed=99), DATA, validation, seed=7)
        second.restore(states[interrupted_after])
        assert finish(second) == expected[interrupted_after:]
        assert same(weights(whole.model), weights(second.model))
        assert same(whole._best, second._best)
        assert torch.equal(whole._best_loss, second._best_loss)
        assert same(whole.state(), second.state())


def test_restoring_twice_from_one_state_gives_the_same_twice():
    first = trainer_of()
    epochs = first.epochs()
    for _ in range(5):
        next(epochs)
    state = first.state()
    kept = {n: t.clone() for n, t in state.items()}
    runs = []
    for _ in range(2):
        trainer = trainer_of()
        trainer.restore(state)
        finish(trainer)
        runs.append(weights(trainer.model))
    assert same(state, kept)
    assert same(*runs)


@pytest.mark.usefixtures("every_epoch")
def test_a_stopped_training_stays_stopped_when_it_is_resumed():
    spec = spec_of(patience=1, epochs=60, learning_rate=0.3, head_learning_rate=0.3)
    trainer = trainer_of(spec)
    finish(trainer)
    assert trainer.epoch < 60
    again = trainer_of(spec)
    again.restore(trainer.state())
    assert finish(again) == []


# The learning rate.


def test_the_learning_rate_rises_for_a_tenth_and_falls_as_a_cosine_to_zero():
    peaks = {"learning_rate": 0.02, "head_learning_rate": 0.01}
    trainer = trainer_of(
        spec_of(epochs=10, batch_size=6, distillation=None, **peaks), validation=None
    )
    rates = []
    trainer._optimizer.register_step_pre_hook(
        lambda optimizer, *_: rates.append([g["lr"] for g in optimizer.param_groups])
    )
    list(trainer.epochs())
    steps = 10 * 4
    assert len(rates) == steps
    for step, (head, rest) in enumerate(rates):
        at = step / steps
        share = at / 0.1 if at < 0.1 else (1 + math.cos(math.pi * (at - 0.1) / 0.9)) / 2
        assert head == pytest.approx(0.01 * share, abs=1e-12)
        assert rest == pytest.approx(0.02 * share, abs=1e-12)
    assert max(r for *_, r in rates) == pytest.approx(0.02)
    assert rates[-1][1] < 1e-4


@pytest.mark.parametrize("teacher", [None, {}], ids=["not distilled", "distilled"])
def test_heads_and_the_rest_have_their_own_rates_and_decay(teacher):
    settings = {"weight_decay": 0.25, "head_weight_decay": 0.5, "learning_rate": 0.02}
    trainer = trainer_of(spec_of(head_learning_rate=0.01, distillation=teacher, **settings))
    trained, rest = trainer._optimizer.param_groups
    heads = {id(p) for p in trainer.model.heads.parameters()}
    assert {id(p) for p in trained["params"]} == (heads if teacher is None else set())
    assert heads | {id(p) for p in rest["params"]} == {id(p) for p in trainer.model.parameters()}
    assert not heads & {id(p) for p in rest["params"]}
    assert [group["weight_decay"] for group in (trained, rest)] == [0.5, 0.25]
    assert trainer._peaks == [0.01, 0.02]


# Stopping.


def test_evaluations_come_every_few_epochs_and_at_the_end():
    records = list(trainer_of(spec_of(epochs=12)).epochs())
    assert [r.epoch for r in records] == list(range(1, 13))
    assert [r.epoch for r in records if r.elbo_loss is not None] == [5, 10, 12]
    assert all(len(r.best) == K for r in records if r.best is not None)
    assert all(r.best is None for r in trainer_of(validation=None).epochs())


@pytest.mark.usefixtures("every_epoch")
def test_each_member_stops_alone_and_keeps_its_best_weights():
    spec = spec_of(members=4, patience=2, epochs=60, learning_rate=0.05, head_learning_rate=0.05)
    trainer = trainer_of(spec)
    records, snapshots = [], {}
    for record in trainer.epochs():
        records.append(record)
        snapshots[record.epoch] = weights(trainer.model)
    assert records[-1].epoch < 60
    best_epochs = []
    for k in range(4):
        best, stale, best_epoch = math.inf, 0, None
        for r in records:
            loss = r.elbo_loss[k] + r.log_loss[k]
            if stale >= 2:  # stopped: whatever comes after, it keeps what it has
                assert not r.best[k]
            elif loss < best:
                assert r.best[k]
                best, stale, best_epoch = loss, 0, r.epoch
            else:
                assert not r.best[k]
                stale += 1
        assert stale >= 2
        best_epochs.append(best_epoch)
    assert len(set(best_epochs)) > 1
    trainer.keep_best()
    for k, epoch in enumerate(best_epochs):
        for name, parameter in trainer.model.named_parameters():
            assert torch.equal(parameter[k], snapshots[epoch][name][k])
    assert not trainer.model.training


@pytest.mark.usefixtures("every_epoch")
def test_the_heads_of_a_number_keep_the_weights_of_its_own_best_log_loss():
    mapping = spec_of(epochs=40, head_learning_rate=0.05).to_mapping()
    prior = {"dist": "Normal", "loc": 6.0, "scale": 0.7}
    mapping["targets"]["hardness"] = {"kind": "continuous", "prior": prior}
    spec = ModelSpec.from_mapping(mapping)

    def with_hardness(batch: AlloyBatch, seed: int) -> AlloyBatch:
        noise = torch.randn(len(batch), generator=torch.Generator().manual_seed(seed))
        targets = {**batch.targets, "hardness": (6 + 0.3 * batch.features[:, 1] + noise).exp()}
        return batch.replaced(targets=targets)

    validation = with_hardness(VALIDATION, 4)
    statistics = Statistics(
        torch.tensor([[-2.0, -0.7, 0.0, 0.7, 2.0]]).expand(FEATURES, 5).contiguous(),
        torch.zeros(FEATURES),
        torch.ones(FEATURES),
        {"hardness": (6.0, 1.0)},
    )
    torch.manual_seed(0)
    trainer = Trainer(AlloyModel(spec, E, statistics), with_hardness(DATA, 3), validation, 0)
    bounds, numbers, snapshots = [], [], []
    for record in trainer.epochs():
        snapshots.append(weights(trainer.model))
        with torch.no_grad():
            losses = label_loss(trainer.model.eval(), validation)
            outputs = trainer.model.head("hardness", trainer.model.head_inputs(validation), None)
        scale = outputs[..., 1].double().exp().log1p() + 0.01
        y = validation.targets["hardness"].log().double() - 6.0
        away = ((y - outputs[..., 0]) / scale).square().mean(0).numpy()
        factor = (4 + away.sum()) / (4 + len(away))  # by how much the labels are further off
        scaled = -norm.logpdf(np.sqrt(away), 0, np.sqrt(factor)).mean()
        numbers.append(torch.full((K,), scaled + float(scale.log().mean())))
        bounds.append(torch.tensor(record.elbo_loss) + losses["single_phase"])
        assert torch.tensor(record.log_loss).allclose(sum(losses.values()) / 2)
    of_number, of_the_rest = (torch.stack(loss).argmin(0) for loss in (numbers, bounds))
    assert (of_number < of_the_rest).all()
    trainer.keep_best()
    for name, parameter in trainer.model.named_parameters():
        for k in range(K):
            kept = of_number if name.startswith("heads.hardness.") else of_the_rest
            assert torch.equal(parameter[k], snapshots[kept[k]][name][k]), name


@pytest.mark.usefixtures("every_epoch")
def test_a_validation_loss_is_the_members_own_and_depends_on_the_weights_alone():
    trainer = trainer_of()
    records = list(trainer.epochs())
    model = trainer.model.eval()
    again = trainer._evaluate()
    assert again[0] == records[-1].elbo_loss
    assert again[1] == records[-1].log_loss
    y = VALIDATION.targets["single_phase"].numpy()
    with torch.no_grad():
        logits = model.head("single_phase", model.head_inputs(VALIDATION), None)[..., 0]
    for k in range(K):
        expected = log_loss(y, torch.sigmoid(logits[k]).double().numpy())
        assert records[-1].log_loss[k] == pytest.approx(expected, rel=1e-5)
        torch.manual_seed(0)
        bound = [float(elbo_loss(model.member(k), VALIDATION).detach()) for _ in range(40)]
        spread = np.std(bound) / len(VALIDATION)
        assert abs(np.mean(bound) / len(VALIDATION) - records[-1].elbo_loss[k]) < 5 * spread


def test_without_validation_the_last_weights_are_kept():
    trainer = trainer_of(validation=None)
    list(trainer.epochs())
    last = weights(trainer.model)
    trainer.keep_best()
    assert same(weights(trainer.model), last)


# Divergence.


def with_nan(batch: AlloyBatch, what: str) -> AlloyBatch:
    tensors = {"fractions": batch.fractions.clone(), "features": batch.features.clone()}
    unlabelled = int((~batch.labelled["single_phase"]).nonzero()[0])
    tensors[what][unlabelled, 0] = torch.nan
    return AlloyBatch(targets=batch.targets, labelled=batch.labelled, **tensors)


SITES = {
    "heads": "single_phase_unobserved' of the guide",
    "encoder": "z' of the guide",
    "flow": "z' of the guide",
    "decoder": "composition' of the model",
}


@pytest.mark.parametrize(
    ("what", "site"), [("fractions", SITES["encoder"]), ("features", SITES["heads"])]
)
def test_nan_in_the_data_names_the_site(what, site):
    trainer = trainer_of(data=with_nan(DATA, what))
    with pytest.raises(TrainingDivergedError, match=re.escape(f"site '{site} is not finite")):
        list(trainer.epochs())
    assert all(p.isfinite().all() for p in trainer.model.parameters())


def poison(model: AlloyModel, part: str) -> None:
    with torch.no_grad():
        next(getattr(model, part).parameters())[0].fill_(torch.nan)


@pytest.mark.parametrize("part", SITES)
def test_nan_in_the_weights_names_the_site_and_keeps_the_best_weights(part):
    trainer = trainer_of()
    epochs = trainer.epochs()
    records = [next(epochs) for _ in range(5)]
    assert all(records[-1].best)
    best = weights(trainer.model)
    next(epochs)
    poison(trainer.model, part)
    site = re.escape(f"site '{SITES[part]} is not finite")
    with pytest.raises(TrainingDivergedError, match=f"epoch 7.*{site}"):
        next(epochs)
    assert same(weights(trainer.model), best)


def gradients_go_wrong(monkeypatch, step: int) -> None:
    """Make every gradient NaN from that step on, which spoils the weights after it."""
    clip, calls = inference.clip_member_gradients, []

    def spoilt(parameters, largest):
        calls.append(1)
        if len(calls) > 2 * (step - 1):  # two groups of parameters a step
            for p in parameters:
                p.grad.fill_(torch.nan)
        clip(parameters, largest)

    monkeypatch.setattr(inference, "clip_member_gradients", spoilt)


@pytest.mark.parametrize("validation", [None, VALIDATION], ids=["none given", "too early"])
def test_nan_before_any_evaluation_keeps_finite_weights(monkeypatch, validation):
    gradients_go_wrong(monkeypatch, step=7)  # the first of the third epoch
    trainer = trainer_of(validation=validation)
    with pytest.raises(TrainingDivergedError, match="in epoch 3"):
        list(trainer.epochs())
    assert all(p.isfinite().all() for p in trainer.model.parameters())


def test_nan_in_the_last_step_is_no_success(monkeypatch):
    gradients_go_wrong(monkeypatch, step=2)
    trainer = trainer_of(spec_of(epochs=2, batch_size=100), validation=None)
    with pytest.raises(TrainingDivergedError):
        list(trainer.epochs())
    assert all(p.isfinite().all() for p in trainer.model.parameters())


@pytest.mark.usefixtures("every_epoch")
def test_a_validation_loss_that_is_nan_is_never_the_best():
    trainer = trainer_of(spec_of(patience=2))
    next(trainer.epochs())
    best = {n: t.clone() for n, t in trainer._best.items()}
    poison(trainer.model, "decoder")  # of member 0 alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pyro may say that it met NaN
        bounds, _, better = trainer._evaluate()
    assert math.isnan(bounds[0])
    assert math.isfinite(bounds[1])
    assert not better[0]
    assert all(torch.equal(trainer._best[n][0], best[n][0]) for n in best)


# It learns.


def test_the_loss_falls_and_the_labels_are_learnt():
    spec = spec_of(epochs=60, batch_size=32, jitter=0.0, head_learning_rate=0.02)
    data, validation = alloys(96, seed=3), alloys(64, seed=4, labelled=1.1)
    trainer = Trainer(model_of(spec), data, validation, seed=0)
    records = finish(trainer)
    losses = [r.loss for r in records]
    assert np.mean(losses[-5:]) < 0.8 * losses[0]
    bounds = np.array([r.elbo_loss for r in records if r.elbo_loss])
    assert (bounds[-1] < bounds[0]).all()
    model = trainer.model
    with torch.no_grad():
        logits = model.head("single_phase", model.head_inputs(validation), None)[..., 0]
    right = ((logits.mean(0) > 0) == (validation.targets["single_phase"] > 0)).float().mean()
    assert float(right) > 0.9
