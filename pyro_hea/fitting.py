"""A training run: from tables to an ensemble, saved as it goes and continued where it stopped."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from pydantic import TypeAdapter, ValidationError
from tqdm.auto import tqdm

from pyro_hea.alloys.dataset import (
    AlloyBatch,
    AlloyDataset,
    Statistics,
    encode_values,
    measurements,
)
from pyro_hea.alloys.element_tables import load_tables
from pyro_hea.alloys.features import FeatureMap
from pyro_hea.devices import seeded
from pyro_hea.errors import CheckpointError, DataError, ResumeWarning, UnknownElementError
from pyro_hea.files import locked
from pyro_hea.inference import (
    LABEL_FOLDS,
    EpochRecord,
    Measurements,
    Trainer,
    checkpoint,
    count_label_folds,
    distil_heads,
    train_encoder,
)
from pyro_hea.posterior import Ensemble, as_fractions, calibrate
from pyro_hea.program.model import AlloyModel
from pyro_hea.program.sites import link_of
from pyro_hea.spec import Binary, Categorical, Continuous

if TYPE_CHECKING:
    from pyro_hea.alloys.amounts import Alloys
    from pyro_hea.spec import ModelSpec

_NAME = "training"

_RECORD = TypeAdapter(EpochRecord)

_UPDATE_RATE = 0.2
"""Factor on the learning rates in further training of a trained model."""

_SAVE_EVERY = 25
"""Epochs between saves."""

_HELD_OUT = 0.1
"""Share of the labelled alloys held out for early stopping, where no validation is passed."""

_ENOUGH_LABELS = 100
"""With fewer labelled alloys nothing is held out, and training goes to the last epoch."""

_PRIOR_DRAWS = 4001
"""Draws of a prior from which the scale of an untrained number is taken."""

_HISTORY = ("epoch", "member", "loss", "validation_elbo_loss", "validation_log_loss", "best")


@dataclass(frozen=True)
class TrainingRun:
    """A training that is prepared, under way or done.

    Attributes
    ----------
    ensemble : Ensemble
        With the weights as they are.
    trainer : Trainer
    records : list of EpochRecord
        Of the epochs so far.
    folder : path or None
        Where the state is saved.
    """

    ensemble: Ensemble
    trainer: Trainer
    records: list[EpochRecord]
    folder: Path | None

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
        _check_labels(data, spec)
        spec = spec.scaled_to(data)
        held_out = validation is None
        if validation is None:
            data, validation = _hold_out(data, spec, seed)
        else:
            data = data.without(validation)
            _check_labels(data, spec)
        ensemble = _new_ensemble(spec, data, seed, device)
        stopping = _stopping_batch(ensemble, validation)
        batch = _with_label_folds(ensemble, ensemble.batch(data))
        trainer = Trainer(
            ensemble.model,
            batch,
            stopping,
            seed,
            _measurements(ensemble, data),
        )
        run = cls(ensemble, trainer, [], None if folder is None else Path(folder))
        with run._locked():
            if not (resume and run._resume()):
                run._save(distilled=False)  # an interrupt can be resumed from the first step on
                batches = [batch, stopping if held_out else None]
                _distil(ensemble, batches, trainer.head_loss.measurements, seed, progress)
                run._save()
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
        _check_labels(data, ensemble.spec)
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
        batch, measured = copied.batch(data), _measurements(copied, data)
        share = min(1.0, epochs / training.epochs)
        _distil(copied, [batch], measured, seed, progress, share, _UPDATE_RATE)
        trainer = Trainer(copied.model, batch, None, seed, measured, settings)
        return cls(copied, trainer, [], None)

    @torch.inference_mode(False)
    def train(self, progress: bool) -> None:
        """Train to the end; an interrupt too keeps the best weights and saves the state."""
        trainer = self.trainer
        with self._locked():
            try:
                self._train_epochs(progress)
            except KeyboardInterrupt:
                self._save()
                raise
            finally:
                trainer.keep_best()
                calibrate(self.ensemble.model, trainer.data, trainer.validation)
            # A function of the best weights and the seed: a resumed training needs no state of it.
            if isinstance(trainer.model, AlloyModel):
                train_encoder(trainer.model, trainer.data, trainer.settings, self.ensemble.seed)

    def _train_epochs(self, progress: bool) -> None:
        with tqdm(
            total=self.trainer.settings.epochs,
            initial=self.trainer.epoch,
            disable=not progress,
            desc="training",
            unit="epoch",
        ) as bar:
            for record in self.trainer.epochs():
                self.records.append(record)
                bar.update()
                if record.elbo_loss is not None and record.log_loss is not None:
                    bar.set_postfix_str(
                        f"validation: {np.mean(record.elbo_loss):.1f} nats/alloy, "
                        f"log loss {np.mean(record.log_loss):.3f}"
                    )
                if record.epoch % _SAVE_EVERY == 0:
                    self._save()

    def _locked(self) -> AbstractContextManager[None]:
        """Be the only process that trains into the folder."""
        return nullcontext() if self.folder is None else locked(self.folder, _NAME)

    def _identity(self) -> dict[str, Any]:
        """What tells one training from another."""
        batches = (self.trainer.data, self.trainer.validation)
        return {
            "spec": self.ensemble.spec.to_mapping(),
            "seed": self.ensemble.seed,
            "data": [checkpoint.hash_of_tensors(b.tensors()) if b else None for b in batches],
        }

    def _save(self, distilled: bool = True) -> None:
        if self.folder is not None:
            records = [record._asdict() for record in self.records]
            more = {"distilled": distilled, "records": records}
            checkpoint.write(self.folder, _NAME, self.trainer.state(), self._identity() | more)

    def _resume(self) -> bool:
        """Continue from the saved state; False where there is none from which to continue."""
        if self.folder is None:
            raise DataError("resume needs the folder of the training: pass checkpoint=...")
        if not checkpoint.exists(self.folder, _NAME):
            warnings.warn(
                f"there is no training to resume in '{self.folder}'; a new one starts",
                ResumeWarning,
                stacklevel=4,
            )
            return False
        tensors, manifest = checkpoint.read(self.folder, _NAME)
        for key, now in self._identity().items():
            if manifest.get(key) != now:
                raise CheckpointError(
                    f"the training in '{self.folder}' was started with another {key}: continue "
                    "with the same, or start anew without resume"
                )
        if not manifest.get("distilled"):
            return False
        try:
            records = [_RECORD.validate_python(record) for record in manifest["records"]]
        except (KeyError, TypeError, ValidationError) as error:
            raise CheckpointError(
                f"the training in '{self.folder}' has records that cannot be read: {error}"
            ) from None
        self.trainer.restore(tensors)
        self.records.extend(records)
        return True


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


def untrained_ensemble(spec: ModelSpec, alloys: AlloyDataset | Alloys, seed: int) -> Ensemble:
    """Members with their initial weights, which have seen no label.

    Parameters
    ----------
    spec : ModelSpec
    alloys : alloys
        Give the elements and the features that priors read; their labels are not used. Numbers are
        scaled by their priors in place of labels.
    seed : int
    """
    fractions = as_fractions(alloys)
    ensemble = _initialised(spec, fractions, _declared_scales(spec), seed, torch.device("cpu"))
    ensemble.model.eval()
    return ensemble


def _new_ensemble(spec: ModelSpec, data: AlloyDataset, seed: int, device: torch.device) -> Ensemble:
    return _initialised(spec, data.fractions, _scales(spec, data), seed, device)


def _initialised(
    spec: ModelSpec,
    table: pd.DataFrame,
    scales: dict[str, Any],
    seed: int,
    device: torch.device,
) -> Ensemble:
    elements = tuple(e for e in table.columns if (table[e] > 0).any())
    fractions = table[list(elements)]
    feature_map = FeatureMap(spec.features.columns, load_tables(spec.features.tables), elements)
    features = feature_map(torch.tensor(fractions.to_numpy(float))).float()
    statistics = replace(Statistics.of_features(features, spec.features.bins), **scales)
    with seeded(seed):
        model = AlloyModel(spec, len(elements), statistics)
    return Ensemble(model.to(device), elements, fractions, seed)


def _declared_scales(spec: ModelSpec) -> dict[str, Any]:
    """Scales of labels and conditions, and the sources, from the spec alone."""
    scales: dict[str, Any] = {}
    conditions, sources = {}, {}
    for target in spec.targets:
        if isinstance(target, Continuous):
            with seeded(0):
                drawn = target.known_prior.distribution().sample(torch.Size([_PRIOR_DRAWS]))
            unbounded = drawn if target.transform == "log" else link_of(target).inv(drawn)
            # Quantiles, for a prior that has no moments has these.
            low, centre, high = unbounded.quantile(torch.tensor([0.16, 0.5, 0.84])).tolist()
            scales[target.name] = centre, (high - low) / 2
            conditions[target.name] = (1.0,) * len(target.conditions)
        elif isinstance(target, Binary | Categorical) and target.reports is not None:
            sources[target.name] = tuple(target.reports.sources) or ("a source",)
    return {"scales": scales, "conditions": conditions, "sources": sources}


def _scales(spec: ModelSpec, data: AlloyDataset) -> dict[str, Any]:
    scales: dict[str, Any] = {}
    conditions, sources, ranges = {}, {}, {}
    for target in spec.targets:
        if isinstance(target, Continuous):
            labels = encode_values(data.labels[target.name].dropna(), target)
            unbounded = link_of(target).inv(torch.tensor(labels.to_numpy(float)))
            scales[target.name] = float(unbounded.mean()), float(unbounded.std())
            if target.conditions:
                _, at, _ = measurements(data, target)
                spread = at.std(0)
                conditions[target.name] = tuple(np.where(spread > 0, spread, 1.0).tolist())
                ranges[target.name] = tuple(
                    zip(at.min(0).tolist(), at.max(0).tolist(), strict=True)
                )
        elif isinstance(target, Binary | Categorical) and target.reports is not None:
            reports = data.reports[data.reports["target"] == target.name]
            sources[target.name] = tuple(sorted(reports["source"].unique()))
    return {
        "scales": scales,
        "conditions": conditions,
        "sources": sources,
        "condition_ranges": ranges,
    }


def _measurements(ensemble: Ensemble, data: AlloyDataset) -> dict[str, Measurements]:
    """Every report of the targets that have conditions, as tensors."""
    found = {}
    for target in ensemble.spec.targets:
        if isinstance(target, Continuous) and target.conditions:
            rows, conditions, values = measurements(data, target)
            at = ensemble.standardised_conditions(target, conditions)
            found[target.name] = Measurements(
                torch.tensor(rows, device=ensemble.device),
                torch.tensor(at, dtype=torch.float32, device=ensemble.device),
                torch.tensor(values, dtype=torch.float32, device=ensemble.device),
            )
    return found


def _with_label_folds(ensemble: Ensemble, batch: AlloyBatch) -> AlloyBatch:
    """Deal the labels of each number into folds; each member leaves out another fold."""
    rng, folds = np.random.default_rng(ensemble.seed), {}
    for target in ensemble.spec.targets:
        rows = batch.known(target.name).nonzero()[:, 0].cpu()
        if isinstance(target, Continuous) and len(rows) >= LABEL_FOLDS:
            distilled = target.name in ensemble.spec.distilled_targets
            count = count_label_folds(ensemble.members) if distilled else LABEL_FOLDS
            fold = torch.full((len(batch),), -1)
            fold[rows] = torch.tensor(rng.permutation(len(rows)) % count)
            folds[target.name] = fold.to(ensemble.device)
    return batch.replaced(label_folds=folds)


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


def _stopping_batch(ensemble: Ensemble, validation: AlloyDataset | None) -> AlloyBatch | None:
    """Validation alloys of the training elements; the others have no ELBO."""
    if validation is None:
        return None
    known = list(ensemble.elements)
    outside = validation.fractions.drop(columns=known, errors="ignore").sum(axis=1) > 0
    inside = validation.take(~outside.to_numpy())
    return ensemble.batch(inside) if len(inside) else None


def _check_labels(data: AlloyDataset, spec: ModelSpec) -> None:
    for target in spec.targets:
        name = target.name
        labels = data.labels[name].dropna() if name in data.labels else pd.Series(dtype=float)
        if labels.empty:
            raise DataError(
                f"no alloy is labelled with '{name}'. Targets in the data: "
                f"{', '.join(data.targets) or 'none'}; give labels, or take the target out of the "
                "spec"
            )
        if encode_values(labels, target).nunique() == 1:
            one, other = (
                ("one value", "with other values")
                if isinstance(target, Continuous)
                else ("one class", "of the other class")
            )
            value = labels.iloc[0] if isinstance(labels.iloc[0], str) else f"{labels.iloc[0]:g}"
            raise DataError(
                f"every label of '{name}' is {value}: {one} only cannot be learnt from. Add "
                f"alloys {other}"
            )


def _hold_out(
    data: AlloyDataset, spec: ModelSpec, seed: int
) -> tuple[AlloyDataset, AlloyDataset | None]:
    """Hold out labelled alloys for early stopping, where there are enough.

    Alloys whose labels leave a target with one value only are not held out.
    """
    labels = data.labels[list(spec.target_names)]
    labelled = np.flatnonzero(labels.notna().any(axis=1))
    if len(labelled) < _ENOUGH_LABELS:
        return data, None
    rng = np.random.default_rng(seed)
    held = np.zeros(len(data), bool)
    held[rng.choice(labelled, int(_HELD_OUT * len(labelled)), replace=False)] = True
    for name in spec.target_names:
        if labels[name][~held].nunique() < 2:
            held &= labels[name].isna().to_numpy()
    return data.take(~held), data.take(held)
