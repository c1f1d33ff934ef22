"""One loop over epochs, resumable at any of them, each member stopped alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from pyro import poutine
from torch import Tensor

from pyro_hea.devices import (
    drawing_with,
    exclusive,
    fork_rng,
    random_states,
    seeded,
    unvalidated,
)
from pyro_hea.errors import CheckpointError, TrainingDivergedError
from pyro_hea.inference.checkpoint import check_state
from pyro_hea.inference.heads import HeadLoss
from pyro_hea.inference.objective import (
    count_unknown_classes,
    elbo_loss,
    held_out,
    known_labels,
    label_loss,
    label_patterns,
    number_loss,
    split_by_class,
    without_masks,
)
from pyro_hea.inference.schedule import clip_member_gradients, jittered, one_cycle, steps_per_epoch
from pyro_hea.program.sites import ContinuousSite
from pyro_hea.program.targets import MEMBERS_DIM

if TYPE_CHECKING:
    from pyro_hea.inference.objective import Known, Measurements
    from pyro_hea.materials.alloys.dataset import AlloyBatch
    from pyro_hea.program.targets import TargetModel
    from pyro_hea.spec import Training

EVALUATE_EVERY = 5
"""Epochs between evaluations on the validation alloys."""

_GATHERED = 0.25
"""Alloys with several unknown classes share one step if they are at most this part of a batch."""

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""State of AdamW for each parameter."""

_VALIDATION_SEED = 0
"""Each evaluation has the same noise, so that evaluations differ by the weights alone."""


