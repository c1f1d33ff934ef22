"""Baselines of crystals: one latent, and few labels."""

import numpy as np
import pytest
import torch

from pyro_hea import CrystalSpec, CrystalVAE, load_crystals
from pyro_hea.evaluate import crystal_baselines as baselines
from pyro_hea.evaluate.benchmark.crystals import of_runs
from pyro_hea.evaluate.crystal_positions import wyckoff_positions
from pyro_hea.evaluate.one_latent import OneLatentVAE, decode_one_latent, fit_one_latent
from pyro_hea.materials.crystals import formula_type

SMALL = {
    "composition": {"dim": 4, "flow": None},
    "structure": {"dim": 6, "prior": {"trees": 10, "steps": 50}},
    "head": {"hidden": [16]},
    "encoder": {"hidden": [32]},
    "decoder": {"hidden": [32]},
    "head_epochs": 3,
    "training": {"members": 1, "epochs": 25},
}


@pytest.fixture(scope="module")
def parts():
    every = load_crystals()
    some = every.take(np.flatnonzero(every.text.str.count(";") <= 1)).of_size(4)
    return some.take(range(200)).train_test_split(0.2, 0)


@pytest.fixture(scope="module")
def vae(parts, few_teacher_trees):
    return CrystalVAE(CrystalSpec().with_(**SMALL)).fit(parts[0], seed=0, progress=False)


@pytest.fixture(scope="module")
def one(vae, parts):
    return baselines.one_latent(vae.ensemble, parts[0], 0)


def test_one_latent_is_as_wide_as_both(one):
    assert one.dim == 10


def test_it_learns_crystals_and_decodes_them(vae, one, parts):
    some = baselines.with_known_prototype(vae.ensemble, parts[0], 60, 0)
    untrained = OneLatentVAE(vae.spec, vae.ensemble.model.tables)
    hits = []
    for model in (untrained, one):
        z = torch.tensor(baselines.latent_of(model, vae.ensemble, some), dtype=torch.float32)
        s = vae.ensemble.inputs(some).formula_type
        made = decode_one_latent(model, vae.ensemble, z, s)
        hits.append(
            np.mean([a.prototype == b.prototype for a, b in zip(made, some.crystals, strict=True)])
        )
        assert all(
            formula_type(a.counts) == formula_type(b.counts)
            for a, b in zip(made, some.crystals, strict=True)
        )
    assert hits[1] > hits[0] + 0.2


def test_its_latent_knows_no_label(vae, one, parts):
    blank = parts[0].without_labels()
    again = fit_one_latent(one_copy(vae), vae.ensemble.inputs(blank), 0)
    np.testing.assert_array_equal(
        baselines.latent_of(again, vae.ensemble, parts[1]),
        baselines.latent_of(one, vae.ensemble, parts[1]),
    )


def one_copy(vae):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return OneLatentVAE(vae.spec, vae.ensemble.model.tables)


def test_measures_of_one_latent_are_shares(vae, one, parts):
    found = baselines.one_latent_measures(one, vae.ensemble, parts[0], 40, 0)
    assert set(found) == {"reconstruction", "swaps"}
    for row in found.values():
        assert all(0 <= row[name] <= 1 for name in ("prototype", "formula", "match"))


def test_few_labels_are_left_of_each_target(parts):
    few = baselines.with_few_labels(parts[0], 20, 1)
    known = few.targets.notna().sum()
    most = parts[0].targets.notna().sum().clip(upper=20)
    assert known.to_dict() == most.to_dict()
    both = few.targets.notna()
    np.testing.assert_array_equal(few.targets[both].stack(), parts[0].targets[both].stack())


@pytest.mark.slow
def test_models_and_baselines_have_the_same_few_labels(vae, one, parts):
    found = baselines.few_labels(vae, one, *parts, seed=0, n=25)
    assert set(found) == set(vae.spec.target_names) - {"metal"}
    for row in found.values():
        assert row["labels"] <= 25
        assert all(row[name] < 1 for name in ("model", "no unlabelled", "one latent", "trees"))


def test_tables_tell_each_seed_and_the_mean():
    run = {
        "crystals": {"train": 10, "test": 2},
        "predictions": {"gap": {"R2": 0.5, "less than trees": {"mean": 1, "low": 0, "high": 2}}},
        "designs": {"A": {"judged": 0.25}},
        "agreement": {"predicted": [0.2, 0.8], "judged": [0.0, 1.0]},
    }
    other = {**run, "designs": {"A": {"judged": 0.75}}}
    result = of_runs([{"seed": 0, **run}, {"seed": 1, **other}])
    means = result.tables["Means over the seeds"].set_index("measure")["mean"]
    assert means["designs, A, judged"].startswith("0.500 (0.250 to 0.750)")
    assert (
        result.tables["Predictions"]["less than trees"].tolist() == ["1.000 (0.000 to 2.000)"] * 2
    )
    assert result.content["seeds"] == 2


def test_the_decoder_of_positions_is_measured_beside_the_table(vae, parts):
    told = wyckoff_positions(vae, parts[1], 20, 0)
    assert vae.ensemble.model.wyckoff is None  # it was trained beside the model
    assert told["known, first by the table"] > 0.9
    assert told["known, first by positions"] > 0.5
    assert told["known, nats by positions"] > 0
    assert told["drawn, no short distance"] == 1
    shares = [v for k, v in told.items() if not k.endswith(", n") and "nats" not in k]
    assert all(0 <= share <= 1 for share in shares)
