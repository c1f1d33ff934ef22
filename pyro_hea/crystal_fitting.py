"""A training run of crystals: from a dataset to an ensemble, on the loop that alloys have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from pyro_hea.devices import check_torch_settings, seeded
from pyro_hea.errors import DataError, UnknownTargetError, nearest
from pyro_hea.fitting import TrainingRun
from pyro_hea.inference import Trainer
from pyro_hea.inference.head_training import train_heads
from pyro_hea.inference.prototype_weights import Compositions, train_prototype_weights
from pyro_hea.materials.alloys.dataset import Statistics
from pyro_hea.materials.crystals import CrystalDataset, CrystalVocabulary, crystal_batch
from pyro_hea.materials.crystals.exchanges import exchanged_formulas
from pyro_hea.posterior.crystal_ensemble import CrystalEnsemble, batch_inputs, labelled_inputs
from pyro_hea.program.crystal_batch import CrystalInputs, CrystalTables, inputs_of
from pyro_hea.program.crystals import CrystalModel
from pyro_hea.program.sites import link_of
from pyro_hea.spec import Continuous
from pyro_hea.spec.crystals import PrototypeMixture
from pyro_hea.spec.inferred import prior_of_values

if TYPE_CHECKING:
    from pyro_hea.posterior import Ensemble
    from pyro_hea.spec import CrystalSpec

_FEWEST = 10
"""Crystals that a training needs."""

_FORMULAS_EACH = 20
"""Formulas for a crystal at most, of which the weights of the prototypes learn, in fewer steps."""

_HELD_OUT, _ENOUGH_SYSTEMS = 0.1, 50
"""Share of the chemical systems whose labels are for calibration, and the least number of them."""


def prepare_crystals(
    spec: CrystalSpec,
    data: CrystalDataset,
    *,
    seed: int,
    folder: str | Path | None,
    resume: bool,
    progress: bool = False,
) -> TrainingRun:
    """Check the data, make the first weights and train the heads, or read the saved state.

    A tenth of the chemical systems is trained on without labels; by these the members are
    calibrated.

    Raises
    ------
    DataError
        For a target without labels, or with labels of one value only.
    UnknownTargetError
        For a target that the dataset lacks.
    MissingFileError, CheckpointError
        Where nothing, or another training, is there to be resumed.
    """
    check_torch_settings()
    _check(spec, data)
    vocabulary = CrystalVocabulary.of(data)
    batch = crystal_batch(data, vocabulary, targets=list(spec.target_names))
    bare = inputs_of(batch, vocabulary, {})
    scales = _scales(spec, data)
    spec = _with_priors(spec, data)
    statistics = Statistics(torch.zeros(1, 2), torch.zeros(1), torch.ones(1), scales)
    with seeded(seed):
        model = CrystalModel(spec, CrystalTables.of(vocabulary, bare), statistics)
    ensemble = CrystalEnsemble(model, vocabulary, data, seed)
    inputs = labelled_inputs(batch_inputs(ensemble, batch), spec)
    shown, validation = _hold_out(inputs, data, spec, seed)
    trainer = Trainer(model, shown, validation, seed)
    where = None if folder is None else Path(folder)
    run = TrainingRun(trainer, [], where, cast("Ensemble", ensemble))
    with run.locked():
        if not (resume and run.resume()):
            run.save(distilled=False)  # an interrupt can be resumed from the first step on
            train_heads(model, shown, epochs=spec.head_epochs, seed=seed, progress=progress)
            prior = spec.structure.prior
            if isinstance(prior, PrototypeMixture):
                known = [crystal.counts for crystal in data.crystals]
                share = min(1.0, _FORMULAS_EACH * len(known) / prior.formulas)
                fewer = {n: round(share * getattr(prior, n)) for n in ("formulas", "steps")}
                prior = prior.model_copy(update=fewer)
                made = exchanged_formulas(known, prior.formulas, np.random.default_rng(seed))
                crystals, formulas = (
                    Compositions(batch, ensemble.most_probable(batch))
                    for batch in (shown, ensemble.inputs_of_formulas(made))
                )
                train_prototype_weights(
                    model, prior, crystals, formulas, seed=seed, progress=progress
                )
            run.save()
    return run


def _check(spec: CrystalSpec, data: CrystalDataset) -> None:
    if not isinstance(data, CrystalDataset):
        raise DataError(
            f"it is trained on a CrystalDataset, as load_crystals() and read_crystals(folder, "
            f"table) give, not on {type(data).__name__}"
        )
    if len(data) < _FEWEST:
        raise DataError(f"{len(data)} crystals are too few to learn from; give {_FEWEST} at least")
    known = [str(name) for name in data.targets]
    for name in spec.target_names:
        if name not in known:
            raise UnknownTargetError(
                f"the crystals have no target '{name}'.{nearest(name, known)} They have "
                f"{', '.join(known) or 'none'}; declare which to learn, as "
                "CrystalSpec(targets={'gap': {'kind': 'continuous', 'unit': 'eV'}})"
            )
        labels = _labels(spec, data, name)
        if np.unique(labels).size < 2:
            raise DataError(
                f"no two crystals have different labels of '{name}': give labels, or take the "
                "target out of the spec"
            )


def _labels(spec: CrystalSpec, data: CrystalDataset, name: str) -> np.ndarray:
    """Labels of a target that mean something; see `CrystalSpec.undefined_if`."""
    labels = data.targets[name]
    other = spec.undefined_if.get(name)
    if other is not None:
        labels = labels[~(data.targets[other] > 0.5)]
    return labels.dropna().to_numpy(float)


def _scales(spec: CrystalSpec, data: CrystalDataset) -> dict[str, tuple[float, float]]:
    scales = {}
    for target in spec.targets:
        if isinstance(target, Continuous):
            labels = torch.tensor(_labels(spec, data, target.name))
            unbounded = link_of(target).inv(labels)
            if not unbounded.isfinite().all():
                raise DataError(
                    f"'{target.name}' has labels that are not positive, of which there is no "
                    "logarithm; blank them, or set transform: identity and positive: false"
                )
            scales[target.name] = float(unbounded.mean()), float(unbounded.std())
    return scales


def _with_priors(spec: CrystalSpec, data: CrystalDataset) -> CrystalSpec:
    """The spec with a prior scaled to the labels for each number that declares none."""
    priors = {
        f"targets__{target.name}__prior": prior_of_values(
            _labels(spec, data, target.name), target.transform
        )
        for target in spec.targets
        if isinstance(target, Continuous) and target.prior is None
    }
    return spec.with_(**priors) if priors else spec


def _hold_out(
    inputs: CrystalInputs, data: CrystalDataset, spec: CrystalSpec, seed: int
) -> tuple[CrystalInputs, CrystalInputs | None]:
    """Take the labels of some chemical systems away, by which the members are calibrated.

    These crystals are trained on as those without labels are. Labels of a target stay where too
    few would be left.
    """
    systems, number = np.unique(data.info["chemical_system"], return_inverse=True)
    if len(systems) < _ENOUGH_SYSTEMS:
        return inputs, None
    held = np.random.default_rng(seed).random(len(systems)) < _HELD_OUT
    rows = torch.tensor(held[number])
    labelled, theirs = dict(inputs.labelled), {}
    for name in spec.target_names:
        left = labelled[name] & ~rows
        if inputs.targets[name][left].unique().numel() > 1:
            theirs[name] = labelled[name][rows]
            labelled[name] = left
    validation = inputs.take(rows).replaced(
        targets={name: inputs.targets[name][rows] for name in theirs}, labelled=theirs
    )
    return inputs.replaced(labelled=labelled), validation