class EpochRecord(NamedTuple):
    """Losses of one epoch; values by member are None where nothing was evaluated."""

    epoch: int
    loss: float
    """Training loss, mean over members, nats per alloy."""
    elbo_loss: list[float] | None
    """Negative ELBO of each member on the validation alloys, nats per alloy."""
    log_loss: list[float] | None
    """Log loss of each member's heads on the validation labels, nats per label."""
    best: list[bool] | None
    """Whether the loss of each member, without its numbers, is the lowest so far."""


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
        and all labels withheld from them: those of these alloys, and by `data.label_folds`. Heads
        with a teacher are not trained.
    seed : int
        Of shuffling, jitter, mixup, dropout and the noise of the ELBO.
    measurements : mapping of str to Measurements
        Reports of targets with conditions; their heads are trained at any condition.
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
            data = data.replaced(report_half=half.to(data.features.device))
        self.model, self.data, self.validation = model, data, validation
        self.settings = settings or model.spec.training
        self.total = self.settings.epochs
        self.device = data.features.device
        self.epoch = 0
        apart = model.trained_apart
        self._trained = {n: p for n, p in model.named_parameters() if not n.startswith(apart)}
        heads = [p for n, p in self._trained.items() if n.startswith("heads.")]
        rest = [p for n, p in self._trained.items() if not n.startswith("heads.")]
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
        self._patterns, self._known = label_patterns(model, data), known_labels(data)
        several = count_unknown_classes(model, data) > 1
        few = several.sum() <= _GATHERED * self.settings.batch_size
        self._together = several & few
        self.head_loss = HeadLoss(model, data, s, measurements or {})
        self._best = {n: p.detach().clone() for n, p in self._trained.items()}
        # A number has few labels and overfits long before the rest of a member is at its best.
        self._numbers = {
            name: known
            for name in model.spec.target_names
            if isinstance(model.site(name), ContinuousSite)
            and name not in model.spec.distilled_targets
            and (known := held_out(model, name, data, validation, (measurements or {}).get(name)))
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
            except BaseException as error:  # an interrupt too: half an epoch cannot be resumed
                self._set(before)
                if isinstance(error, TrainingDivergedError):
                    self.keep_best()
                raise
            yield record

    def _epoch(self, before: dict[str, Tensor]) -> EpochRecord:
        with exclusive(), warnings.catch_warnings():  # Pyro warns of what is raised below
            warnings.filterwarnings("ignore", "Encountered NaN")
            loss = float(self._train_epoch())
            if not math.isfinite(loss):  # checked once an epoch, since each check takes time
                self._set(before)
                loss = float(self._train_epoch(checked=True))
        parameters = dict(self.model.named_parameters())
        finite = torch.stack([p.isfinite().all() for p in parameters.values()]).tolist()
        if not all(finite):
            raise self._diverged(f"the gradient of {[*parameters][finite.index(False)]}")
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

    def _train_epoch(self, checked: bool = False) -> Tensor:
        """One pass over the data; the loss, mean over members, nats per alloy."""
        steps = steps_per_epoch(len(self.data), self.settings)
        total = torch.zeros((), device=self.device)
        self.model.train()
        with drawing_with(self._random_states, self.device), unvalidated():
            of_steps = [self._by_pattern(rows) for rows in self._order().tensor_split(steps)]
            on_device = torch.cat(of_steps).to(self.device, non_blocking=True).tensor_split(steps)
            for step, rows in enumerate(of_steps):
                self._set_learning_rate(
                    (self.epoch * steps + step) / (self.settings.epochs * steps)
                )
                batch = self._jittered(self.data.take(on_device[step]))
                known = {name: mask[rows] for name, mask in self._known.items()}
                loss = self._elbo_loss(batch, known, self._patterns[rows]) / len(batch)
                loss = loss + self.settings.label_weight * self.head_loss(batch, known)
                if checked and not loss.isfinite():
                    raise self._diverged(_faulty_site(self.model, batch))
                self._optimizer.zero_grad()
                loss.backward()
                for group in self._groups:
                    clip_member_gradients(group, self.settings.clip_norm)
                self._optimizer.step()
                total += loss.detach()
        return total / steps / self.model.members

    def _order(self) -> Tensor:
        """The alloys in random order, a few with several unknown classes side by side.

        A step with one of them enumerates all their branches, at the cost of a step with many.
        """
        order = torch.randperm(len(self.data))
        together = self._together[order]
        if not together.any():
            return order
        few, others = order[together], order[~together]
        place = int(torch.randint(len(others) + 1, ()))
        return torch.cat([others[:place], few, others[place:]])

    def _by_pattern(self, rows: Tensor) -> Tensor:
        """Rows with the same pattern of known labels side by side, of which each is a slice."""
        return rows[self._patterns[rows].argsort(stable=True)]

    def _elbo_loss(self, batch: AlloyBatch, known: Known, pattern: Tensor) -> Tensor:
        """Negative ELBO of a batch, summed over the patterns of known labels, side by side."""
        losses, stop = [], 0
        for count in pattern.unique_consecutive(return_counts=True)[1].tolist():
            part = slice(stop, stop + count)
            stop += count
            of_some = {name: mask[part] for name, mask in known.items()}
            some = without_masks(batch.map(lambda tensor, at=part: tensor[at]), of_some)
            losses.append(elbo_loss(self.model, *split_by_class(self.model, some, of_some)))
        return sum(losses[1:], losses[0])

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
        of_numbers = [every * float(number_loss(self.model, *n)) for n in self._numbers.items()]
        if validation is None:  # but for the numbers, later weights are better
            self._keep_better(torch.stack([-self.epoch * every, *of_numbers]))
            return None, None, None
        with fork_rng(), unvalidated():
            bounds = []
            for index in range(self.model.members):
                torch.manual_seed(_VALIDATION_SEED)
                member = self.model.member(index)
                bounds.append(float(elbo_loss(member, validation)) / len(validation))
            losses = {n: loss.cpu() for n, loss in label_loss(self.model, validation).items()}
        log_loss = _mean(list(losses.values()), self.model.members)
        shared = [
            loss
            for name, loss in losses.items()
            if name not in (*self._numbers, *self.model.spec.distilled_targets)
        ]
        total = torch.tensor(bounds, dtype=torch.float64) + _mean(shared, self.model.members)
        better = self._keep_better(torch.stack([total, *of_numbers]))
        return bounds, log_loss.tolist(), better[0].tolist()

    def _keep_better(self, loss: Tensor) -> Tensor:
        """Keep the weights of each part whose loss (parts, K) is the lowest so far; which are."""
        better = (loss < self._best_loss) & (self._stale < self.settings.patience)
        self._best_loss = self._best_loss.where(~better, loss)
        self._stale = (self._stale + 1).masked_fill(better, 0)
        for name, parameter in self._trained.items():
            chosen = better[self._part_of(name)].to(self.device)
            mask = chosen.view(-1, *[1] * (parameter.dim() - 1))
            self._best[name] = torch.where(mask, parameter.detach(), self._best[name])
        return better

    def _part_of(self, parameter: str) -> int:
        """The part that a parameter is kept and stopped with: 0, or that of a number's head."""
        for part, name in enumerate(self._numbers, start=1):
            if parameter.startswith((f"heads.{name}.", f"sites.{name}.")):
                return part
        return 0

    def _all_stopped(self) -> bool:
        return bool((self._stale >= self.settings.patience).all())

    # Randomness and state.

    def state(self) -> dict[str, Tensor]:
        """Everything that `restore` needs to continue, as named tensors."""
        tensors = {f"weights.{n}": p.detach() for n, p in self.model.named_parameters()}
        tensors |= {f"best.{n}": p for n, p in self._best.items()}
        for n, p in self._trained.items():
            for key, value in self._optimizer.state[p].items():
                tensors[f"optimizer.{key}.{n}"] = value
        tensors["epoch"] = torch.tensor(self.epoch)
        tensors["best_loss"], tensors["stale"] = self._best_loss, self._stale
        tensors |= self._random_states
        return {name: value.clone().contiguous() for name, value in tensors.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from a `state`, which may come from another device.

        Raises
        ------
        CheckpointError
            For a tensor that is missing, unknown, or of another shape or type than this training's.
        """
        self._check_state(tensors)
        self._set(tensors)

    def _set(self, tensors: dict[str, Tensor]) -> None:
        """Go to a state of this training."""
        tensors = {name: value.clone() for name, value in tensors.items()}
        self._optimizer.state.clear()
        for n, p in self.model.named_parameters():
            p.data.copy_(tensors[f"weights.{n}"])
        for n, p in self._trained.items():
            self._best[n] = tensors[f"best.{n}"].to(self.device)
            if f"optimizer.step.{n}" in tensors:
                self._optimizer.state[p] = {
                    key: tensors[f"optimizer.{key}.{n}"].to(self.device) for key in _MOMENTS
                }
        self.epoch = int(tensors["epoch"])
        self._best_loss, self._stale = tensors["best_loss"], tensors["stale"]
        # A state from another kind of device has no random state of this one, which stays.
        states = {name: tensors[name] for name in self._random_states if name in tensors}
        self._random_states = self._random_states | states

    def _check_state(self, tensors: dict[str, Tensor]) -> None:
        """Compare each tensor of a state with what this training has there."""
        moments = {
            f"optimizer.{key}.{name}": torch.zeros(()) if key == "step" else parameter
            for name, parameter in self._trained.items()
            for key in _MOMENTS
            if f"optimizer.{key}.{name}" in tensors
        }
        for name in self._trained:
            if sum(f"optimizer.{key}.{name}" in moments for key in _MOMENTS) not in (0, 3):
                raise CheckpointError(f"the training state has not all of optimizer.*.{name}")
        expected = {n: t for n, t in self.state().items() if not n.startswith("optimizer.")}
        expected |= moments
        of_a_device = {"cuda_rng.0"}  # a state may come from another one
        check_state(tensors, expected, of_a_device, infinite={"best_loss"})
        if not 0 <= tensors["epoch"] <= self.settings.epochs or (tensors["stale"] < 0).any():
            raise CheckpointError("the training state counts epochs that this training has not")
        try:
            torch.Generator().set_state(tensors["rng"])
        except RuntimeError as error:
            raise CheckpointError(f"'rng' of the training state is none: {error}") from None


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
