"""Heads beside trees: who is the teacher, and what crystals without a label then bring."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesRegressor
from small import CRYSTALS

from pyro_hea import CrystalSpec, load_crystals
from pyro_hea.crystal_fitting import prepare_crystals
from pyro_hea.inference import head_teacher, head_training
from pyro_hea.program.crystal_batch import CrystalInputs
from pyro_hea.program.crystals import CrystalModel

NAME, LABELS = "elastic_debye_temperature", 60


class Prepared(NamedTuple):
    model: CrystalModel
    data: CrystalInputs
    hidden: np.ndarray  # labels of the other crystals, standardised


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """Binary compounds of at most four atoms, of which some have a label, with untrained heads."""
    every = load_crystals()
    some = every.take(np.flatnonzero(every.text.str.count(";") <= 1)).of_size(4)
    some = some.take(np.flatnonzero(some.targets[NAME].notna())[:240])
    labels = some.targets[[NAME]].copy()
    labels.iloc[LABELS:] = np.nan
    number = {"kind": "continuous", "unit": "K"}
    spec = CrystalSpec.from_mapping(CRYSTALS | {"targets": {NAME: number}, "head_epochs": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_training, "teacher_of", lambda *of: None)
        run = prepare_crystals(spec, some.with_targets(labels), seed=0, folder=None, resume=False)
    model, data = run.ensemble.model, run.trainer.data
    data = data.replaced(labelled={NAME: torch.arange(len(data)) < LABELS})  # none held out
    values = torch.tensor(some.targets[NAME].to_numpy(float), dtype=torch.float32)
    data = data.replaced(targets={NAME: torch.where(data.labelled[NAME], values, 1.0)})
    hidden = model.site(NAME).encode(values)[LABELS:, 0].numpy()
    return Prepared(model, data, hidden)


def test_trees_teach_a_head_that_knows_less(prepared):
    model, data, hidden = prepared
    before = {name: value.clone() for name, value in model.state_dict().items()}
    teacher = head_teacher.teacher_of(model, data, NAME, lambda some: None)
    assert teacher.rows.tolist() == list(range(LABELS, len(data)))
    formulas, structures = teacher.moments
    assert np.corrcoef(structures[:, 0], hidden)[0, 1] > 0.8
    assert not torch.equal(formulas, structures)
    features = data.features.numpy()
    forest = ExtraTreesRegressor(200, random_state=7)
    forest.fit(features[:LABELS], model.site(NAME).encode(data.targets[NAME])[:LABELS, 0])
    assert np.corrcoef(forest.predict(features[LABELS:]), structures[:, 0])[0, 1] > 0.9
    off = (hidden - structures[:, 0].numpy()) / structures[:, 1].numpy()
    assert 0.5 < off.std() < 2
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_trees_do_not_teach_a_head_that_knows_more(prepared, monkeypatch):
    class Wrong:
        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.full(len(x), 9.0)

    monkeypatch.setattr(head_teacher, "_forest", lambda x, y: Wrong())
    assert head_teacher.teacher_of(prepared.model, prepared.data, NAME, lambda some: None) is None


def test_crystals_without_a_label_help_a_taught_head(prepared, monkeypatch):
    model, data, hidden = prepared
    before = {name: value.clone() for name, value in model.state_dict().items()}
    errors = []
    for teacher in (None, head_teacher.teacher_of(model, data, NAME, lambda some: None)):
        monkeypatch.setattr(head_training, "teacher_of", lambda *of, t=teacher: t)
        head_training.train_heads(model, data, epochs=40, seed=0, progress=False)
        with torch.no_grad():
            outputs = model.head(NAME, model.head_inputs(data), None)
            mean = model.site(NAME).normal(outputs).loc.mean(0)[LABELS:].numpy()
        errors.append(np.square(mean - hidden).mean())
        model.load_state_dict(before)
    assert errors[1] < 0.9 * errors[0]
