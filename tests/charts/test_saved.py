"""Atlases in a folder, and trainings that are interrupted."""

import numpy as np
import pytest
import torch
from strangers import contents

from pyro_hea import Atlas
from pyro_hea.errors import (
    ChartWarning,
    CheckpointError,
    DataError,
    MissingFileError,
    NotFittedError,
    OutputError,
    ResumeWarning,
    TrainingDivergedError,
)
from pyro_hea.files import locked
from pyro_hea.inference import checkpoint
from pyro_hea.inference.atlas_trainer import AtlasTrainer


@pytest.fixture(scope="module")
def saved(atlas, tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    atlas.save(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _few_steps(atlas):
    """Ten of seeding in an epoch, but for the atlas of all modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyro_hea.inference.atlas_trainer.SEEDING_STEPS", 10)
        yield


@pytest.fixture(scope="module")
def quick(spec):
    """Two epochs of each phase."""
    return spec.with_(
        decoder={"couplings": 2, "hidden": [8]},
        seeding={"steps": 20, "candidates": 90},
        training={"epochs": 2, "batch_size": 500},
        overlap={"epochs": 2},
    )


@pytest.fixture(scope="module")
def whole(quick, points):
    return Atlas(quick).fit(points, seed=0, progress=False)


def answers(atlas, points):
    return np.c_[
        atlas.project(points), atlas.responsibilities(points), atlas.log_prob(points, draws=2)
    ]


def test_a_loaded_atlas_answers_bit_for_bit(atlas, saved, held_out):
    again = Atlas.load(saved)
    assert again.spec == atlas.spec
    assert repr(again) == repr(atlas)
    np.testing.assert_array_equal(answers(again, held_out), answers(atlas, held_out))
    np.testing.assert_array_equal(again.sample(50), atlas.sample(50))
    start = held_out[:3]
    ends = [a.minimize(lambda x: x[:, 0], start, steps=5).points for a in (again, atlas)]
    np.testing.assert_array_equal(*ends)


def test_an_atlas_that_is_not_fitted_is_not_saved(spec, tmp_path):
    with pytest.raises(NotFittedError):
        Atlas(spec).save(tmp_path)


def test_a_folder_without_an_atlas_is_named(tmp_path):
    with pytest.raises(MissingFileError):
        Atlas.load(tmp_path)


def put(key, to):
    return lambda manifest, tensors: manifest.update({key: to})


def change(name, function):
    return lambda manifest, tensors: tensors.update({name: function(tensors[name])})


CHANGES = {
    "no columns": (lambda m, t: m.pop("columns"), "columns"),
    "a column more": (put("columns", ["x", "y", "z"]), "by the spec it is"),
    "charts that were not trained": (lambda m, t: m["spec"].update(charts=4), r"of shape \(4,\)"),
    "networks that fill the memory": (
        lambda m, t: m["spec"].update(decoder={"hidden": [4096, 4096]}),
        "larger model",
    ),
    "a count that is none": (put("count", "many"), "many"),
    "an unknown key": (put("more", 1), "unknown key 'more'"),
    "a column twice": (put("columns", ["x", "x"]), "a column stands twice"),
    "an extent without end": (put("extent", 1e999), "extent"),
    "a floor that is no number": (put("floor", float("nan")), "floor"),
    "a seed for a spec": (put("spec", 7), "spec"),
    "coordinates that there are not": (
        lambda m, t: t.update({"weights.support": torch.tensor([[0, 9]] * 3)}),
        "names no coordinates",
    ),
    "coordinates of other charts": (
        lambda m, t: t.update({"weights.support": torch.zeros(9, 1, dtype=torch.int64)}),
        "weights.support",
    ),
    "charts of no weight in all": (change("weights.log_alpha", lambda t: t - 1), "sum to one"),
    "a scale that is none": (change("weights.scale", lambda t: -t), "scale of a chart"),
    "a frame that is none": (change("weights.frame", lambda t: t * 2), "not orthonormal"),
    "a weight too many": (lambda m, t: t.update(x=torch.zeros(1)), "no place for x"),
    "a weight missing": (lambda m, t: t.pop("weights.centre"), "weights.centre"),
    "a weight of another type": (change("weights.centre", torch.Tensor.float), "weights.centre"),
    "a weight that is no number": (change("weights.centre", lambda t: t / 0), "weights.centre"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_saved_atlas_that_does_not_fit_is_refused(what, saved, tmp_path):
    edit, message = CHANGES[what]
    tensors, manifest = contents(saved, "atlas")
    edit(manifest, tensors)
    checkpoint.write(tmp_path, "atlas", tensors, manifest)
    with pytest.raises(CheckpointError, match=message):
        Atlas.load(tmp_path)


def test_a_second_writer_is_told_who_the_first_is(atlas, tmp_path):
    with locked(tmp_path, "atlas"), pytest.raises(OutputError, match="is writing there"):
        atlas.save(tmp_path)


# Trainings.


class Interrupted(AtlasTrainer):
    """Is interrupted within one of its epochs."""

    at = 0

    def _epoch(self):
        record = super()._epoch()
        if self.epoch == self.at:
            raise KeyboardInterrupt
        return record


@pytest.mark.parametrize("epoch", [1, 2, 4, 6])
def test_an_interrupted_training_is_resumed_to_the_same_bits(
    epoch, quick, points, whole, tmp_path, monkeypatch
):
    monkeypatch.setattr(Interrupted, "at", epoch)
    with monkeypatch.context() as patched:
        patched.setattr("pyro_hea.charts.fitting.AtlasTrainer", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            Atlas(quick).fit(points, progress=False, checkpoint=tmp_path)
    torch.manual_seed(99)  # of no consequence
    resumed = Atlas(quick).fit(points, progress=False, checkpoint=tmp_path, resume=True)
    np.testing.assert_array_equal(answers(resumed, points[:50]), answers(whole, points[:50]))
    assert resumed.history.equals(whole.history)


def test_an_interrupted_atlas_answers_with_what_it_has_learnt(quick, points, monkeypatch):
    monkeypatch.setattr(Interrupted, "at", 1)
    monkeypatch.setattr("pyro_hea.charts.fitting.AtlasTrainer", Interrupted)
    atlas = Atlas(quick)
    with pytest.raises(KeyboardInterrupt):
        atlas.fit(points, progress=False)
    assert np.isfinite(atlas.project(points[:5])).all()


def test_training_leaves_the_global_random_state_alone(quick, points, numpy_state):
    before = torch.get_rng_state(), numpy_state()
    Atlas(quick).fit(points, progress=False)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy_state() == before[1]


@pytest.fixture(scope="module")
def trained(quick, points, tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    Atlas(quick).fit(points, progress=False, checkpoint=folder)
    return folder, quick


@pytest.mark.parametrize("what", ["spec", "seed", "points"])
def test_another_training_is_not_resumed(what, trained, points):
    folder, spec = trained
    spec = spec.with_(charts=2) if what == "spec" else spec
    points = points[:-1] if what == "points" else points
    with pytest.raises(CheckpointError, match=f"started with another {what}"):
        Atlas(spec).fit(
            points, seed=int(what == "seed"), progress=False, checkpoint=folder, resume=True
        )


def test_what_cannot_be_resumed_is_said(trained, points, tmp_path):
    _, spec = trained
    with pytest.raises(DataError, match="resume needs the folder"):
        Atlas(spec).fit(points, progress=False, resume=True)
    with pytest.warns(ResumeWarning, match="no training to resume"):
        Atlas(spec).fit(points, progress=False, checkpoint=tmp_path, resume=True)


STATES = {
    "a tensor missing": (lambda t: t.pop("weights.centre"), "no tensor 'weights.centre'"),
    "a tensor too many": (lambda t: t.update(x=torch.ones(1)), "an unknown tensor 'x'"),
    "another shape": (lambda t: t.update({"weights.log_alpha": torch.ones(4)}), "of shape"),
    "no number": (lambda t: t["weights.centre"].fill_(torch.nan), "not finite"),
    "epochs to come": (lambda t: t["epoch"].fill_(99), "counts epochs"),
}


@pytest.mark.parametrize("what", STATES)
def test_a_state_that_does_not_fit_is_refused(what, trained, points, tmp_path):
    folder, spec = trained
    edit, message = STATES[what]
    tensors, manifest = contents(folder, "atlas_training")
    edit(tensors)
    checkpoint.write(tmp_path, "atlas_training", tensors, manifest)
    with pytest.raises(CheckpointError, match=message):
        Atlas(spec).fit(points, progress=False, checkpoint=tmp_path, resume=True)


def test_records_that_cannot_be_read_are_named(trained, points, tmp_path):
    folder, spec = trained
    tensors, manifest = contents(folder, "atlas_training")
    checkpoint.write(tmp_path, "atlas_training", tensors, manifest | {"records": [{"epoch": 1}]})
    with pytest.raises(CheckpointError, match="records that cannot be read"):
        Atlas(spec).fit(points, progress=False, checkpoint=tmp_path, resume=True)


class Lost(AtlasTrainer):
    """Loses a chart before the overlap phase."""

    def _fix_responsibilities(self):
        self.model.centre[1] += 100
        super()._fix_responsibilities()


def test_a_chart_without_points_is_named_and_does_no_harm(quick, points, monkeypatch):
    monkeypatch.setattr("pyro_hea.charts.fitting.AtlasTrainer", Lost)
    with pytest.warns(ChartWarning, match="of 3 charts number 1 holds next to no point"):
        atlas = Atlas(quick).fit(points, progress=False)
    assert np.isfinite(atlas.history["loss"]).all()
    assert np.isfinite(atlas.log_prob(points[:20])).all()
    assert np.linalg.norm(atlas.sample(500), axis=1).max() < 10


def test_a_training_that_diverges_says_what_to_lower(quick, points):
    steep = quick.with_(training__learning_rate=1e30, overlap=None)
    with pytest.raises(TrainingDivergedError, match=r"Lower training\.learning_rate"):
        Atlas(steep).fit(points, progress=False)
