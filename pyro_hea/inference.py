"""Stochastic variational inference: one loop, resumable at any epoch, each member stopped alone.

The loss of an epoch is the members' summed ELBO (unlabelled targets summed out exactly) and,
weighted by `label_weight`, the log loss of their heads on labelled alloys.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pyro_hea.errors import TrainingDivergedError
from pyro_hea.model import MEMBERS_DIM

if TYPE_CHECKING:
    from pyro_hea.dataset import AlloyBatch
    from pyro_hea.model import AlloyModel

EVALUATE_EVERY = 5
"""Epochs between evaluations on the validation alloys."""

_WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""

_VALIDATION_SEED = 0
"""Of the noise in a validation loss: evaluations differ by the weights alone."""


_ELBO = TraceEnum_ELBO(max_plate_nesting=2, strict_enumeration_warning=False)
"""Unlabelled discrete targets are summed out; where none is, there is nothing to enumerate."""


def elbo_loss(model: AlloyModel, batch: AlloyBatch) -> Tensor:
    """Negative ELBO, summed over members and alloys, in nats, with its gradient."""
    return _ELBO.differentiable_loss(model.model, model.guide, batch)


def label_loss(model: AlloyModel, batch: AlloyBatch) -> dict[str, Tensor]:
    """Log loss of each head on labelled alloys, (K,) a target that has any, nats per label."""
    embedded = model.embedding(batch.features)
    losses = {}
    for name, labels in batch.targets.items():
        logits = model.target_logits(name, embedded)
        loss = binary_cross_entropy_with_logits(logits, labels.expand_as(logits), reduction="none")
        known = batch.known(name)
        if known.any():
            losses[name] = (loss * known).sum(-1) / known.sum()
    return losses


class EpochRecord(NamedTuple):
    """What one epoch did; per-member values are None where nothing was evaluated."""

    epoch: int
    loss: float
    """Training loss, mean over members, nats per alloy."""
    elbo_loss: list[float] | None
    """Negative ELBO of each member on the validation alloys, nats per alloy."""
    log_loss: list[float] | None
    """Log loss of each member's heads on the validation labels, nats per label."""
    best: list[bool] | None
    """Whether each member is better than at any evaluation before."""


