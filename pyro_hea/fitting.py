"""A training run: from tables to an ensemble, saved as it goes and continued where it stopped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from pydantic import TypeAdapter

from pyro_hea.errors import DataError, UnknownElementError
from pyro_hea.inference import (
    EpochRecord,
    Measurements,
    Trainer,
    checkpoint,
    distil_heads,
    train_encoder,
)
from pyro_hea.materials.alloys.dataset import (
    AlloyBatch,
    AlloyDataset,
)
from pyro_hea.posterior import Ensemble, calibrate, new_ensemble
from pyro_hea.program.model import AlloyModel
from pyro_hea.saved_training import SavedTraining
from pyro_hea.training_data import (
    augmented,
    check_labels,
    hold_out,
    measured_tensors,
    stopping_batch,
    with_label_folds,
)

if TYPE_CHECKING:
    from pyro_hea.spec import ModelSpec

_UPDATE_RATE = 0.2
"""Factor on the learning rates in further training of a trained model."""

_HISTORY = ("epoch", "member", "loss", "validation_elbo_loss", "validation_log_loss", "best")


@dataclass(frozen=True)
class TrainingRun(SavedTraining):
    """A training that is prepared, under way or done.

    Attributes
    ----------
    trainer : Trainer
    records : list of EpochRecord
    folder : path or None
    ensemble : Ensemble
        With the weights as they are.
    """

    trainer: Trainer
    ensemble: Ensemble

    name = "training"
    record = TypeAdapter(EpochRecord)
    save_every = 25

    @classmethod
    @torch.inference_mode(False)
    def prepare(
        cls,
        spec: ModelSpec,
        data: AlloyDataset,
        validation: AlloyDataset | None,
        *,
        seed: int,
        device: torch.device,
        folder: str | Path | None,
        resume: bool,
        progress: bool = False,
    ) -> TrainingRun:
        """Check the data, then initialise and distil, or read the saved state.

        Parameters
        ----------
        spec : ModelSpec
        data : AlloyDataset
        validation : AlloyDataset or None
            None holds out a part of `data` for early stopping; heads with a teacher learn from that
            part too.
        seed : int
        device : torch.device
        folder : path or None
        resume : bool
        progress : bool
            Show a progress bar of the distillation.

        Raises
        ------
        DataError
            For a target without labels, or with labels of one class only.
        CheckpointError
            Where another training is there to be resumed, or a damaged one.
        OutputError
            Where the folder cannot be written, or another process trains into it.

        Warns
        -----
        ResumeWarning
            Where nothing was saved yet, so that `resume` starts a new training.
        """
        check_labels(data, spec)
        spec = spec.scaled_to(data)
        held_out = validation is None
        if validation is None:
            data, validation = hold_out(data, spec, seed)
        else:
            data = data.without(validation)
            check_labels(data, spec)
        ensemble = new_ensemble(spec, data, seed, device)
        stopping = stopping_batch(ensemble, validation)
        batch = with_label_folds(ensemble, ensemble.batch(data))
        shown = augmented(data, spec.training.augmentation, seed)
        trainer = Trainer(
            ensemble.model,
            batch if shown is data else with_label_folds(ensemble, ensemble.batch(shown)),
            stopping,
            seed,
            measured_tensors(ensemble, data),
        )
        run = cls(trainer, [], None if folder is None else Path(folder), ensemble)
        with run.locked():
            if not (resume and run.resume()):
                run.save(distilled=False)  # an interrupt can be resumed from the first step on
                batches = [batch, stopping if held_out else None]
                _distil(ensemble, batches, trainer.head_loss.measurements, seed, progress)
                run.save()
        return run

    @classmethod
    @torch.inference_mode(False)
    def continued(
        cls, ensemble: Ensemble, data: AlloyDataset, *, epochs: int, seed: int, progress: bool
    ) -> TrainingRun:
        """Prepare further training of copies of trained members, at lower learning rates.

        Every alloy is trained on and the last weights are kept: there is nothing to stop by.

        Raises
        ------
        DataError
            For a target without labels, or an element that the members do not know.
        """
        check_labels(data, ensemble.spec)
        try:
            known = ensemble.fractions(data)
        except UnknownElementError as error:
            raise DataError(f"{error}. Train anew with fit to add an element") from None
        training = ensemble.spec.training
        settings = training.model_copy(
            update={
                "epochs": epochs,
                "learning_rate": _UPDATE_RATE * training.learning_rate,
                "head_learning_rate": _UPDATE_RATE * training.head_learning_rate,
            }
        )
        copied = Ensemble(deepcopy(ensemble.model), ensemble.elements, known, seed)
        batch, measured = copied.batch(data), measured_tensors(copied, data)
        share = min(1.0, epochs / training.epochs)
        _distil(copied, [batch], measured, seed, progress, share, _UPDATE_RATE)
        trainer = Trainer(copied.model, batch, None, seed, measured, settings)
        return cls(trainer, [], None, copied)

    @torch.inference_mode(False)
    def train(self, progress: bool) -> None:
        """Train to the end; an interrupt too keeps the best weights and saves the state."""
        trainer = self.trainer
        with self.locked():
            try:
                self.train_epochs(progress)
            except KeyboardInterrupt:
                self.save()
                raise
            finally:
                trainer.keep_best()
                calibrate(
                    self.ensemble.model,
                    trainer.data,
                    trainer.validation,
                    trainer.head_loss.measurements,
                )
            # A function of the best weights and the seed: a resumed training needs no state of it.
            if isinstance(trainer.model, AlloyModel):
                train_encoder(trainer.model, trainer.data, trainer.settings, self.ensemble.seed)

    def progress_text(self, record: EpochRecord) -> str:
        """What the progress bar says of an epoch."""
        if record.elbo_loss is None or record.log_loss is None:
            return ""
        return (
            f"validation: {np.mean(record.elbo_loss):.1f} nats/"
            f"{'alloy' if isinstance(self.trainer.model, AlloyModel) else 'crystal'}, "
            f"log loss {np.mean(record.log_loss):.3f}"
        )

    def identity(self) -> dict[str, Any]:
        """What tells one training from another."""
        batches = (self.trainer.data, self.trainer.validation)
        return {
            "spec": self.ensemble.spec.to_mapping(),
            "seed": self.ensemble.seed,
            "data": [checkpoint.hash_of_tensors(b.tensors()) if b else None for b in batches],
        }


def history_table(records: list[EpochRecord], members: int) -> pd.DataFrame:
    """One row per epoch and member; see `DisentangledVAE.history`."""
    unknown = [np.nan] * members
    epochs = [
        pd.DataFrame(
            {
                "epoch": record.epoch,
                "member": range(members),
                "loss": record.loss,
                "validation_elbo_loss": record.elbo_loss or unknown,
                "validation_log_loss": record.log_loss or unknown,
                "best": record.best or False,
            }
        )
        for record in records
    ]
    if not epochs:
        return pd.DataFrame(columns=pd.Index(_HISTORY))
    history = pd.concat(epochs, ignore_index=True)
    improved = history["epoch"].where(history["best"])
    kept = improved.groupby(history["member"]).transform("max")
    return history.assign(best=history["epoch"] == kept)


def _distil(
    ensemble: Ensemble,
    batches: Sequence[AlloyBatch | None],
    measured: Mapping[str, Measurements],
    seed: int,
    progress: bool,
    share: float = 1.0,
    rate: float = 1.0,
) -> None:
    """Distil the heads that have a teacher: a share of the steps, at a factor on the rate."""
    spec = ensemble.spec
    settings = spec.training.distillation
    if settings is None or not spec.distilled_targets:
        return
    # Imports scikit-learn, which a trained model does not need.
    from pyro_hea.inference.distillation_set import distillation_set

    known = [batch for batch in batches if batch is not None]
    distil_heads(
        ensemble.model,
        distillation_set(ensemble.model, known, ensemble.feature_map, seed, measured),
        steps=math.ceil(share * settings.steps),
        rate=rate,
        seed=seed,
        progress=progress,
    )
