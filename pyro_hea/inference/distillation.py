"""Distillation: heads learn the predictions of a teacher, before all other training.

The ELBO does not move these heads. So they are trained alone, in many small steps on synthetic
alloys, which cost less than as many steps of the whole model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from tqdm.auto import tqdm

from pyro_hea.devices import seeded
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference.schedule import clip_member_gradients, one_cycle
from pyro_hea.program.sites import ContinuousSite

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pyro_hea.inference.distillation_set import DistillationSet
    from pyro_hea.program.model import AlloyModel

_REAL, _SYNTHETIC = 32, 224
"""Alloys of each kind in a step."""

_LEARNING_RATE, _WEIGHT_DECAY, _CLIP_NORM = 0.03, 0.01, 5.0


def distil_heads(
    model: AlloyModel,
    data: DistillationSet,
    *,
    steps: int,
    rate: float = 1.0,
    seed: int,
    progress: bool,
) -> None:
    """Train the heads that have a teacher; the rest of the model stays as it is.

    Parameters
    ----------
    model : AlloyModel
    data : DistillationSet
    steps : int
    rate : float
        Factor on the learning rate; 1 for heads with their first weights.
    seed : int
        The global random state is left as it was found.
    progress : bool
        Show a progress bar.

    Raises
    ------
    TrainingDivergedError
        If a loss is not finite; the heads are then as before, as after any other error.
    """
    learning = _modules(model, data)
    before = [{k: v.clone() for k, v in module.state_dict().items()} for module in learning]
    try:
        with seeded(seed):
            _train(model, data, steps, rate, progress)
    except BaseException:
        for module, state in zip(learning, before, strict=True):
            module.load_state_dict(state)
        raise


def _train(
    model: AlloyModel, data: DistillationSet, steps: int, rate: float, progress: bool
) -> None:
    heads = [p for module in _modules(model, data) for p in module.parameters()]
    optimizer = torch.optim.AdamW(heads, weight_decay=_WEIGHT_DECAY, fused=True)
    device = data.alloys.features.device
    total = torch.zeros((), device=device)
    for step in tqdm(range(steps), desc="distillation", unit="step", disable=not progress):
        optimizer.param_groups[0]["lr"] = rate * _LEARNING_RATE * one_cycle(step / steps)
        synthetic = torch.randint(data.real, len(data.alloys), (_SYNTHETIC,), device=device)
        rows = torch.cat([torch.randint(data.real, (_REAL,), device=device), synthetic])
        loss = distillation_loss(model, data, rows).mean(-1).sum()
        optimizer.zero_grad()
        loss.backward()
        clip_member_gradients(heads, _CLIP_NORM)
        optimizer.step()
        total += loss.detach()
    optimizer.zero_grad()
    if not total.isfinite():
        raise TrainingDivergedError(
            "distillation diverged: the loss of the heads is not finite. The heads are left as "
            "they were before; look for features that are not finite, or set "
            "training.distillation: null"
        )


def distillation_loss(model: AlloyModel, data: DistillationSet, rows: Tensor) -> Tensor:
    """Cross-entropy -E_p log q with the teacher's p at some rows, summed over targets, (K, N).

    Of a number, p is normal with the teacher's mean and standard deviation.
    """
    alloys = data.alloys.take(rows)
    inputs = model.head_inputs(alloys)
    losses = []
    for name in model.spec.distilled_targets:
        site = model.site(name)
        if isinstance(site, ContinuousSite):
            mean, sd = data.moments[name][:, rows].unbind(-1)
            q = site.normal(model.head(name, inputs, model.conditioned(name, {}, alloys)))
            losses.append(-q.log_prob(mean) + (sd / q.scale).square() / 2)
        elif name in data.probabilities:
            context = model.conditioned(name, {}, alloys)
            log_q = site.log_classes(model.head(name, inputs, context), {})
            losses.append(-(data.probabilities[name][:, rows] * log_q).sum(-1))
    return torch.stack(losses).sum(0)


def _modules(model: AlloyModel, data: DistillationSet) -> list[nn.Module]:
    """Heads that learn, and sites of numbers, which may hold their scale."""
    heads = [model.heads[name] for name in (*data.probabilities, *data.moments)]
    return [*heads, *(cast("nn.Module", model.site(name)) for name in data.moments)]
