"""A training run of an atlas: points checked, progress shown, saved as it goes, resumed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from tqdm.auto import tqdm

from pyro_hea.devices import check_torch_settings, seeded
from pyro_hea.errors import CheckpointError, DataError, ResumeWarning, warn
from pyro_hea.files import locked
from pyro_hea.inference import checkpoint
from pyro_hea.inference.atlas_trainer import AtlasRecord, AtlasTrainer
from pyro_hea.program.charts import AtlasModel

if TYPE_CHECKING:
    from pyro_hea.spec import AtlasSpec

_NAME = "atlas_training"

_RECORD = TypeAdapter(AtlasRecord)

_SAVE_EVERY = 10
"""Epochs between saves."""


@dataclass(frozen=True)
class AtlasRun:
    """A training that is prepared, under way or done.

    Attributes
    ----------
    trainer : AtlasTrainer
    records : list of AtlasRecord
    folder : path or None
        Where the state is saved.
    seed : int
    given : tuple of Tensor
        Supports and seeds that were given with the points.
    """

    trainer: AtlasTrainer
    records: list[AtlasRecord]
    folder: Path | None
    seed: int
    given: tuple[Tensor, ...] = ()

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
            For fewer points than charts, or a manifold of no fewer dimensions than its points.
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
            run._resume()
        return run

    @torch.inference_mode(False)
    def train(self, progress: bool) -> None:
        """Train to the end; an interrupt saves the state."""
        with self._locked():
            self._save()
            try:
                self._train_epochs(progress)
            except KeyboardInterrupt:
                self._save()
                raise
            self._save()

    def _train_epochs(self, progress: bool) -> None:
        trainer = self.trainer
        with tqdm(
            total=trainer.total,
            initial=trainer.epoch,
            disable=not progress,
            desc="training",
            unit="epoch",
        ) as bar:
            for record in trainer.epochs():
                self.records.append(record)
                bar.update()
                bar.set_postfix_str(f"{record.phase}: {record.loss:.2f} nats/point")
                if record.epoch % _SAVE_EVERY == 0:
                    self._save()

    def _locked(self) -> AbstractContextManager[None]:
        return nullcontext() if self.folder is None else locked(self.folder, _NAME)

    def _identity(self) -> dict[str, Any]:
        """What tells one training from another."""
        return {
            "spec": self.trainer.model.spec.to_mapping(),
            "seed": self.seed,
            "points": checkpoint.hash_of_tensors([self.trainer.points, *self.given]),
        }

    def _save(self) -> None:
        if self.folder is not None:
            records = [record._asdict() for record in self.records]
            manifest = self._identity() | {"records": records}
            checkpoint.write(self.folder, _NAME, self.trainer.state(), manifest)

    def _resume(self) -> None:
        if self.folder is None:
            raise DataError("resume needs the folder of the training: pass checkpoint=...")
        if not checkpoint.exists(self.folder, _NAME):
            warn(
                f"there is no training to resume in '{self.folder}'; a new one starts",
                ResumeWarning,
            )
            return
        tensors, manifest = checkpoint.read(self.folder, _NAME)
        for key, now in self._identity().items():
            if manifest.get(key) != now:
                raise CheckpointError(
                    f"the training in '{self.folder}' was started with another {key}: continue "
                    "with the same, or start anew without resume"
                )
        try:
            records = [_RECORD.validate_python(record) for record in manifest["records"]]
        except (KeyError, TypeError, ValidationError) as error:
            raise CheckpointError(
                f"the training in '{self.folder}' has records that cannot be read: {error}"
            ) from None
        self.trainer.restore(tensors)
        self.records.extend(records)


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
