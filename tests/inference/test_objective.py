"""The bound against Pyro's own, on the shipped specs and on alloys most of which lack labels."""

import pytest
import torch
from pyro.infer import TraceEnum_ELBO

from pyro_hea import ModelSpec, load_alloys
from pyro_hea.fitting import TrainingRun
from pyro_hea.inference import elbo_loss
from pyro_hea.inference.objective import known_labels, label_patterns, without_masks

PYROS = TraceEnum_ELBO(max_plate_nesting=2, strict_enumeration_warning=False)
SMALL = {f"{network}__hidden": (4,) for network in ("head", "encoder", "decoder")}
SMALL |= {"training__members": 2, "latent__dim": 2}


@pytest.fixture(params=["default", "published", "reports", "expert", "properties"])
def trainer(request):
    """Of a shipped spec, on a few alloys of each combination of labels that are known."""
    spec = ModelSpec.shipped(request.param).with_(**SMALL)
    if spec.training.distillation is not None:
        spec = spec.with_(training__distillation={"synthetic_alloys": 50, "trees": 4, "steps": 5})
    alloys = load_alloys(None)
    known = alloys.labels[["single_phase", "phase", "hardness", "yield_strength"]].notna()
    some = alloys.take(known.groupby([*known]).head(3).index.map(known.index.get_loc))
    options = {"device": torch.device("cpu"), "folder": None, "resume": False, "progress": False}
    return TrainingRun.prepare(spec, some, None, seed=0, **options).trainer


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)  # Pyro makes a site of single precision otherwise
    yield
    torch.set_default_dtype(torch.float32)


def bound_and_gradients(model, loss):
    model.zero_grad()
    torch.manual_seed(0)
    value = loss()
    value.backward()
    return value.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def test_the_bound_and_its_gradients_are_those_of_enumeration_by_pyro(trainer, double):
    model = trainer.model.double()
    data = trainer.data.map(lambda t: t.double() if t.is_floating_point() else t)
    patterns, known = label_patterns(model, data), known_labels(data)
    parts = [data]  # with every mask, then without
    for pattern in patterns.unique():
        rows = (patterns == pattern).nonzero()[:, 0]
        parts.append(without_masks(data.take(rows), {n: mask[rows] for n, mask in known.items()}))
    for part in parts:
        ours = bound_and_gradients(model, lambda some=part: elbo_loss(model, some))
        theirs = bound_and_gradients(
            model, lambda some=part: PYROS.differentiable_loss(model.model, model.guide, some)
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
