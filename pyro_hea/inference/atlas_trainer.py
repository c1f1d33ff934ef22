"""Training of an atlas: charts are seeded, trained as a mixture, and let grow over their edges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pyro_hea.devices import drawing_with, random_states, seeded, unvalidated
from pyro_hea.errors import CheckpointError, TrainingDivergedError
from pyro_hea.inference.cells import distances_along, middles
from pyro_hea.inference.checkpoint import check_state
from pyro_hea.inference.schedule import clip_member_gradients, one_cycle

if TYPE_CHECKING:
    from pyro_hea.program.charts import AtlasModel

SEEDING_STEPS = 100
"""Steps of seeding that count as an epoch."""

_OVERLAP_RATE = 1 / 3
"""Factor on the learning rate in the overlap phase."""

_LEAST = 1e-9
"""Weight α of a chart."""

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")

_CHUNK = 4096
"""Points at a time, where nothing is trained."""


class AtlasRecord(NamedTuple):
    """One epoch: its number, its phase, and the loss in nats per point."""

    epoch: int
    phase: str
    loss: float


class AtlasTrainer:
    """Trains an atlas on points, phase by phase.

    Parameters
    ----------
    model : AtlasModel
    points : Tensor, shape (N, n)
    seed : int
    seeds : Tensor of int, shape (K, m), optional
        Rows of the points that each chart learns first; those of cells along the manifold by
        default.

    Notes
    -----
    The global random state is left as it was found. `state` after any epoch and `restore` continue
    to the same bits as a run without interruption.
    """

    def __init__(
        self, model: AtlasModel, points: Tensor, seed: int, seeds: Tensor | None = None
    ) -> None:
        self.model, self.points = model, points
        self.epoch = 0
        spec = model.spec
        self._phases = {
            "seeding": math.ceil(spec.seeding.steps / SEEDING_STEPS),
            "mixture": spec.training.epochs,
            "overlap": 0 if spec.overlap is None else spec.overlap.epochs,
        }
        self._fixed = points.new_zeros(0, model.charts)
        with seeded(seed):
            self._neighbours = self._seeds() if seeds is None else seeds
            self._set_tangent_planes(whole=seeds is None)
            self._random_states = random_states(points.device)
        self._optimizer = self._new_optimizer()

    @property
    def total(self) -> int:
        """Epochs of all phases."""
        return sum(self._phases.values())

    # The loop.

    def epochs(self) -> Iterator[AtlasRecord]:
        """Train epoch by epoch to the last.

        Raises
        ------
        TrainingDivergedError
            Where the loss is not finite; the weights before that epoch are kept.
        """
        while self.epoch < self.total:
            before = self.state()
            try:
                record = self._epoch()
            except BaseException:  # an interrupt too: half an epoch cannot be resumed
                self._set(before)
                raise
            yield record

    def _epoch(self) -> AtlasRecord:
        phase = self._phase()
        with drawing_with(self._random_states, self.points.device), unvalidated():
            if self.epoch == self._first_epoch(phase):
                self._optimizer = self._new_optimizer()
                if phase == "overlap":
                    self._fix_responsibilities()
            loss = float(self._seeding() if phase == "seeding" else self._pass(phase))
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"training diverged in epoch {self.epoch + 1} ({phase}): the loss is not finite. "
                "Lower training.learning_rate or training.clip_norm, or raise noise"
            )
        self.epoch += 1
        return AtlasRecord(self.epoch, phase, loss)

    def _phase(self) -> str:
        """The phase of the present epoch."""
        return next(p for p in reversed(self._phases) if self.epoch >= self._first_epoch(p))

    def _first_epoch(self, phase: str) -> int:
        """The epoch at which a phase begins."""
        names = [*self._phases]
        return sum(self._phases[name] for name in names[: names.index(phase)])

    def _step(self, loss: Tensor) -> None:
        self._optimizer.zero_grad()
        loss.backward()
        clip_member_gradients([*self.model.parameters()], self.model.spec.training.clip_norm)
        self._optimizer.step()

    def _seeding(self) -> Tensor:
        """Steps in which each chart learns its own neighbours alone."""
        model, total = self.model, self.points.new_zeros(())
        points = self.points[self._neighbours]
        for _ in range(SEEDING_STEPS):
            there = model.encoded(points, model.noise(points.shape[1]))
            loss = -(there.log_joint - model.log_alpha[:, None] - there.log_q).mean(1).sum()
            self._step(loss)
            total += loss.detach()
        return total / SEEDING_STEPS / model.charts

    def _pass(self, phase: str) -> Tensor:
        """One pass over the points."""
        model, training = self.model, self.model.spec.training
        order = torch.randperm(len(self.points)).to(self.points.device)
        batches = order.split(training.batch_size)
        penalised = self.epoch - self._phases["seeding"] < training.stretch_epochs
        total = self.points.new_zeros(())
        done = self.epoch - self._first_epoch(phase)
        rate = training.learning_rate * (1.0 if phase == "mixture" else _OVERLAP_RATE)
        for number, rows in enumerate(batches):
            progress = (done + number / len(batches)) / self._phases[phase]
            self._optimizer.param_groups[0]["lr"] = rate * one_cycle(progress)
            points = self.points[rows]
            if phase == "overlap":
                weights = model.encoded(points, model.noise(len(rows))).log_weights
                loss = -(self._fixed[rows].mT * weights).sum(0).mean()
            else:
                loss = -model.bound(points).mean()
                if penalised and training.stretch_weight:
                    loss = loss + training.stretch_weight * self._stretch(len(rows))
            self._step(loss)
            total += loss.detach()
        return total / len(batches)

    def _stretch(self, points: int) -> Tensor:
        """‖(D(ξ) − D(ξ + σ_z η)) / σ_x‖² at random ξ, mean over points, summed over charts."""
        model, spec = self.model, self.model.spec
        xi = model.density().sample(torch.Size([model.charts, points]))
        pair = torch.cat([xi, xi + spec.latent_noise * model.noise(points)], 1)
        one, other = model.decode(model.from_xi(pair)).chunk(2, 1)
        return ((one - other) / spec.noise).square().sum(-1).mean(1).sum()

    # Seeds and responsibilities.

    def _seeds(self) -> Tensor:
        """Points near the middles of K cells along the manifold, (K, m)."""
        model, declared = self.model, self.model.spec.seeding
        some = torch.randperm(len(self.points))[: max(declared.candidates, model.charts)]
        away = torch.tensor(distances_along(self.points[some.to(self.points.device)].cpu().numpy()))
        number = min(declared.neighbours, len(some) // model.charts)
        near = away[middles(away, model.charts)].topk(number, largest=False).indices
        return some[near].to(self.points.device)

    def _set_tangent_planes(self, whole: bool) -> None:
        """Let each chart start as the plane through its neighbours, by their principal axes.

        Where these are its `whole` cell, the plane is as large as it; else its size is not known.
        """
        model = self.model
        patches = self.points[self._neighbours]
        patches = patches if model.support is None else model.known(patches)
        model.centre.copy_(patches.mean(1, keepdim=True))
        model.frame.copy_(torch.linalg.svd(patches - model.centre, full_matrices=True).Vh)
        if whole:
            flat = ((patches - model.centre) @ model.frame.mT)[..., : model.spec.dim]
            model.scale.copy_(flat.abs().amax((1, 2), keepdim=True).clamp_min(_LEAST))

    @torch.no_grad()
    def _fix_responsibilities(self) -> None:
        """Responsibilities with the edge of each chart in turn moved inwards, and their mean α."""
        model, overlap = self.model, self.model.spec.overlap
        assert overlap is not None
        parts = []
        for points in self.points.split(_CHUNK):
            there = model.encoded(points)
            density = model.density()
            moved = density.log_prob(overlap.stretch * there.xi) - density.log_prob(there.xi)
            shift = torch.diag_embed(moved.mT).permute(1, 2, 0)  # (variant, chart, point)
            largest = (there.log_weights + shift).softmax(1).amax(0)
            parts.append((largest / largest.sum(0)).mT)
        self._fixed = torch.cat(parts)
        # A chart without a point keeps a weight whose logarithm is finite.
        model.log_alpha.copy_(self._fixed.mean(0).clamp_min(_LEAST).log())

    # Randomness and state.

    def _new_optimizer(self) -> torch.optim.Adam:
        spec = self.model.spec
        seeding = self.epoch < self._phases["seeding"]
        rate = spec.seeding.learning_rate if seeding else spec.training.learning_rate
        return torch.optim.Adam(self.model.parameters(), rate, fused=True)

    def state(self) -> dict[str, Tensor]:
        """Everything that `restore` needs to continue, as named tensors."""
        tensors = {f"weights.{n}": value.detach() for n, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self._optimizer.state[parameter].items():
                tensors[f"optimizer.{key}.{name}"] = value
        tensors |= {"epoch": torch.tensor(self.epoch), "fixed": self._fixed}
        tensors |= self._random_states
        return {name: value.clone().contiguous() for name, value in tensors.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from a `state`.

        Raises
        ------
        CheckpointError
            For a tensor that is missing, unknown, not finite, or of another shape or type.
        """
        expected = self.state()
        for name, parameter in self.model.named_parameters():
            for key in _MOMENTS:
                if any(other.startswith("optimizer.") for other in tensors):
                    like = torch.zeros(()) if key == "step" else parameter
                    expected[f"optimizer.{key}.{name}"] = like
        if "fixed" in tensors and len(tensors["fixed"]):
            expected["fixed"] = self.points.new_zeros(len(self.points), self.model.charts)
        check_state(tensors, expected)
        if not 0 <= int(tensors["epoch"]) <= self.total:
            raise CheckpointError("the training state counts epochs that this training has not")
        self._set(tensors)

    def _set(self, tensors: dict[str, Tensor]) -> None:
        """Go to a state of this training."""
        tensors = {name: value.clone() for name, value in tensors.items()}
        self.epoch = int(tensors["epoch"])
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                value.copy_(tensors[f"weights.{name}"])
        self._optimizer = self._new_optimizer()
        for name, parameter in self.model.named_parameters():
            if f"optimizer.step.{name}" in tensors:
                self._optimizer.state[parameter] = {
                    key: tensors[f"optimizer.{key}.{name}"] for key in _MOMENTS
                }
        self._fixed = tensors["fixed"]
        self._random_states = {name: tensors[name] for name in self._random_states}
