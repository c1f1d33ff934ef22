"""Heads that learn from labels before all other training, and from trees where these are few."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from tqdm.auto import tqdm

from pyro_hea.devices import seeded
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference.head_teacher import teacher_loss, teacher_of
from pyro_hea.inference.objective import has_label, head_loss, known_values
from pyro_hea.inference.schedule import clip_member_gradients, one_cycle, steps_per_epoch
from pyro_hea.program.sites import ContinuousSite

if TYPE_CHECKING:
    from torch import nn

    from pyro_hea.inference.head_teacher import Teacher
    from pyro_hea.program.crystal_batch import CrystalInputs
    from pyro_hea.program.crystals import CrystalModel


def train_heads(
    model: CrystalModel, data: CrystalInputs, *, epochs: int, seed: int, progress: bool
) -> None:
    """Train the head of each target on its labels; the rest of the model stays as it is.

    A head takes as many steps as it has batches of labels, which cost a fraction of a step of the
    whole model. With a teacher it takes twice as many, and also learns what trees say of crystals
    without a label; see `teacher_of`. Labels of `data.label_folds` are withheld as in all other
    training. The log loss of a number is weighted with the predicted standard deviation, without
    gradient, so that labels that are predicted badly do not count for nothing: Seitzer et al., On
    the pitfalls of heteroscedastic uncertainty estimation (2022), β = 1/2.

    Parameters
    ----------
    model : CrystalModel
    data : CrystalInputs
    epochs : int
        Passes over the labels of each target.
    seed : int
        The global random state is left as it was found.
    progress : bool
        Show a progress bar.

    Raises
    ------
    TrainingDivergedError
        If a loss is not finite.
    """
    names = [target.name for target in model.targets]
    with seeded(seed):
        teachers = {
            name: teacher_of(
                model, data, name, partial(_train_head, model, name=name, epochs=epochs)
            )
            for name in names
        }
    with seeded(seed), tqdm(total=len(names) * epochs, desc="heads", disable=not progress) as bar:
        for name in names:  # in the order in which targets are given others
            _train_head(model, data, name, epochs, teachers[name], bar)


def _train_head(
    model: CrystalModel,
    data: CrystalInputs,
    name: str,
    epochs: int,
    teacher: Teacher | None = None,
    bar: tqdm[Any] | None = None,
) -> None:
    settings, rows = model.spec.training, has_label(data, name).nonzero()[:, 0]
    site = model.site(name)
    modules = model.heads[name], cast("nn.Module", site)
    parameters = [p for module in modules for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=settings.head_weight_decay, fused=True)
    steps, passes = steps_per_epoch(len(rows), settings), epochs * (1 if teacher is None else 2)
    total = torch.zeros((), device=rows.device)
    model.train()
    for epoch in range(passes):
        order = rows[torch.randperm(len(rows)).to(rows.device)]
        for step, some in enumerate(order.tensor_split(steps)):
            done = (epoch * steps + step) / (passes * steps)
            optimizer.param_groups[0]["lr"] = settings.head_learning_rate * one_cycle(done)
            batch = data.take(some)
            known = known_values(model, batch, name)
            given = model.conditioned(name, known.contexts, batch)
            outputs = model.head(name, model.head_inputs(batch), given)
            loss = head_loss(model, batch, name, outputs, known.values)
            if isinstance(site, ContinuousSite):
                loss = loss * site.normal(outputs).scale.detach()
            loss = loss.mean(-1).sum()
            if teacher is not None:
                loss = loss + teacher_loss(model, data, name, teacher).mean(-1).sum()
            optimizer.zero_grad()
            loss.backward()
            clip_member_gradients(parameters, settings.clip_norm)
            optimizer.step()
            total += loss.detach()
        if bar is not None:
            bar.update(epochs / passes)
    model.eval()
    optimizer.zero_grad()
    if not math.isfinite(float(total)):
        raise TrainingDivergedError(
            f"the head of '{name}' diverged: its loss is not finite. Lower "
            "training.head_learning_rate or training.clip_norm"
        )