class Trainer:
    """Trains a model on one batch of data that stays on its device.

    Parameters
    ----------
    model : AlloyModel
    data : AlloyBatch
        All training alloys, labelled and unlabelled.
    validation : AlloyBatch, optional
        Alloys whose loss decides when a member stops and which weights it keeps; without them
        the last weights are kept.
    seed : int
        Of shuffling, jitter, mixup, dropout and the noise of the ELBO.

    Notes
    -----
    The global random state is left as it was found. `state` after any epoch and `restore`
    continue to the same bits as a run without interruption (on a CPU).
    """

    def __init__(
        self, model: AlloyModel, data: AlloyBatch, validation: AlloyBatch | None, seed: int
    ) -> None:
        self.model, self.data, self.validation = model, data, validation
        self.settings = model.spec.training
        self.device = data.features.device
        self.epoch = 0
        heads = list(model.heads.parameters())
        rest = [p for name, p in model.named_parameters() if not name.startswith("heads.")]
        self._groups = [heads, rest]
        s = self.settings
        self._peaks = [s.head_learning_rate, s.learning_rate]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": heads, "weight_decay": s.head_weight_decay},
                {"params": rest, "weight_decay": s.weight_decay},
            ]
        )
        self._labelled = {name: data.known(name).nonzero()[:, 0] for name in data.targets}
        self._best = {n: p.detach().clone() for n, p in model.named_parameters()}
        self._best_loss = torch.full((model.members,), math.inf, dtype=torch.float64)
        self._stale = torch.zeros(model.members, dtype=torch.int64)
        with torch.random.fork_rng(self._cuda_devices()):
            torch.manual_seed(seed)
            self._keep_random_state()

    # The loop.

    def epochs(self) -> Iterator[EpochRecord]:
        """Train epoch by epoch until the last, or until every member has stopped.

        Raises
        ------
        TrainingDivergedError
            Naming the site that stopped being finite; the best weights are kept.
        """
        while self.epoch < self.settings.epochs and not self._all_stopped():
            before = self.state()
            try:
                record = self._epoch()
            except BaseException as error:  # an interrupt too: half an epoch cannot be continued
                self.restore(before)
                if isinstance(error, TrainingDivergedError):
                    self.keep_best()
                raise
            yield record

    def _epoch(self) -> EpochRecord:
        with warnings.catch_warnings():  # Pyro's own word for what is raised below
            warnings.filterwarnings("ignore", "Encountered NaN")
            loss = self._train_epoch()
        for name, parameter in self.model.named_parameters():
            if not parameter.isfinite().all():
                raise self._diverged(f"the gradient of {name}")
        self.epoch += 1
        due = self.epoch % EVALUATE_EVERY == 0 or self.epoch == self.settings.epochs
        if self.validation is None or not due:
            return EpochRecord(self.epoch, loss, None, None, None)
        return EpochRecord(self.epoch, loss, *self._evaluate(self.validation))

    def keep_best(self) -> None:
        """Give each member the weights of its best evaluation."""
        if self.validation is not None and self._best_loss.isfinite().any():
            self.model.load_state_dict(self._best, strict=False)
        self.model.eval()

    def _train_epoch(self) -> float:
        steps = math.ceil(len(self.data) / self.settings.batch_size)
        total = 0.0
        self.model.train()
        with self._own_randomness(), pyro.validation_enabled(False):
            order = torch.randperm(len(self.data), device=self.device)
            for step, rows in enumerate(order.tensor_split(steps)):
                self._set_learning_rate(
                    (self.epoch * steps + step) / (self.settings.epochs * steps)
                )
                batch = self._jittered(self.data.map(lambda t, rows=rows: t[rows]))
                loss = elbo_loss(self.model, batch) / len(batch)
                loss = loss + self.settings.label_weight * self._mixed_label_loss(batch)
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise self._diverged(_faulty_site(self.model, batch))
                self._optimizer.zero_grad()
                loss.backward()
                for group in self._groups:
                    clip_by_member(group, self.settings.clip_norm)
                self._optimizer.step()
                total += value
        return total / steps / self.model.members

    def _diverged(self, what: str) -> TrainingDivergedError:
        return TrainingDivergedError(
            f"training diverged in epoch {self.epoch + 1}: {what} is not finite. The best weights "
            "before it are kept; lower training.learning_rate or training.clip_norm"
        )

    def _set_learning_rate(self, progress: float) -> None:
        """One cycle: a linear rise, then a cosine to zero."""
        if progress < _WARM_UP:
            factor = progress / _WARM_UP
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = factor * peak

    def _jittered(self, batch: AlloyBatch) -> AlloyBatch:
        """Compositions with a share of their atoms redistributed among the elements present."""
        share, x = self.settings.jitter, batch.fractions
        if x is None or not share:
            return batch
        weights = torch.empty_like(x).exponential_() * (x > 0)
        moved = weights / weights.sum(-1, keepdim=True)
        mixed = (1 - share) * x + share * moved
        return type(batch)(mixed, batch.features, batch.targets, batch.labelled)

    def _mixed_label_loss(self, batch: AlloyBatch) -> Tensor:
        """Log loss of the heads on labelled alloys mixed with others, summed over the members."""
        mixup, model = self.settings.mixup, self.model
        embedded = model.embedding(batch.features)
        loss = embedded.new_zeros(())
        for name, labels in batch.targets.items():
            rows = self._labelled[name]
            if not len(rows):
                continue
            inputs, soft = embedded, labels
            if mixup:
                other = rows[torch.randint(len(rows), (len(batch),), device=self.device)]
                share = torch.distributions.Beta(mixup, mixup).sample((len(batch), 1))
                share = share.to(embedded)
                inputs = embedded.lerp(model.embedding(self.data.features[other]), share)
                soft = labels.lerp(self.data.targets[name][other], share[:, 0])
            logits = model.target_logits(name, inputs)
            nats = binary_cross_entropy_with_logits(
                logits, soft.expand_as(logits), reduction="none"
            )
            nats = nats * batch.known(name)
            # Per labelled alloy of the whole data, so that each label weighs the same in any batch.
            loss = loss + nats.sum() * len(self.data) / len(rows) / len(batch)
        return loss

    # Stopping, member by member.

    @torch.no_grad()
    def _evaluate(self, validation: AlloyBatch) -> tuple[list[float], list[float], list[bool]]:
        self.model.eval()
        with torch.random.fork_rng(self._cuda_devices()), pyro.validation_enabled(False):
            bounds = []
            for index in range(self.model.members):
                torch.manual_seed(_VALIDATION_SEED)
                member = self.model.member(index)
                bounds.append(_ELBO.loss(member.model, member.guide, validation) / len(validation))
            losses = label_loss(self.model, validation)
            log_loss = sum(losses.values(), torch.zeros(self.model.members)) / max(len(losses), 1)
        loss = torch.tensor(bounds, dtype=torch.float64) + log_loss.cpu().double()
        better = (loss < self._best_loss) & ~self._stopped()
        self._best_loss = self._best_loss.where(~better, loss)
        self._stale = (self._stale + 1).masked_fill(better, 0)
        chosen = better.to(self.device)
        for name, parameter in self.model.named_parameters():
            mask = chosen.view(-1, *[1] * (parameter.dim() - 1))
            self._best[name] = torch.where(mask, parameter.detach(), self._best[name])
        return bounds, log_loss.tolist(), better.tolist()

    def _stopped(self) -> Tensor:
        return self._stale >= self.settings.patience

    def _all_stopped(self) -> bool:
        return bool(self._stopped().all())

    # Randomness and state.

    def _cuda_devices(self) -> list[torch.device]:
        return [self.device] if self.device.type == "cuda" else []

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Run with the trainer's random state, and keep where it got to."""
        with torch.random.fork_rng(self._cuda_devices()):
            torch.set_rng_state(self._rng)
            for device, state in zip(self._cuda_devices(), self._cuda_rng, strict=True):
                torch.cuda.set_rng_state(state, device)
            yield
            self._keep_random_state()

    def _keep_random_state(self) -> None:
        self._rng = torch.get_rng_state()
        self._cuda_rng = [torch.cuda.get_rng_state(d) for d in self._cuda_devices()]

    def state(self) -> dict[str, Tensor]:
        """Everything that `restore` needs to continue, as named tensors."""
        tensors = {f"weights.{n}": p.detach() for n, p in self.model.named_parameters()}
        tensors |= {f"best.{n}": p for n, p in self._best.items()}
        for n, p in self.model.named_parameters():
            for key, value in self._optimizer.state[p].items():
                tensors[f"optimizer.{key}.{n}"] = value
        tensors["epoch"] = torch.tensor(self.epoch)
        tensors["best_loss"], tensors["stale"] = self._best_loss, self._stale
        tensors["rng"] = self._rng
        for index, state in enumerate(self._cuda_rng):
            tensors[f"cuda_rng.{index}"] = state
        return {name: value.clone().contiguous() for name, value in tensors.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from a `state`."""
        tensors = {name: value.clone() for name, value in tensors.items()}
        self._optimizer.state.clear()
        for n, p in self.model.named_parameters():
            p.data.copy_(tensors[f"weights.{n}"])
            self._best[n] = tensors[f"best.{n}"].to(self.device)
            if f"optimizer.step.{n}" in tensors:
                self._optimizer.state[p] = {
                    "step": tensors[f"optimizer.step.{n}"],
                    "exp_avg": tensors[f"optimizer.exp_avg.{n}"].to(self.device),
                    "exp_avg_sq": tensors[f"optimizer.exp_avg_sq.{n}"].to(self.device),
                }
        self.epoch = int(tensors["epoch"])
        self._best_loss, self._stale = tensors["best_loss"], tensors["stale"]
        self._rng = tensors["rng"]
        if self._cuda_devices():
            self._cuda_rng = [tensors["cuda_rng.0"]]


def clip_by_member(parameters: list[nn.Parameter], largest: float) -> None:
    """Scale each member's gradients so that their joint norm is at most `largest`."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return
    norms = torch.stack([g.flatten(1).square().sum(-1) for g in gradients]).sum(0).sqrt()
    scale = (largest / norms.clamp_min(1e-12)).clamp_max(1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))


@torch.no_grad()
def _faulty_site(model: AlloyModel, batch: AlloyBatch) -> str:
    """The first site, guide before model, whose value or log probability is not finite."""
    branches = poutine.enum(model.guide, first_available_dim=MEMBERS_DIM - 1)
    guide = poutine.trace(branches).get_trace(batch)  # enumerated: NaN cannot be sampled
    program = poutine.trace(poutine.replay(model.model, trace=guide)).get_trace(batch)
    for part, trace in (("guide", guide), ("model", program)):
        trace.compute_log_prob()
        sites: dict[str, Any] = dict(trace.nodes)
        for name, site in sites.items():
            numbers = [site[key] for key in ("value", "log_prob") if "log_prob" in site]
            if not all(number.isfinite().all() for number in numbers):
                return f"site '{name}' of the {part}"
    return "the log loss of a head"
