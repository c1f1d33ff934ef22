"""Collected by `test_fake_cuda` in a process of its own; see `fake_cuda`."""

import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from fake_cuda import FakeCuda  # before any backward pass

from pyro_hea import DisentangledVAE, ModelSpec, load_alloys
from pyro_hea.errors import ConstraintError


@pytest.fixture
def gpu():
    with FakeCuda() as device:
        yield device


# The fake itself, by planted faults.


@pytest.mark.parametrize(
    "fault",
    [
        lambda c, h: c + h,
        lambda c, h: torch.cat([c, h]),
        lambda c, h: h[c > 0],
        lambda c, h: c.numpy(),
        lambda c, h: np.asarray(c),
        lambda c, h: c.lerp(h, 0.5),
        lambda c, h: torch.where(c > 0, c, h),
        lambda c, h: torch.randn(3, device="cuda", generator=torch.Generator()),
    ],
)
def test_a_planted_fault_is_refused(gpu, fault):
    h = torch.ones(3)
    with pytest.raises((RuntimeError, TypeError)):
        fault(h.cuda(), h)


@pytest.mark.parametrize(
    ("planted", "waits"),
    [
        (lambda c: c.sum().item(), 1),
        (lambda c: c[c > 0], 1),
        (lambda c: c.cpu(), 1),
        (lambda c: bool((c > 0).all()), 1),
        (lambda c: c.unique(), 1),
        (lambda c: c + torch.tensor(1.0), 0),
        (lambda c: torch.where(c > 0, c, 0.0).sum(), 0),
        (lambda c: c.new_ones(3) * c, 0),
    ],
)
def test_a_planted_wait_is_counted(gpu, planted, waits):
    c = torch.ones(3).cuda()
    gpu.waits.clear()
    planted(c)
    assert sum(gpu.waits.values()) == waits


def test_values_and_gradients_are_those_of_the_cpu(gpu):
    x = torch.randn(4, 3)
    ours = x.cuda().requires_grad_()
    (ours @ ours.mT).logsumexp(0).sum().backward()
    theirs = x.clone().requires_grad_()
    (theirs @ theirs.mT).logsumexp(0).sum().backward()
    assert ours.grad.is_cuda
    torch.testing.assert_close(ours.grad.cpu(), theirs.grad)


# The library.

SMALL = {f"{network}__hidden": (4,) for network in ("head", "encoder", "decoder")}
SMALL |= {"training__members": 2, "training__epochs": 4, "latent__dim": 2}
SPECS = ["default", "published", "reports", "expert", "properties"]


def small(name):
    spec = ModelSpec.shipped(name)
    if spec.training.distillation is not None:
        few = {"synthetic_alloys": 50, "trees": 4, "steps": 5}
        spec = spec.with_(training__distillation=few)
    return spec.with_(**SMALL)


@pytest.fixture(scope="module")
def some():
    alloys = load_alloys(None)
    labels = alloys.labels[["phase", "hardness", "yield_strength"]].notna()
    return alloys.take(np.flatnonzero(labels.all(axis=1))[:24])


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", SPECS)
def test_every_answer_is_given_on_the_device(gpu, some, name, tmp_path):
    state = torch.cuda.get_rng_state()
    vae = DisentangledVAE(small(name)).fit(some, device="cuda", progress=False)
    assert vae.ensemble.device.type == "cuda"
    few = some.take([0, 3])
    device = vae.predict(few)
    vae.encode(few)
    vae.reconstruct(few)
    vae.prior_table()
    vae.prior_predictive(4)
    vae.posterior(few, draws=3)
    vae.posterior(few, draws=3, method="importance")
    vae.guide_table(few, draws=20)
    vae.label_evidence(few)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    vae.save(tmp_path)
    on_cpu = DisentangledVAE.load(tmp_path).predict(few)
    columns = device.select_dtypes("number").columns
    np.testing.assert_allclose(device[columns], on_cpu[columns], rtol=1e-4, atol=1e-5)
    again = DisentangledVAE.load(tmp_path, device="cuda").predict(few)
    np.testing.assert_allclose(again[columns], device[columns], rtol=1e-6)


def test_designs_are_made_on_the_device(gpu, some):
    vae = DisentangledVAE(small("default")).fit(some, device="cuda", progress=False)
    vae.design({"single_phase": 1}, n=2)
    vae.scan(some.formulas[:2], {"single_phase": 1}, points=3)
    with suppress(ConstraintError):  # so small a model may find no way, after the whole walk
        vae.invert(some.formulas[0], {"single_phase": 1}, confidence=0.1)


@pytest.mark.parametrize(("first", "second"), [("cuda", "cuda"), ("cpu", "cuda"), ("cuda", "cpu")])
def test_a_training_is_resumed_on_any_device(gpu, some, tmp_path, first, second):
    from itertools import islice

    from pyro_hea.fitting import TrainingRun

    spec = small("default")
    options = {"seed": 0, "folder": tmp_path, "progress": False}
    run = TrainingRun.prepare(spec, some, None, device=torch.device(first), resume=False, **options)
    run.records.extend(islice(run.trainer.epochs(), 2))
    run.save()
    resumed = TrainingRun.prepare(
        spec, some, None, device=torch.device(second), resume=True, **options
    )
    resumed.train(progress=False)
    assert len(resumed.records) == 4
    if first == second:
        for _ in run.trainer.epochs():
            pass
        run.trainer.keep_best()
        for name, value in run.ensemble.model.named_parameters():
            if not name.startswith("encoder"):  # which wake-sleep trains afterwards
                assert torch.equal(value, resumed.ensemble.model.get_parameter(name)), name


@pytest.mark.parametrize("name", SPECS)
def test_an_epoch_never_waits_for_the_device(gpu, some, name):
    from pyro_hea.fitting import TrainingRun

    device = torch.device("cuda")
    options = {"device": device, "folder": None, "resume": False, "progress": False}
    unlabelled = load_alloys(None).take(slice(0, 900, 60))
    run = TrainingRun.prepare(small(name), some + unlabelled, None, seed=0, **options)
    gpu.waits.clear()
    gpu.kernels.clear()
    run.trainer._train_epoch()
    print(f"{name}: {gpu.kernels.total() / 3:.0f} kernels a step")
    assert not gpu.waits
