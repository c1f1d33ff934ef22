"""A training that is saved in a folder as it goes, and continued where it stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import TypeAdapter, ValidationError
from tqdm.auto import tqdm

from pyro_hea.errors import CheckpointError, DataError, ResumeWarning, warn
from pyro_hea.files import locked
from pyro_hea.inference import checkpoint

if TYPE_CHECKING:
    from pyro_hea.inference.atlas_trainer import AtlasTrainer
    from pyro_hea.inference.trainer import Trainer


@dataclass(frozen=True)
class SavedTraining(ABC):
    """What trainings of every model share.

    Attributes
    ----------
    trainer : Trainer or AtlasTrainer
    records : list of named tuple
        Of the epochs so far.
    folder : path or None
        Where the state is saved.
    """

    trainer: Trainer | AtlasTrainer
    records: list[Any]
    folder: Path | None

    name: ClassVar[str]
    record: ClassVar[TypeAdapter[Any]]
    save_every: ClassVar[int]
    """Epochs between saves."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What tells one training from another."""

    @abstractmethod
    def progress_text(self, record: Any) -> str:
        """What the progress bar says of an epoch."""

    def locked(self) -> AbstractContextManager[None]:
        """Be the only process that trains into the folder."""
        return nullcontext() if self.folder is None else locked(self.folder, self.name)

    def train_epochs(self, progress: bool) -> None:
        """Train to the end, saving the state now and then."""
        with tqdm(
            total=self.trainer.total,
            initial=self.trainer.epoch,
            disable=not progress,
            desc="training",
            unit="epoch",
        ) as bar:
            for record in self.trainer.epochs():
                self.records.append(record)
                bar.update()
                if said := self.progress_text(record):
                    bar.set_postfix_str(said)
                if record.epoch % self.save_every == 0:
                    self.save()

    def save(self, **more: Any) -> None:
        """Write the state, what it is of and `more` into the folder, where there is one."""
        if self.folder is not None:
            records = [record._asdict() for record in self.records]
            manifest = self.identity() | {"records": records} | more
            checkpoint.write(self.folder, self.name, self.trainer.state(), manifest)

    def resume(self) -> bool:
        """Continue from the saved state; False where there is none from which to continue.

        Raises
        ------
        DataError
            Without a folder.
        CheckpointError
            Where another training is there to be resumed, or a damaged one.
        """
        if self.folder is None:
            raise DataError("resume needs the folder of the training: pass checkpoint=...")
        if not checkpoint.exists(self.folder, self.name):
            warn(
                f"there is no training to resume in '{self.folder}'; a new one starts",
                ResumeWarning,
            )
            return False
        tensors, manifest = checkpoint.read(self.folder, self.name)
        for key, now in self.identity().items():
            if manifest.get(key) != now:
                raise CheckpointError(
                    f"the training in '{self.folder}' was started with another {key}: continue "
                    "with the same, or start anew without resume"
                )
        if not manifest.get("distilled", True):
            return False
        try:
            records = [self.record.validate_python(record) for record in manifest["records"]]
        except (KeyError, TypeError, ValidationError) as error:
            raise CheckpointError(
                f"the training in '{self.folder}' has records that cannot be read: {error}"
            ) from None
        self.trainer.restore(tensors)
        self.records.extend(records)
        return True
