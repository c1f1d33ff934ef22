"""Where the time of a training step goes, and what its matrix products alone would take.

A step is timed as a whole. Then each network is run alone, forwards and backwards, on inputs of the
shapes that it had in that step, and so are its matrix products without anything round them. What
is left of the step is the program: Pyro's traces, log probabilities, sums over labels, batches.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from pyro_hea.devices import synchronize
from pyro_hea.inference import steps_per_epoch
from pyro_hea.program.networks import MLP, MemberLinear

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pyro_hea.fitting import TrainingRun

_EPOCHS = 5
_REPEATS = 15

Calls = Counter[tuple[str, torch.Size, bool]]
"""How often each network was called on an input of each shape, and whether to be moved by it."""


def step_profile(run: TrainingRun) -> dict[str, float]:
    """Milliseconds of a step by part.

    Parameters
    ----------
    run : TrainingRun
        Prepared; some of its epochs are trained.

    Returns
    -------
    dict of str to float
        `step`, the whole; `heads` (forwards alone where they have a teacher), `encoder`, `decoder`
        and `flow`, forwards and backwards; `optimiser`; `program`, the rest; `matrix products`,
        those of the networks alone, which is the floor.
    """
    model, trainer = run.ensemble.model, run.trainer
    steps = steps_per_epoch(len(trainer.data), model.spec.training)
    epochs = trainer.epochs()
    calls = _calls(model, partial(next, epochs))
    seconds = [_seconds(partial(next, epochs)) for _ in range(_EPOCHS)]
    whole = 1e3 * median(seconds) / steps
    networks = dict(model.named_modules())
    parts, floor = dict.fromkeys(("heads", "encoder", "decoder", "flow"), 0.0), 0.0
    for (name, shape, moved), count in calls.items():
        network = networks[name]
        x = torch.randn(shape, device=trainer.data.features.device)
        share = count / steps
        work = partial(_both_ways if moved else _forwards, network, x)
        parts[name.partition(".")[0]] += share * _milliseconds(work)
        floor += share * _milliseconds(partial(_products, network, x, moved))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    parts["optimiser"] = _milliseconds(optimiser.step)
    rest = whole - sum(parts.values())
    return {"step": whole, **parts, "program": rest, "matrix products": floor}


def _calls(model: nn.Module, work: Callable[[], Any]) -> Calls:
    """Which networks are called on what while some work is done that trains them."""
    calls: Calls = Counter()

    def count(name: str, module: nn.Module, inputs: tuple[Tensor | None, ...]) -> None:
        if module.training:  # evaluations are no part of a step
            shape = _joined(*(x.shape for x in inputs if x is not None))
            calls[name, shape, torch.is_grad_enabled()] += 1

    hooks = [
        module.register_forward_pre_hook(partial(count, name))
        for name, module in model.named_modules()
        if isinstance(module, MLP)
    ]
    try:
        work()
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _joined(*shapes: torch.Size) -> torch.Size:
    """Shape of inputs of which some may come in branches."""
    batch = torch.broadcast_shapes(*(shape[:-1] for shape in shapes))
    return torch.Size([*batch, sum(shape[-1] for shape in shapes)])


def _both_ways(network: nn.Module, x: Tensor) -> None:
    x = x.requires_grad_()
    network(x).sum().backward()


@torch.no_grad()
def _forwards(network: nn.Module, x: Tensor) -> None:
    network(x)


@torch.no_grad()
def _products(network: nn.Module, x: Tensor, moved: bool) -> None:
    """The product of each layer and, where it is moved, the two of its gradients."""
    for layer in network.modules():
        if isinstance(layer, MemberLinear):
            y = x @ layer.weight
            if moved:
                y @ layer.weight.mT  # for the gradient of x
                x.mT @ y  # for that of the weight
            x = y


def _milliseconds(work: Callable[[], Any]) -> float:
    return 1e3 * median(_seconds(work) for _ in range(_REPEATS))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start
