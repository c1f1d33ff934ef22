"""One loop over epochs, resumable at any of them, each member stopped alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pyro
import torch
from pyro import poutine
from torch import Tensor

from pyro_hea.devices import fork_rng, random_states, seeded, set_random_states
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference.heads import HeadLoss
from pyro_hea.inference.objective import (
    ELBO,
    compacted,
    elbo_loss,
    held_out,
    in_each_class,
    label_loss,
    number_loss,
    patterns,
    unknown_classes,
)
from pyro_hea.inference.schedule import clip_by_member, jittered, one_cycle, steps_of
from pyro_hea.program.sites import ContinuousSite
from pyro_hea.program.targets import MEMBERS_DIM

if TYPE_CHECKING:
    from pyro_hea.alloys.dataset import AlloyBatch
    from pyro_hea.inference.heads import Measurements
    from pyro_hea.program.targets import TargetModel
    from pyro_hea.spec import Training

EVALUATE_EVERY = 5
"""Epochs between evaluations on the validation alloys."""

_GATHERED = 0.25
"""Of a batch: that many alloys of which several classes are unknown are visited together."""

_VALIDATION_SEED = 0
"""Of the noise in a validation loss: evaluations differ by the weights alone."""


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
    """Whether each member, numbers aside, is better than ever before."""


class Trainer:
    """Trains a model on one batch of data that stays on its device.

    Parameters
    ----------
    model : TargetModel
    data : AlloyBatch
        All training alloys, labelled and unlabelled.
    validation : AlloyBatch, optional
        Alloys whose loss decides when a member stops and which weights it keeps. Without them the
        last weights are kept. The heads of a number go by `number_loss` alone, over all members
        and all labels that they are not trained on: of these alloys, and by `data.parts`.
        Heads that have a teacher stay as they are.
    seed : int
        Of shuffling, jitter, mixup, dropout and the noise of the ELBO.
    measurements : mapping of str to Measurements
        Reports of targets with conditions, at any of which their heads are trained.
    settings : Training, optional
        How to train, as the spec declares by default.

    Notes
    -----
    The global random state is left as it was found. `state` after any epoch and `restore`
    continue to the same bits as a run without interruption (on a CPU).
    """

    def __init__(
        self,
        model: TargetModel,
        data: AlloyBatch,
        validation: AlloyBatch | None,
        seed: int,
        measurements: Mapping[str, Measurements] | None = None,
        settings: Training | None = None,
    ) -> None:
        if model.reliabilities:
            generator = torch.Generator().manual_seed(seed)
            half = torch.randperm(len(data), generator=generator) % 2 == 1
            data = data.replaced(half=half.to(data.features.device))
        self.model, self.data, self.validation = model, data, validation
        self.settings = settings or model.spec.training
        self.device = data.features.device
        self.epoch = 0
        taught = tuple(f"heads.{name}." for name in model.spec.taught)
        self._moved = {n: p for n, p in model.named_parameters() if not n.startswith(taught)}
        heads = [p for n, p in self._moved.items() if n.startswith("heads.")]
        rest = [p for n, p in self._moved.items() if not n.startswith("heads.")]
        self._groups = [heads, rest]
        s = self.settings
        self._peaks = [s.head_learning_rate, s.learning_rate]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": heads, "weight_decay": s.head_weight_decay},
                {"params": rest, "weight_decay": s.weight_decay},
            ],
            fused=True,
        )
        model.population = len(data)
        self._patterns = patterns(model, data)
        several = unknown_classes(model, data) > 1
        few = several.sum() <= _GATHERED * self.settings.batch_size
        self._together = several & few
        self.head_loss = HeadLoss(model, data, s, measurements or {})
        self._best = {n: p.detach().clone() for n, p in self._moved.items()}
        # A number's few labels are learnt by heart long before the rest is at its best.
        self._numbers = {
            name: known
            for name in model.spec.target_names
            if isinstance(model.site(name), ContinuousSite)
            and (known := held_out(model, name, data, validation))
        }
        parts = 1 + len(self._numbers), model.members
        self._best_loss = torch.full(parts, math.inf, dtype=torch.float64)
        self._stale = torch.zeros(parts, dtype=torch.int64)
        with seeded(seed):
            self._random_states = random_states(self.device)

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
                record = self._epoch(before)
            except BaseException as error:  # an interrupt too: half an epoch cannot be continued
                self.restore(before)
                if isinstance(error, TrainingDivergedError):
                    self.keep_best()
                raise
            yield record

    def _epoch(self, before: dict[str, Tensor]) -> EpochRecord:
        with warnings.catch_warnings():  # Pyro's own word for what is raised below
            warnings.filterwarnings("ignore", "Encountered NaN")
            loss = float(self._train_epoch())
            if not math.isfinite(loss):  # found at the end, as to look at each step takes time
                self.restore(before)
                loss = float(self._train_epoch(looking=True))
        for name, parameter in self.model.named_parameters():
            if not parameter.isfinite().all():
                raise self._diverged(f"the gradient of {name}")
        self.epoch += 1
        due = self.epoch % EVALUATE_EVERY == 0 or self.epoch == self.settings.epochs
        if not due or (self.validation is None and not self._numbers):
            return EpochRecord(self.epoch, loss, None, None, None)
        return EpochRecord(self.epoch, loss, *self._evaluate())

    def keep_best(self) -> None:
        """Give each member the weights of its best evaluation."""
        if self._best_loss.isfinite().any():
            self.model.load_state_dict(self._best, strict=False)
        self.model.eval()

    def _train_epoch(self, looking: bool = False) -> Tensor:
        """One pass over the data; the loss, mean over members, nats per alloy."""
        steps = steps_of(len(self.data), self.settings)
        total = torch.zeros((), device=self.device)
        self.model.train()
        with self._own_randomness(), pyro.validation_enabled(False):
            order = self._order()
            for step, rows in enumerate(order.tensor_split(steps)):
                self._set_learning_rate(
                    (self.epoch * steps + step) / (self.settings.epochs * steps)
                )
                batch = self._jittered(self.data.take(rows.to(self.device)))
                loss = self._elbo_loss(batch, self._patterns[rows]) / len(batch)
                loss = loss + self.settings.label_weight * self.head_loss(batch)
                if looking and not loss.isfinite():
                    raise self._diverged(_faulty_site(self.model, batch))
                self._optimizer.zero_grad()
                loss.backward()
                for group in self._groups:
                    clip_by_member(group, self.settings.clip_norm)
                self._optimizer.step()
                total += loss.detach()
        return total / steps / self.model.members

    def _order(self) -> Tensor:
        """The alloys in random order, the few with branches of several targets side by side.

        Each step that has one of them pays for all their branches, however many they are.
        """
        order = torch.randperm(len(self.data))
        together = self._together[order]
        if not together.any():
            return order
        few, others = order[together], order[~together]
        place = int(torch.randint(len(others) + 1, ()))
        return torch.cat([others[:place], few, others[place:]])

    def _elbo_loss(self, batch: AlloyBatch, pattern: Tensor) -> Tensor:
        """Negative ELBO of a batch, summed over the alloys of each pattern by itself."""
        present = pattern.unique()
        loss = torch.zeros((), device=self.device)
        for one in present:
            rows = (pattern == one).nonzero()[:, 0].to(self.device)
            some = batch.take(rows) if len(present) > 1 else batch
            loss = loss + elbo_loss(self.model, *in_each_class(self.model, compacted(some)))
        return loss

    def _diverged(self, what: str) -> TrainingDivergedError:
        return TrainingDivergedError(
            f"training diverged in epoch {self.epoch + 1}: {what} is not finite. The best weights "
            "before it are kept; lower training.learning_rate or training.clip_norm"
        )

    def _set_learning_rate(self, progress: float) -> None:
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * one_cycle(progress)

    def _jittered(self, batch: AlloyBatch) -> AlloyBatch:
        share, x = self.settings.jitter, batch.fractions
        if x is None or not share:
            return batch
        return batch.replaced(fractions=jittered(x, share))

    # Stopping, member by member.

    @torch.no_grad()
    def _evaluate(self) -> tuple[list[float] | None, list[float] | None, list[bool] | None]:
        self.model.eval()
        validation, every = self.validation, torch.ones(self.model.members, dtype=torch.float64)
        alone = [every * float(number_loss(self.model, *n)) for n in self._numbers.items()]
        if validation is None:  # all but the numbers is better the later
            self._keep_better(torch.stack([-self.epoch * every, *alone]))
            return None, None, None
        with fork_rng(), pyro.validation_enabled(False):
            bounds = []
            for index in range(self.model.members):
                torch.manual_seed(_VALIDATION_SEED)
                member = self.model.member(index)
                with member.one_pass():
                    bound = ELBO.loss(member.model, member.guide, validation)
                bounds.append(bound / len(validation))
            losses = {n: loss.cpu() for n, loss in label_loss(self.model, validation).items()}
        log_loss = _mean(list(losses.values()), self.model.members)
        shared = [
            loss
            for name, loss in losses.items()
            if name not in (*self._numbers, *self.model.spec.taught)
        ]
        total = torch.tensor(bounds, dtype=torch.float64) + _mean(shared, self.model.members)
        better = self._keep_better(torch.stack([total, *alone]))
        return bounds, log_loss.tolist(), better[0].tolist()

    def _keep_better(self, loss: Tensor) -> Tensor:
        """Keep the weights of what is better than before by a loss, (parts, K); what is."""
        better = (loss < self._best_loss) & (self._stale < self.settings.patience)
        self._best_loss = self._best_loss.where(~better, loss)
        self._stale = (self._stale + 1).masked_fill(better, 0)
        for name, parameter in self._moved.items():
            chosen = better[self._part_of(name)].to(self.device)
            mask = chosen.view(-1, *[1] * (parameter.dim() - 1))
            self._best[name] = torch.where(mask, parameter.detach(), self._best[name])
        return better

    def _part_of(self, parameter: str) -> int:
        """What is kept and stopped together: 0, or the head of a number."""
        for part, name in enumerate(self._numbers, start=1):
            if parameter.startswith((f"heads.{name}.", f"sites.{name}.")):
                return part
        return 0

    def _all_stopped(self) -> bool:
        return bool((self._stale >= self.settings.patience).all())

    # Randomness and state.

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Run with the trainer's random state, and keep where it got to."""
        with fork_rng():
            set_random_states(self._random_states, self.device)
            yield
            self._random_states = random_states(self.device)

    def state(self) -> dict[str, Tensor]:
        """Everything that `restore` needs to continue, as named tensors."""
        tensors = {f"weights.{n}": p.detach() for n, p in self.model.named_parameters()}
        tensors |= {f"best.{n}": p for n, p in self._best.items()}
        for n, p in self._moved.items():
            for key, value in self._optimizer.state[p].items():
                tensors[f"optimizer.{key}.{n}"] = value
        tensors["epoch"] = torch.tensor(self.epoch)
        tensors["best_loss"], tensors["stale"] = self._best_loss, self._stale
        tensors |= self._random_states
        return {name: value.clone().contiguous() for name, value in tensors.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from a `state`."""
        tensors = {name: value.clone() for name, value in tensors.items()}
        self._optimizer.state.clear()
        for n, p in self.model.named_parameters():
            p.data.copy_(tensors[f"weights.{n}"])
        for n, p in self._moved.items():
            self._best[n] = tensors[f"best.{n}"].to(self.device)
            if f"optimizer.step.{n}" in tensors:
                self._optimizer.state[p] = {
                    "step": tensors[f"optimizer.step.{n}"],
                    "exp_avg": tensors[f"optimizer.exp_avg.{n}"].to(self.device),
                    "exp_avg_sq": tensors[f"optimizer.exp_avg_sq.{n}"].to(self.device),
                }
        self.epoch = int(tensors["epoch"])
        self._best_loss, self._stale = tensors["best_loss"], tensors["stale"]
        self._random_states = {name: tensors[name] for name in self._random_states}


def _mean(losses: list[Tensor], members: int) -> Tensor:
    """Mean over targets, (K,); 0 where there is none."""
    return sum(losses, torch.zeros(members)) / max(len(losses), 1)


@torch.no_grad()
def _faulty_site(model: TargetModel, batch: AlloyBatch) -> str:
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
