"""A training state that does not fit the training is refused before anything of it is used."""

import pytest
import torch

from pyro_hea.errors import CheckpointError
from pyro_hea.inference import Trainer
from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import ModelSpec

SPEC = ModelSpec.from_mapping(
    {
        "latent": {"dim": 2, "flow": None},
        "head": {"hidden": [4]},
        "encoder": {"hidden": [4]},
        "decoder": {"hidden": [4]},
        "training": {"members": 2, "epochs": 4, "batch_size": 8, "distillation": None},
    }
)


def trainer() -> Trainer:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 3, generator=generator)
    y = (torch.arange(12) % 2).float()
    data = AlloyBatch(x / x.sum(-1, keepdim=True), x, {"single_phase": y}, {})
    edges = torch.tensor([[0.0, 0.5, 1.0]]).expand(3, 3).contiguous()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AlloyModel(SPEC, 3, Statistics(edges, torch.zeros(3), torch.ones(3)))
    return Trainer(model, data, None, 0)


@pytest.fixture(scope="module")
def state():
    trained = trainer()
    next(trained.epochs())
    return trained.state()


WEIGHT = "encoder.0.weight"
MOMENT = f"optimizer.exp_avg.{WEIGHT}"
CHANGES = {
    "a moment of another shape": (MOMENT, lambda t: t[..., :1], f"has '{MOMENT}' as .* of shape"),
    "a moment of another type": (MOMENT, torch.Tensor.double, "torch.float64"),
    "a step that is a row": (f"optimizer.step.{WEIGHT}", lambda t: t.view(1), "of shape"),
    "a weight of another shape": (f"weights.{WEIGHT}", lambda t: t[:1], "of shape"),
    "a best weight that is no number": (f"best.{WEIGHT}", lambda t: t * torch.nan, "is not finite"),
    "random numbers of another type": ("rng", torch.Tensor.float, "'rng' as torch.float32"),
    "random numbers of zeros": ("rng", torch.zeros_like, "'rng' of the training state is none"),
    "epochs that are a number with a point": ("epoch", torch.Tensor.float, "torch.float32"),
    "epochs below zero": ("epoch", lambda t: t - 5, "counts epochs"),
    "more epochs than there are": ("epoch", lambda t: t + 5, "counts epochs"),
    "patience below zero": ("stale", lambda t: t - 1, "counts epochs"),
    "a row less of losses": ("best_loss", lambda t: t[:, :1], "of shape"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_tensor_that_does_not_fit_is_refused(state, name):
    key, change, message = CHANGES[name]
    fresh = trainer()
    before = fresh.state()
    with pytest.raises(CheckpointError, match=message):
        fresh.restore({**state, key: change(state[key])})
    after = fresh.state()
    assert all(torch.equal(after[n], value) for n, value in before.items())


@pytest.mark.parametrize("key", ["epoch", "rng", f"weights.{WEIGHT}", MOMENT])
def test_a_tensor_that_is_missing_is_refused(state, key):
    with pytest.raises(CheckpointError, match=f"'{key}'|not all of optimizer"):
        trainer().restore({name: value for name, value in state.items() if name != key})


def test_a_tensor_that_is_unknown_is_refused(state):
    with pytest.raises(CheckpointError, match="an unknown tensor 'more'"):
        trainer().restore(state | {"more": torch.zeros(1)})


def test_a_state_of_a_cuda_device_is_continued(state):
    fresh = trainer()
    fresh.restore(state | {"cuda_rng.0": torch.zeros(16, dtype=torch.uint8)})
    again = fresh.state()
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], value) for name, value in state.items())
