"""The guide by itself, once the model is trained: the encoder learns to invert the decoder.

The sleep phase of the wake-sleep algorithm (Hinton, Dayan, Frey and Neal, 1995; Le et al.,
Revisiting Reweighted Wake-Sleep, 2019): alloys are dreamt, drawn from the model with all that is
hidden in them, and the guide is to find that again. There are as many of them as one likes, so
that the encoder cannot know them by heart. Real alloys are rare among them: on the training alloys
z is found by weighing draws of the guide. With both the divergence of the posterior from the guide
is minimised, which makes the guide wide enough.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyro
import torch
from pyro import poutine
from pyro.distributions import TransformedDistribution

from pyro_hea.devices import seeded
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference.schedule import clip_by_member, jittered, one_cycle, steps_of
from pyro_hea.spec import VampPrior

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.alloys.dataset import AlloyBatch
    from pyro_hea.program.model import AlloyModel
    from pyro_hea.program.targets import Values
    from pyro_hea.spec import Training

_DREAMT, _AWAKE = 1 / 4, 1 / 8
"""Alloys of each kind in a step, in shares of a batch; each of the latter is drawn for often."""

_PARTICLES, _WIDER = 10, 1.1
"""Draws that are weighed of a real alloy, and how much wider than the guide they are."""


def sleep(model: AlloyModel, data: AlloyBatch, settings: Training, seed: int) -> None:
    """Train the encoder alone, with the rest of the model as it is.

    Nothing is done with a `VampPrior`, of which the encoder is a part.

    Parameters
    ----------
    model : AlloyModel
    data : AlloyBatch
        The training alloys.
    settings : Training
        `settings.sleep` says how long.
    seed : int
        The global random state is left as it was found.

    Raises
    ------
    TrainingDivergedError
        If a loss is not finite; the encoder is then as before, as after any other error.
    """
    steps = math.ceil(settings.sleep * settings.epochs * steps_of(len(data), settings))
    if not steps or isinstance(model.spec.latent.prior, VampPrior):
        return
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    model.eval().requires_grad_(False)
    model.encoder.train().requires_grad_(True)
    try:
        with (
            seeded(seed),
            pyro.validation_enabled(False),
        ):
            _train(model, data, settings, steps)
    except BaseException:
        model.encoder.load_state_dict(before)
        raise
    finally:
        model.eval().requires_grad_(True)


def _train(model: AlloyModel, data: AlloyBatch, settings: Training, steps: int) -> None:
    encoder = list(model.encoder.parameters())
    optimizer = torch.optim.AdamW(encoder, weight_decay=settings.weight_decay, fused=True)
    with torch.no_grad():
        y = {
            n: v.expand(model.members, len(data)) for n, v in model.guide(data).items() if n != "z"
        }
    size = min(settings.batch_size, len(data))
    dreams, awakes = math.ceil(_DREAMT * size), math.ceil(_AWAKE * size)
    total = torch.zeros((), device=data.features.device)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * one_cycle(step / steps)
        order = torch.randperm(len(data), device=total.device)
        dreamt, real = order[:dreams], order[dreams : dreams + awakes]
        loss = dream_loss(model, data.take(dreamt)).mean(-1).sum()
        fractions = jittered(data.composition[real], settings.jitter)
        awake = wake_loss(model, fractions, {n: v[:, real] for n, v in y.items()})
        loss = loss + awake.mean(-1).sum()
        optimizer.zero_grad()
        loss.backward()
        clip_by_member(encoder, settings.clip_norm)
        optimizer.step()
        total += loss.detach()
    if not total.isfinite():
        raise TrainingDivergedError(
            "the sleep of the encoder diverged: its loss is not finite. The encoder is left as it "
            "was before; lower training.learning_rate, or set training.sleep: 0"
        )


def dream_loss(model: AlloyModel, batch: AlloyBatch) -> Tensor:
    """-log q(z | x, y) of alloys dreamt with the features of a batch, (K, N), in nats."""
    awake = batch.replaced(fractions=None, targets={}, labelled={}, reports={}, half=None)
    with model.one_pass():
        with torch.no_grad():
            sites: dict[str, Any] = dict(poutine.trace(model.model).get_trace(awake).nodes)
        y = {name: sites[name]["value"] for name in model.spec.target_names}
        q = model.latent_posterior(sites["composition"]["value"], y)
        return -q.log_prob(sites["z"]["value"])


def wake_loss(
    model: AlloyModel, fractions: Tensor, y: Values, particles: int = _PARTICLES
) -> Tensor:
    """-log q(w | x, y) of real alloys, where w is drawn wide and weighed by the model.

    By the encoder's normal, before the flow, which is not trained: of what `q` says of z, this is
    the part that an encoder can change.

    Parameters
    ----------
    model : AlloyModel
    fractions : Tensor, shape (N, E)
    y : mapping of str to Tensor of shape (K, N)
    particles : int

    Returns
    -------
    Tensor, shape (K, N)
        In nats; its mean is the cross-entropy of guide and posterior as the particles become many.
    """
    with model.one_pass():
        q: Any = model.latent_posterior(fractions, y)
        pushed = isinstance(q, TransformedDistribution)
        normal, transforms = (q.base_dist, q.transforms) if pushed else (q, [])
        with torch.no_grad():
            narrow = normal.sample(torch.Size([particles]))
            w = z = normal.mean + _WIDER * (narrow - normal.mean)
            log_weight = -normal.log_prob(narrow)  # of w too, but for a constant
            for transform in transforms:
                moved = transform(z)
                log_weight = log_weight + transform.log_abs_det_jacobian(z, moved)
                z = moved
            joint = model.latent_prior().log_prob(z) + model.likelihood(z, y).log_prob(fractions)
            weight = (joint + log_weight).softmax(0)
    return -(weight * normal.log_prob(w)).sum(0)
