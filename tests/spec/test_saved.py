"""The manifest of a saved model holds the whole spec and reproduces it."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from strangers import contents

from pyro_hea.errors import CheckpointError
from pyro_hea.inference import checkpoint
from pyro_hea.materials.alloys.dataset import Statistics
from pyro_hea.posterior import Ensemble
from pyro_hea.posterior.archive import load_ensemble, save_ensemble
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import ModelSpec

SMALL = {
    "head": {"hidden": [3]},
    "encoder": {"hidden": [3]},
    "decoder": {"hidden": [3]},
    "training": {"members": 2},
}
EVERY_KIND = {
    "targets": {
        "single_phase": {
            "prior": {"rule": "hume_rothery", "omega_min": 1.1, "strength": 1.5},
            "reports": {"right": 4, "sources": {"Borg et al.": {"right": 19, "wrong": 1}}},
        },
        "phase": {
            "kind": "categorical",
            "classes": ["fcc", "bcc", "several"],
            "given": ["single_phase"],
            "only": {"single_phase": {0: ["several"], 1: ["fcc", "bcc"]}},
            "prior": {"dist": "Categorical", "probs": [0.5, 0.25, 0.25]},
        },
        "rating": {"kind": "ordinal", "levels": ["low", "middle", "high"]},
        "ductile": {
            "prior": {
                "logistic": {"omega": 0.5, "mixing_entropy": {"dist": "HalfNormal", "scale": 1}}
            }
        },
        "hardness": {
            "kind": "continuous",
            "unit": "HV",
            "prior": {"dist": "StudentT", "df": 4, "loc": 6},
            "given": ["phase"],
            "heteroscedastic": False,
            "conditions": {"test_temperature": 25},
        },
    },
}
LATENTS = {
    "independent": {"dim": 2, "prior": {"dist": "Laplace", "loc": 0, "scale": 1.5}},
    "mixture": {"dim": 2, "prior": {"dist": "Mixture", "components": 3}},
    "vamp": {"dim": 3, "prior": {"dist": "VampPrior", "components": 3}, "flow": None},
    "flow": {"dim": 2, "prior": {"dist": "Flow", "layers": 1, "hidden": 3}},
}


def ensemble_of(spec):
    statistics = Statistics.of_features(
        torch.rand(9, len(spec.features.columns)), spec.features.bins
    )
    sources = {"single_phase": ("Borg et al.", "Couzinié et al.")}
    scales = {"hardness": (6.0, 0.5)}
    conditions = {"hardness": (100.0,)}
    statistics = replace(statistics, sources=sources, scales=scales, conditions=conditions)
    model = AlloyModel(spec, 2, statistics).eval()
    known = pd.DataFrame([[0.5, 0.5]], pd.Index(["CoNi"], name="formula"), ["Co", "Ni"])
    return Ensemble(model, ("Co", "Ni"), known, seed=3)


@pytest.mark.parametrize("likelihood", ["multinomial", "dirichlet", "hurdle"])
@pytest.mark.parametrize("latent", LATENTS)
def test_of_every_kind(latent, likelihood, tmp_path):
    spec = ModelSpec.from_mapping(
        {
            **SMALL,
            **EVERY_KIND,
            "latent": LATENTS[latent],
            "likelihood": {"kind": likelihood},
            "features": {"tables": "published", "bins": 3},
        }
    )
    save_ensemble(ensemble_of(spec), tmp_path)
    back = load_ensemble(tmp_path, torch.device("cpu"))
    assert back.spec == spec
    assert hash(back.spec) == hash(spec)
    manifest = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    assert manifest["spec"] == json.loads(json.dumps(spec.to_mapping()))
    assert manifest["spec"].keys() == ModelSpec.model_fields.keys()


def test_of_a_distribution_that_is_no_longer_known_says_how_to_mend_it(tmp_path):
    save_ensemble(ensemble_of(ModelSpec.from_mapping({**SMALL, "latent": {"dim": 2}})), tmp_path)
    tensors, manifest = contents(tmp_path, "model")
    text = json.dumps(manifest)
    assert '"Normal"' in text
    checkpoint.write(tmp_path, "model", tensors, json.loads(text.replace('"Normal"', '"MyOwn"')))
    with pytest.raises(CheckpointError, match="register_distribution before the spec is read"):
        load_ensemble(tmp_path, torch.device("cpu"))
