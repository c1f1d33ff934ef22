"""Weights of prototypes learnt from a forest, beside a forest that is fitted here."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier
from small import CRYSTALS

from pyro_hea import CrystalSpec, load_crystals
from pyro_hea.crystal_fitting import prepare_crystals
from pyro_hea.evaluate.crystal_targets import features_of
from pyro_hea.fitting import TrainingRun


class Prepared(NamedTuple):
    run: TrainingRun
    probabilities: np.ndarray  # of every prototype, by held-out crystal
    forest: np.ndarray


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """Binary compounds of at most four atoms: of 240 the network learns, then asked for others."""
    every = load_crystals()
    some = every.take(np.flatnonzero(every.text.str.count(";") <= 1)[::6]).of_size(4)
    train, others = some.take(np.arange(240)), some.take(np.arange(240, len(some)))
    learnt = {"hidden": [32], "trees": 30, "formulas": 600, "steps": 300}
    spec = CrystalSpec.from_mapping(CRYSTALS).with_(
        head_epochs=1, **{f"structure__prior__{key}": value for key, value in learnt.items()}
    )
    run = prepare_crystals(spec, train, seed=0, folder=None, resume=False)
    ensemble, index = run.ensemble, run.ensemble.vocabulary.prototype_index
    label = train.info["prototype"]
    often = (label.map(label.value_counts()) >= 4).to_numpy()
    forest = ExtraTreesClassifier(100, random_state=5).fit(
        features_of(train, False)[often], label[often]
    )
    others = others.take(~ensemble.foreign(others))
    inputs = ensemble.inputs_of_formulas([dict(crystal.counts) for crystal in others.crystals])
    found = ensemble.prototype_probabilities(
        inputs.composition, ensemble.most_probable(inputs), inputs.formula_type
    )
    told = np.zeros(found.shape[1:])
    told[:, [index[name] for name in forest.classes_]] = forest.predict_proba(
        features_of(others, False)
    )
    kinds = ensemble.model.get_buffer("table_prototype_type")
    told[(kinds != inputs.formula_type.unsqueeze(-1)).numpy()] = 0
    kept = told.sum(1) > 0
    told = told[kept]
    return Prepared(run, found.mean(0).numpy()[kept], told / told.sum(1, keepdims=True))


def test_they_are_those_of_a_forest_on_formulas_that_it_never_saw(prepared):
    counts = prepared.run.ensemble.model.get_buffer("table_prototype_counts").numpy()
    of_type = prepared.probabilities > 0
    frequencies = of_type * counts / (of_type * counts).sum(1, keepdims=True)
    assert len(prepared.forest) > 50

    def nats(p: np.ndarray) -> float:  # from the forest's
        ratio = np.log(np.maximum(prepared.forest, 1e-9)) - np.log(np.maximum(p, 1e-9))
        return float((prepared.forest * ratio).sum(1).mean())

    assert nats(prepared.probabilities) < 0.5 * nats(frequencies)


def test_they_sum_to_one_among_those_of_the_formula_type(prepared):
    np.testing.assert_allclose(prepared.probabilities.sum(1), 1, rtol=1e-5)


def test_other_training_leaves_them_as_they_are(prepared):
    model = prepared.run.ensemble.model
    before = {n: p.clone() for n, p in model.named_parameters()}
    next(iter(prepared.run.trainer.epochs()))
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert "own_centre" in moved
    assert not any(name.startswith(("weights.", "heads.")) for name in moved)
