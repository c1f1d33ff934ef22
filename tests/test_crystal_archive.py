"""Saved models of crystals, of strangers who mend the hashes of what they change."""

import pandas as pd
import pytest
import torch
from small import CRYSTALS
from strangers import stranger

from pyro_hea import CrystalSpec, CrystalVAE, load_crystals
from pyro_hea.errors import CheckpointError

SMALL = CRYSTALS | {
    "targets": {
        "metal": {},
        "acoustic_debye_temperature": {
            "kind": "continuous",
            "calibration": None,
            "prior": {"dist": "Normal", "loc": 5, "scale": 1},
        },
    },
}


@pytest.fixture(scope="module")
def crystals():
    return load_crystals().take(slice(0, 200)).of_size(6)


@pytest.fixture(scope="module")
def saved(crystals, tmp_path_factory, few_teacher_trees):
    folder = tmp_path_factory.mktemp("crystals")
    vae = CrystalVAE(CrystalSpec.from_mapping(SMALL)).fit(crystals, seed=0, progress=False)
    vae.save(folder)
    return folder


def test_what_nobody_changed_is_read(saved, crystals, tmp_path):
    some = crystals.take([0, 1])
    again = CrystalVAE.load(stranger(saved, tmp_path, "crystals"))
    pd.testing.assert_frame_equal(again.predict(some), CrystalVAE.load(saved).predict(some))


def put(*path, to):
    """An edit of the manifest at a place."""

    def edit(manifest):
        holder = manifest
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = to

    return edit


EDITS = {
    "an unknown key": (put("more", to=1), "unknown key 'more'"),
    "a key of another type": (put("population", to="many"), "population"),
    "another number of crystals": (put("population", to=7), "population is 7"),
    "a larger network": (put("spec", "head", "hidden", to=[4096, 4096, 4096]), "larger model"),
    "another head": (put("spec", "head", "hidden", to=[9]), "by the spec it is"),
    "scales of other targets": (put("label_scales", to={}), "label_scales"),
    "a scale of zero": (put("label_scales", "acoustic_debye_temperature", 1, to=0.0), "greater"),
    "no space group": (put("vocabulary", "prototypes", 0, "label", to="0:a"), "no space group 0"),
    "no prototype": (put("vocabulary", "prototypes", 0, "label", to="225"), "is no prototype"),
    "no Wyckoff letter": (put("vocabulary", "prototypes", 0, "kinds", to=["?"]), "Wyckoff"),
    "no element": (put("vocabulary", "seen", to=["Xy"]), "no element 'Xy'"),
    "atoms that explode": (put("vocabulary", "formula_types", 0, to=[1] * 60), "formula type"),
    "no crystal": (put("known", "text", 0, to="1 | x"), "no crystal"),
    "a crystal twice": (
        lambda m: put("known", "ids", 0, to=m["known"]["ids"][1])(m),
        "more than once",
    ),
    "other elements": (put("elements_sha256", to="0" * 64), "other properties of the elements"),
    "other features": (
        put("vocabulary", "scales", "structure", "names", 0, to="colour"),
        "not those of this release",
    ),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_manifest_that_does_not_fit_is_refused(what, saved, tmp_path):
    edit, message = EDITS[what]
    with pytest.raises(CheckpointError, match=message):
        CrystalVAE.load(stranger(saved, tmp_path, "crystals", edit))


def changed(name, function):
    """A change of one tensor."""
    return lambda tensors: tensors.update({name: function(tensors[name])})


CHANGES = {
    "a weight that is missing": (lambda t: t.pop("weights.own_centre"), "no tensor"),
    "a weight of another type": (changed("weights.own_centre", torch.Tensor.double), "float64"),
    "a weight that is no number": (
        changed("weights.own_centre", lambda t: t * float("nan")),
        "not finite",
    ),
    "a weight too many": (lambda t: t.update(x=torch.zeros(1)), "no place for x"),
    "labels of other crystals": (changed("known", lambda t: t[1:].clone()), "'known' is not"),
    "other formula types": (
        changed("weights.table_counts", lambda t: t + 1),
        "table_counts is not that of the vocabulary",
    ),
    "counts below zero": (changed("weights.table_type_counts", lambda t: -t), "below zero"),
    "prototypes without assignment": (
        changed("weights.table_assignment_counts", lambda t: torch.full_like(t, -1.0)),
        "no assignment",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_tensors_that_do_not_fit_are_refused(what, saved, tmp_path):
    change, message = CHANGES[what]
    with pytest.raises(CheckpointError, match=message):
        CrystalVAE.load(stranger(saved, tmp_path, "crystals", change=change))
