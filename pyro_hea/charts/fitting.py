"""A training run of an atlas: points checked, progress shown, saved as it goes, resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from pyro_hea.devices import check_torch_settings, seeded
from pyro_hea.errors import DataError
from pyro_hea.inference import checkpoint
from pyro_hea.inference.atlas_trainer import AtlasRecord, AtlasTrainer
from pyro_hea.program.charts import AtlasModel
from pyro_hea.saved_training import SavedTraining

if TYPE_CHECKING:
    from pyro_hea.spec import AtlasSpec


@dataclass(frozen=True)
class AtlasRun(SavedTraining):
    """A training that is prepared, under way or done.

    Attributes
    ----------
    trainer : AtlasTrainer
    records : list of AtlasRecord
    folder : path or None
    seed : int
    given : tuple of Tensor
        Supports and seeds that were given with the points.
    """

    trainer: AtlasTrainer
    seed: int
    given: tuple[Tensor, ...] = ()

    name = "atlas_training"
    record = TypeAdapter(AtlasRecord)
    save_every = 10

    @classmethod
    def prepare(
        cls,
        spec: AtlasSpec,
        points: Tensor,
        *,
        seed: int,
        folder: str | Path | None,
        resume: bool,
        supports: Tensor | None = None,
        seeds: Tensor | None = None,
    ) -> AtlasRun:
        """Check the points and seed the charts, or read the saved state.

        Parameters
        ----------
        spec : AtlasSpec
        points : Tensor, shape (N, n)
        seed : int
        folder : path or None
        resume : bool
        supports, seeds : Tensor, optional
            As of `AtlasModel` and `AtlasTrainer`.

        Raises
        ------
        DataError
            For fewer points than charts, or a manifold of more dimensions than its points.
        CheckpointError
        """
        check_torch_settings()
        count, features = points.shape
        if count < spec.charts:
            raise DataError(
                f"{count} points are fewer than the {spec.charts} charts that would start at them: "
                "give more points, or lower charts"
            )
        _check_rows("supports", supports, spec.charts, features)
        _check_rows("seeds", seeds, spec.charts, count)
        known = features if supports is None else supports.shape[1]
        if spec.dim > known:
            raise DataError(
                f"a manifold of dim {spec.dim} does not lie in points of {known} coordinates: "
                f"lower dim to {known} at most"
            )
        with seeded(seed):
            model = AtlasModel(spec, features, supports)
        trainer = AtlasTrainer(model, points.float(), seed, seeds)
        given = tuple(t for t in (supports, seeds) if t is not None)
        run = cls(trainer, [], None if folder is None else Path(folder), seed, given)
        if resume:
            run.resume()
        return run

    @torch.inference_mode(False)
    def train(self, progress: bool) -> None:
        """Train to the end; an interrupt saves the state."""
        with self.locked():
            self.save()
            try:
                self.train_epochs(progress)
            except KeyboardInterrupt:
                self.save()
                raise
            self.save()

    def progress_text(self, record: AtlasRecord) -> str:
        """What the progress bar says of an epoch."""
        return f"{record.phase}: {record.loss:.2f} nats/point"

    def identity(self) -> dict[str, Any]:
        """What tells one training from another."""
        return {
            "spec": self.trainer.model.spec.to_mapping(),
            "seed": self.seed,
            "points": checkpoint.hash_of_tensors([self.trainer.points, *self.given]),
        }


def _check_rows(name: str, given: Tensor | None, charts: int, below: int) -> None:
    """Refuse numbers of coordinates or points of which the charts have no row or which are none."""
    if given is None:
        return
    if given.dim() != 2 or len(given) != charts:
        raise DataError(
            f"{name} have shape {tuple(given.shape)}; they have a row for each of {charts} charts"
        )
    if given.is_floating_point() or not bool(((given >= 0) & (given < below)).all()):
        raise DataError(f"{name} are whole numbers from 0 to {below - 1}")
