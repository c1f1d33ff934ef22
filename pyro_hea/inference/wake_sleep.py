"""Wake-sleep: the encoder is trained alone, once the rest of the model is trained.

Reweighted wake-sleep (Hinton, Dayan, Frey and Neal, 1995; Le et al., Revisiting Reweighted
Wake-Sleep, 2019). In the sleep phase alloys are drawn from the model together with their z, and
the guide is fitted to that z; the encoder cannot overfit, for each step draws new alloys. In the
wake phase z of real alloys is drawn from a wider guide and weighted by importance. Both minimise
the divergence KL(posterior || guide), which makes the guide wide enough.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from pyro import poutine
from pyro.distributions import TransformedDistribution

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference.schedule import clip_member_gradients, jittered, one_cycle, steps_per_epoch
from pyro_hea.spec import VampPrior

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.model import AlloyModel
    from pyro_hea.program.targets import Values
    from pyro_hea.spec import Training

_SLEEP_SHARE, _WAKE_SHARE = 1 / 4, 1 / 8
"""Alloys of each phase in a step, as shares of a batch."""

_PARTICLES, _WIDENING = 10, 1.1
"""Importance draws of each real alloy, and their standard deviation in those of the guide."""


def train_encoder(model: AlloyModel, data: AlloyBatch, settings: Training, seed: int) -> None:
    """Train the encoder by wake-sleep; the rest of the model stays as it is.

    With a `VampPrior` nothing is done, for the encoder is a part of that prior.

    Parameters
    ----------
    model : AlloyModel
    data : AlloyBatch
        The training alloys.
    settings : Training
        `settings.wake_sleep` is the length, in shares of the epochs.
    seed : int
        The global random state is left as it was found.

    Raises
    ------
    TrainingDivergedError
        If a loss is not finite; the encoder is then as before, as after any other error.
    """
    steps = math.ceil(settings.wake_sleep * settings.epochs * steps_per_epoch(len(data), settings))
    if not steps or isinstance(model.spec.latent.prior, VampPrior):
        return
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    model.eval().requires_grad_(False)
    model.encoder.train().requires_grad_(True)
    try:
        with seeded(seed), unvalidated():
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
    asleep, awake = math.ceil(_SLEEP_SHARE * size), math.ceil(_WAKE_SHARE * size)
    total = torch.zeros((), device=data.features.device)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * one_cycle(step / steps)
        order = torch.randperm(len(data), device=total.device)
        of_features, real = order[:asleep], order[asleep : asleep + awake]
        loss = sleep_phase_loss(model, data.take(of_features)).mean(-1).sum()
        fractions = jittered(data.composition[real], settings.jitter)
        y_real = {name: value[:, real] for name, value in y.items()}
        loss = loss + wake_phase_loss(model, fractions, y_real).mean(-1).sum()
        optimizer.zero_grad()
        loss.backward()
        clip_member_gradients(encoder, settings.clip_norm)
        optimizer.step()
        total += loss.detach()
    if not total.isfinite():
        raise TrainingDivergedError(
            "wake-sleep diverged: the loss of the encoder is not finite. The encoder is left as it "
            "was before; lower training.learning_rate, or set training.wake_sleep: 0"
        )


def sleep_phase_loss(model: AlloyModel, batch: AlloyBatch) -> Tensor:
    """-log q(z | x, y) of alloys drawn from the model at the features of a batch, (K, N), nats."""
    unobserved = batch.replaced(
        fractions=None, targets={}, labelled={}, reports={}, report_half=None
    )
    with model.cached_flow():
        with torch.no_grad():
            sites: dict[str, Any] = dict(poutine.trace(model.model).get_trace(unobserved).nodes)
        y = {name: sites[name]["value"] for name in model.spec.target_names}
        q = model.latent_posterior(sites["composition"]["value"], y)
        return -q.log_prob(sites["z"]["value"])


def wake_phase_loss(
    model: AlloyModel, fractions: Tensor, y: Values, particles: int = _PARTICLES
) -> Tensor:
    """-log q(w | x, y) of real alloys, at importance draws of w.

    By the encoder's normal, before the flow: the flow is not trained, so the rest of log q(z) is
    constant.

    Parameters
    ----------
    model : AlloyModel
    fractions : Tensor, shape (N, E)
    y : mapping of str to Tensor of shape (K, N)
    particles : int

    Returns
    -------
    Tensor, shape (K, N)
        In nats; with many particles its mean is the cross-entropy of posterior and guide.
    """
    with model.cached_flow():
        q: Any = model.latent_posterior(fractions, y)
        flowed = isinstance(q, TransformedDistribution)
        normal, transforms = (q.base_dist, q.transforms) if flowed else (q, [])
        with torch.no_grad():
            narrow = normal.sample(torch.Size([particles]))
            w = z = normal.mean + _WIDENING * (narrow - normal.mean)
            log_weight = -normal.log_prob(narrow)  # that of w, up to a constant
            for transform in transforms:
                moved = transform(z)
                log_weight = log_weight + transform.log_abs_det_jacobian(z, moved)
                z = moved
            joint = model.latent_prior().log_prob(z) + model.likelihood(z, y).log_prob(fractions)
            weight = (joint + log_weight).softmax(0)
    return -(weight * normal.log_prob(w)).sum(0)
