"""Heads that have a teacher, trained by themselves before everything else.

The bound moves none of them, so that they need not wait for it: many small steps on alloys that
were never made cost less than their share in the steps of the whole model, and bring a network up
to what it is taught by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from pyro_hea.devices import seeded
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference.schedule import clip_by_member, one_cycle
from pyro_hea.program.sites import ContinuousSite

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.inference.teacher import Lessons
    from pyro_hea.program.model import AlloyModel

_MADE, _NEVER_MADE = 32, 224
"""Alloys of each kind in a step."""

_LEARNING_RATE, _WEIGHT_DECAY, _CLIP_NORM = 0.03, 0.01, 5.0


def learn(
    model: AlloyModel, lessons: Lessons, *, steps: int, share: float, seed: int, progress: bool
) -> None:
    """Train the heads that are taught, with the rest of the model as it is.

    Parameters
    ----------
    model : AlloyModel
    lessons : Lessons
    steps : int
    share : float
        Of the learning rate, 1 for a head that has learnt nothing yet.
    seed : int
        The global random state is left as it was found.
    progress : bool
        Show a progress bar.

    Raises
    ------
    TrainingDivergedError
        If a loss is not finite; the heads are then as before, as after any other error.
    """
    names = list(lessons.probabilities)
    before = {n: {k: v.clone() for k, v in model.heads[n].state_dict().items()} for n in names}
    try:
        with seeded(seed):
            _train(model, lessons, steps, share, progress)
    except BaseException:
        for name, state in before.items():
            model.heads[name].load_state_dict(state)
        raise


def _train(model: AlloyModel, lessons: Lessons, steps: int, share: float, progress: bool) -> None:
    heads = [p for name in lessons.probabilities for p in model.heads[name].parameters()]
    optimizer = torch.optim.AdamW(heads, weight_decay=_WEIGHT_DECAY, fused=True)
    device = lessons.alloys.features.device
    total = torch.zeros((), device=device)
    bar = tqdm(range(steps), desc="lessons", unit="step", disable=not progress)
    for step in bar:
        optimizer.param_groups[0]["lr"] = share * _LEARNING_RATE * one_cycle(step / steps)
        never = torch.randint(lessons.made, len(lessons.alloys), (_NEVER_MADE,), device=device)
        picked = torch.cat([torch.randint(lessons.made, (_MADE,), device=device), never])
        loss = lesson_loss(model, lessons, picked).mean(-1).sum()
        optimizer.zero_grad()
        loss.backward()
        clip_by_member(heads, _CLIP_NORM)
        optimizer.step()
        total += loss.detach()
    optimizer.zero_grad()
    if not total.isfinite():
        raise TrainingDivergedError(
            "the lessons of the heads diverged: their loss is not finite. The heads are left as "
            "they were before; look for features that are not finite, or set "
            "training.distillation: null"
        )


def lesson_loss(model: AlloyModel, lessons: Lessons, picked: Tensor) -> Tensor:
    """-Σ p log q of some of the alloys, where a teacher says p, summed over targets, (K, N)."""
    read = model.read(lessons.alloys.take(picked))
    losses = []
    for name, said in lessons.probabilities.items():
        site = model.site(name)
        assert not isinstance(site, ContinuousSite)
        q = site.log_classes(model.head(name, read, None), {})
        losses.append(-(said[:, picked] * q).sum(-1))
    return torch.stack(losses).sum(0)
