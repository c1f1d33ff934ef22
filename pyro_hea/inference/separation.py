"""Training of a separable latent by SVI, on the latent of a model that does not change."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from pyro.infer import TraceEnum_ELBO

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference.schedule import clip_member_gradients, one_cycle

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.program.separable import SeparableModel

_CLIP_NORM = 5.0

_ELBO = TraceEnum_ELBO(max_plate_nesting=2, strict_enumeration_warning=False)


def train_separation(
    model: SeparableModel,
    latent: Tensor,
    cluster: Tensor,
    seed: int,
    decode: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> list[float]:
    """Maximise the ELBO; the weights are changed in place.

    Parameters
    ----------
    model : SeparableModel
    latent : Tensor, shape (N, d)
    cluster : Tensor of int, shape (N,)
        -1 where it is unknown.
    seed : int
        Of the batches.
    decode : callable, optional
        From rows (B,) and latents (..., B, d) to the compositions of these at the targets of those.

    Returns
    -------
    list of float
        Loss of each step, nats per alloy.

    Raises
    ------
    TrainingDivergedError
        Where the loss is not finite.
    """
    spec, n = model.spec, len(latent)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=spec.weight_decay)
    parameters = [*model.flow.parameters()]
    size = min(spec.batch_size, n)
    losses = []
    with seeded(seed), unvalidated(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Encountered NaN")  # it is raised below
        model.flow.initialise(latent.unsqueeze(0))
        order = torch.empty(0, dtype=torch.int64)
        for step in range(spec.steps):
            if len(order) < size:
                order = torch.randperm(n)
            rows, order = order[:size].to(latent.device), order[size:]
            for group in optimizer.param_groups:
                group["lr"] = spec.learning_rate * one_cycle(step / spec.steps)
            shown = None if decode is None else partial(decode, rows[: size // 2])
            some = latent[rows], cluster[rows], n, shown
            loss = _ELBO.differentiable_loss(model.model, model.guide, *some) / size
            optimizer.zero_grad()
            loss.backward()
            clip_member_gradients(parameters, _CLIP_NORM)
            optimizer.step()
            losses.append(loss.detach())
    every = torch.stack(losses)
    if not every.isfinite().all():
        step = int((~every.isfinite()).nonzero()[0])
        raise TrainingDivergedError(
            f"the loss of the separable latent is not finite from step {step + 1} on; lower "
            "learning_rate, discrimination, bending or straightening"
        )
    return every.tolist()
