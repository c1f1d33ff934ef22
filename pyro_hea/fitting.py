"""A training run: from tables to an ensemble, saved as it goes and continued where it stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from pyro_hea.alloys.composition import load_tables
from pyro_hea.alloys.dataset import (
    AlloyBatch,
    AlloyDataset,
    Statistics,
    encode_values,
    measurements,
)
from pyro_hea.alloys.features import FeatureMap
from pyro_hea.devices import seeded
from pyro_hea.errors import CheckpointError, DataError, UnknownElementError
from pyro_hea.inference import PARTS, EpochRecord, Measurements, Trainer, checkpoint, learn, sleep
from pyro_hea.posterior import Ensemble, as_fractions, calibrate
from pyro_hea.program.model import AlloyModel
from pyro_hea.program.sites import link_of
from pyro_hea.spec import Binary, Categorical, Continuous

if TYPE_CHECKING:
    from pyro_hea.alloys.composition import Alloys
    from pyro_hea.spec import ModelSpec

_NAME = "training"

_GENTLER = 0.2
"""Share of the learning rates with which a trained model is trained further."""

_SAVE_EVERY = 25
"""Epochs between saves."""

_HELD_OUT = 0.1
"""Share of the labelled alloys that decides when to stop, where none are given for that."""

_ENOUGH_LABELS = 100
"""Fewer labelled alloys than these are all trained on, to the last epoch."""

_PRIOR_DRAWS = 4001
"""Behind the scale of a number whose labels are not looked at."""

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
        """Check the data, make the first weights and teach the heads, or read the saved state.

        Parameters
        ----------
        spec : ModelSpec
        data : AlloyDataset
        validation : AlloyDataset or None
            None holds out a part of `data`, by which no taught head is stopped: it is taught, too.
        seed : int
        device : torch.device
        folder : path or None
        resume : bool
        progress : bool
            Show a progress bar of the lessons.

        Raises
        ------
        DataError
            For a target without labels, or with labels of one class only.
        MissingFileError, CheckpointError
            Where nothing, or another training, is there to be resumed.
        OutputError
            Where the folder cannot be written.
        """
        _check_labels(data, spec)
        held_out = validation is None
        if validation is None:
            data, validation = _hold_out(data, spec, seed)
        else:
            data = data.without(validation)
            _check_labels(data, spec)
        ensemble = _new_ensemble(spec, data, seed, device)
        stopping = _stopping_batch(ensemble, validation)
        batch = _in_parts(ensemble, ensemble.batch(data))
        trainer = Trainer(
            ensemble.model,
            batch,
            stopping,
            seed,
            _measurements(ensemble, data),
        )
        run = cls(ensemble, trainer, [], None if folder is None else Path(folder))
        if resume:
            run._resume()
        else:
            _teach(ensemble, [batch, stopping if held_out else None], seed, progress)
        run._save()
        return run

    @classmethod
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
                "learning_rate": _GENTLER * training.learning_rate,
                "head_learning_rate": _GENTLER * training.head_learning_rate,
            }
        )
        copied = Ensemble(deepcopy(ensemble.model), ensemble.elements, known, seed)
        batch, measured = copied.batch(data), _measurements(copied, data)
        part = min(1.0, epochs / training.epochs)
        _teach(copied, [batch], seed, progress, part=part, gentleness=_GENTLER)
        trainer = Trainer(copied.model, batch, None, seed, measured, settings)
        return cls(copied, trainer, [], None)

    def train(self, progress: bool) -> None:
        """Train to the end; an interrupt, too, leaves the best weights and a saved state."""
        try:
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
        except KeyboardInterrupt:
            self._save()
            raise
        finally:
            self.trainer.keep_best()
            calibrate(self.ensemble.model, self.trainer.data, self.trainer.validation)
        # The guide of the weights that are kept; of these and the seed alone, so nothing is saved.
        trainer = self.trainer
        if isinstance(trainer.model, AlloyModel):
            sleep(trainer.model, trainer.data, trainer.settings, self.ensemble.seed)

    def _identity(self) -> dict[str, Any]:
        """What tells one training from another."""
        batches = (self.trainer.data, self.trainer.validation)
        return {
            "spec": self.ensemble.spec.to_mapping(),
            "seed": self.ensemble.seed,
            "data": [checkpoint.hash_of_tensors(b.tensors()) if b else None for b in batches],
        }

    def _save(self) -> None:
        if self.folder is not None:
            records = {"records": [record._asdict() for record in self.records]}
            state = self.trainer.state()
            checkpoint.write(self.folder, _NAME, state, self._identity() | records)

    def _resume(self) -> None:
        if self.folder is None:
            raise DataError("resume needs the folder of the training: pass checkpoint=...")
        tensors, manifest = checkpoint.read(self.folder, _NAME)
        for key, now in self._identity().items():
            if manifest.get(key) != now:
                raise CheckpointError(
                    f"the training in '{self.folder}' was started with another {key}: continue "
                    "with the same, or start anew without resume"
                )
        self.trainer.restore(tensors)
        self.records.extend(EpochRecord(**record) for record in manifest["records"])


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
    """Members with their first weights, that have seen no label.

    Parameters
    ----------
    spec : ModelSpec
    alloys : alloys
        Give the elements, and the features that priors may read; their labels are not looked at.
        What the labels of a training would scale is scaled by the priors.
    seed : int
    """
    fractions = as_fractions(alloys)
    ensemble = _first_weights(spec, fractions, _declared_scales(spec), seed, torch.device("cpu"))
    ensemble.model.eval()
    return ensemble


def _new_ensemble(spec: ModelSpec, data: AlloyDataset, seed: int, device: torch.device) -> Ensemble:
    return _first_weights(spec, data.fractions, _scales(spec, data), seed, device)


def _first_weights(
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
    """Scales of labels, conditions and sources as far as a spec alone tells them."""
    scales: dict[str, Any] = {}
    conditions, sources = {}, {}
    for target in spec.targets:
        if isinstance(target, Continuous):
            with seeded(0):
                drawn = target.prior.distribution().sample(torch.Size([_PRIOR_DRAWS]))
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
    conditions, sources = {}, {}
    for target in spec.targets:
        if isinstance(target, Continuous):
            labels = encode_values(data.labels[target.name].dropna(), target)
            unbounded = link_of(target).inv(torch.tensor(labels.to_numpy(float)))
            scales[target.name] = float(unbounded.mean()), float(unbounded.std())
            if target.conditions:
                _, at, _ = measurements(data, target)
                spread = at.std(0)
                conditions[target.name] = tuple(np.where(spread > 0, spread, 1.0).tolist())
        elif isinstance(target, Binary | Categorical) and target.reports is not None:
            reports = data.reports[data.reports["target"] == target.name]
            sources[target.name] = tuple(sorted(reports["source"].unique()))
    return {"scales": scales, "conditions": conditions, "sources": sources}


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


def _in_parts(ensemble: Ensemble, batch: AlloyBatch) -> AlloyBatch:
    """Deal the labels of each number into parts, of which every member is not shown another."""
    rng, parts = np.random.default_rng(ensemble.seed), {}
    for target in ensemble.spec.targets:
        rows = batch.known(target.name).nonzero()[:, 0].cpu()
        if isinstance(target, Continuous) and len(rows) >= PARTS:
            part = torch.full((len(batch),), -1)
            part[rows] = torch.tensor(rng.permutation(len(rows)) % PARTS)
            parts[target.name] = part.to(ensemble.device)
    return batch.replaced(parts=parts)


def _teach(
    ensemble: Ensemble,
    batches: Sequence[AlloyBatch | None],
    seed: int,
    progress: bool,
    part: float = 1.0,
    gentleness: float = 1.0,
) -> None:
    """Teach the heads, where the spec declares a teacher and a head that can be taught.

    A part of the steps, at a share of the learning rate.
    """
    spec = ensemble.spec
    teacher = spec.training.teacher
    if teacher is None or not spec.taught:
        return
    from pyro_hea.inference.teacher import (
        lessons,  # scikit-learn, which what is trained needs no more
    )

    known = [batch for batch in batches if batch is not None]
    learn(
        ensemble.model,
        lessons(spec, known, ensemble.feature_map, seed),
        steps=math.ceil(part * teacher.steps),
        share=gentleness,
        seed=seed,
        progress=progress,
    )


def _stopping_batch(ensemble: Ensemble, validation: AlloyDataset | None) -> AlloyBatch | None:
    """Validation alloys of the training elements; the others say nothing of the ELBO."""
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
    """Split off labelled alloys that decide when to stop, where there are enough.

    Labels without which a target could not be learnt stay.
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
