"""Draws, chains and weights of a model whose targets are of every kind."""

import numpy as np
import pandas as pd
import pyro
import pytest
import torch
from small import SMALL, few_labels, quaternaries

from pyro_hea import AlloyDataset, DisentangledVAE, ModelSpec
from pyro_hea.errors import DataError
from pyro_hea.materials.alloys.composition import fraction_table
from pyro_hea.posterior import importance_posterior, label_evidence
from pyro_hea.posterior.nuts import nuts_posterior
from pyro_hea.posterior.traces import log_densities, weighted_draws

pytestmark = few_labels

PHASES, LEVELS = ["fcc", "bcc", "several"], ["poor", "fair", "good"]
SPEC = SMALL | {
    "targets": {
        "single_phase": {
            "reports": {},
            "prior": {"logistic": {"number_of_elements": -0.5}},
        },
        "phase": {
            "kind": "categorical",
            "classes": PHASES,
            "given": "single_phase",
            "only": {"single_phase": {"0": ["several"], "1": ["fcc", "bcc"]}},
        },
        "rating": {"kind": "ordinal", "levels": LEVELS, "given": "phase"},
        "hardness": {
            "kind": "continuous",
            "unit": "HV",
            "given": ["phase"],
            "prior": {"dist": "Normal", "loc": 6.0, "scale": 0.7},
        },
        "modulus": {
            "kind": "continuous",
            "unit": "GPa",
            "positive": False,
            "transform": "identity",
            "heteroscedastic": False,
            "prior": {"dist": "Normal", "loc": 0.0, "scale": 5.0},
        },
    },
    "features": {"bins": 3},
    "head": {"hidden": [8]},
    "training": SMALL["training"] | {"members": 2, "epochs": 3, "batch_size": 16},
}
NAMES = list(SPEC["targets"])


@pytest.fixture(scope="module")
def alloys() -> AlloyDataset:
    """Twenty alloys, each target known of some: hardness of the first ten."""
    fractions = fraction_table(quaternaries(20, np.random.default_rng(0), most=4))
    aluminium = fractions["Al"].to_numpy()
    single = aluminium < 0.15
    phase = np.where(single, np.where(aluminium < 0.05, "fcc", "bcc"), "several")
    rating = np.array(["poor", "fair", "good"])[np.digitize(aluminium, [0.05, 0.2])]
    rows = [
        *[("single_phase", i, float(single[i]), "ann") for i in range(14)],
        *[("single_phase", i, float(single[i] ^ (i == 3)), "bob") for i in range(2, 14)],
        *[("phase", i, phase[i], "ann") for i in range(4, 16)],
        *[("rating", i, rating[i], "ann") for i in range(0, 20, 2)],
        *[("modulus", i, 10 * aluminium[i] - 1, "ann") for i in range(5, 20)],
        *[("hardness", i, 200 + 900 * aluminium[i], "ann") for i in range(10)],
    ]
    reports = pd.DataFrame(rows, columns=["target", "row", "value", "source"])
    reports = reports.assign(formula=fractions.index[reports["row"]])
    return AlloyDataset.from_reports(fractions, reports, NAMES, expected_conflicts=20)


@pytest.fixture(scope="module")
def vae(alloys) -> DisentangledVAE:
    return DisentangledVAE(ModelSpec.from_mapping(SPEC)).fit(alloys, seed=0, progress=False)


@pytest.fixture(scope="module")
def ensemble(vae):
    return vae.ensemble


def several_is_no_single_phase(group) -> bool:
    return bool(((group["phase"] == 2) == (group["single_phase"] == 0)).all())


def test_draws_of_posterior_and_prior_hold_every_target_and_are_coherent(vae, alloys):
    idata = vae.posterior(alloys, draws=30)
    for group in (idata.posterior, idata.prior):
        assert {*NAMES, "z"} == {n for n in group.data_vars if not n.endswith("_probability")}
        assert several_is_no_single_phase(group)
        assert (group["hardness"] > 0).all()
        assert set(np.unique(group["rating"])) <= {0.0, 1.0, 2.0}
    known = alloys.labels["phase"].notna().to_numpy()
    code = alloys.labels["phase"][known].map({"fcc": 0, "bcc": 1, "several": 2})
    assert (idata.posterior["phase"].to_numpy()[..., known] == code.to_numpy()).all()
    assert several_is_no_single_phase(vae.posterior(alloys, draws=30, labels="ignore").posterior)
    single = idata.posterior["single_phase"].to_numpy()[..., known]
    assert (single == (code != 2).to_numpy()).all()  # what the phase says of it is heeded


def test_the_prior_predictive_is_coherent(vae):
    assert several_is_no_single_phase(vae.prior_predictive(40).prior)


def test_the_most_probable_values_do_not_contradict_each_other_or_the_labels(ensemble, alloys):
    batch = ensemble.batch(alloys)
    y = ensemble.most_probable(batch)
    assert torch.equal(y["phase"] == 2, (y["single_phase"] == 0).expand_as(y["phase"]))
    known = batch.known("phase")
    assert torch.equal(y["phase"][..., known], batch.targets["phase"][known].expand(2, -1))


def test_reports_move_what_is_most_probable(ensemble, alloys):
    batch = ensemble.batch(alloys).replaced(targets={}, labelled={})
    for value in (0, 1):
        counts = torch.zeros_like(batch.reports["single_phase"])
        counts[..., value] = 20.0
        told = ensemble.most_probable(batch.replaced(reports={"single_phase": counts}))
        assert (told["single_phase"] == value).all()


# Chains.


def test_nuts_runs_with_every_kind_of_target_at_its_most_probable_value(ensemble, alloys):
    few = alloys.take([0, 3, 12, 19])
    idata = nuts_posterior(ensemble, few, member=1, draws=20, chains=1, warmup=30, seed=0)
    batch = ensemble.batch(few)
    likeliest = ensemble.most_probable(batch)
    for name in NAMES:
        fixed = torch.as_tensor(idata.constant_data[f"{name}_fixed"].to_numpy())
        expected = torch.broadcast_to(likeliest[name], (2, 4))[1]
        torch.testing.assert_close(fixed, expected.to(fixed))
    assert np.isfinite(idata.posterior["z"]).all()
    assert idata.posterior["z"].std() > 0
    assert np.isfinite(idata.sample_stats["lp"]).all()


# Weights.


def test_the_score_of_given_values_is_no_matter_of_chance(ensemble, alloys):
    """What all alloys share is fixed, not drawn."""
    batch = ensemble.batch(alloys)
    known = batch.replaced(
        targets={n: v[0].expand(20) for n, v in ensemble.most_probable(batch).items()}, labelled={}
    )
    z = torch.zeros(3, 2, 20, 2)
    with torch.no_grad():
        first, second = (log_densities(ensemble.model, known, z)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert first.isfinite().all()


def test_the_score_is_that_of_each_site_by_itself(ensemble, alloys):
    model, batch = ensemble.model, ensemble.batch(alloys)
    y = {n: v[0].expand(20) for n, v in ensemble.most_probable(batch).items()}
    known = batch.replaced(targets=y, labelled={})
    with torch.no_grad(), pyro.validation_enabled(False):
        z = model.latent_prior().expand([1, 2, 20]).sample()
        joint, likelihood = log_densities(model, known, z)
        expected = model.likelihood(z, y).log_prob(batch.composition)
        torch.testing.assert_close(likelihood, expected)
        expected = expected + model.latent_prior().log_prob(z)
        channel = model.reliabilities["single_phase"]
        reported = channel.log_evidence(channel.mean, batch.reports["single_phase"])
        index = y["single_phase"].long().view(1, -1, 1).expand(2, -1, 1)
        expected = expected + reported.gather(-1, index)[..., 0]
        odds = model.experts["single_phase"].log_odds(batch.features)
        expected = expected + torch.distributions.Bernoulli(logits=odds).log_prob(y["single_phase"])
        for name in NAMES[1:]:
            given = model.given(name, y, batch)
            shift = None if given is None else model.shifts[name](given)
            expected = expected + model.site(name).prior(shift, y).log_prob(y[name])
    torch.testing.assert_close(joint, expected)


def test_weighted_draws_are_of_every_target(ensemble, alloys):
    torch.manual_seed(0)
    drawn = weighted_draws(ensemble.model, ensemble.batch(alloys), 5)
    assert set(drawn.sites) == {*NAMES, "z"}
    assert all(drawn.sites[name].shape == (5, 2, 20) for name in NAMES)
    assert drawn.log_weight.shape == (5, 2, 20)
    assert drawn.log_weight.isfinite().all()


@pytest.fixture(scope="module")
def plain(alloys):
    """Fewer targets, of which three combinations can be."""
    targets = {n: t for n, t in SPEC["targets"].items() if n not in ("rating", "modulus")}
    training = SPEC["training"] | {"members": 1, "epochs": 1}
    spec = ModelSpec.from_mapping(SPEC | {"targets": targets, "training": training})
    return DisentangledVAE(spec).fit(alloys, seed=0, progress=False).ensemble


def test_importance_sampling_needs_every_number_and_sums_over_the_classes(plain, alloys):
    with pytest.raises(DataError, match="'hardness' is a number that is not known of every alloy"):
        importance_posterior(plain, alloys, draws=5, labels="use", seed=0)
    measured = alloys.take([2, 5, 8])
    with pytest.raises(DataError, match="'hardness' is a number"):
        importance_posterior(plain, measured, draws=5, labels="ignore", seed=0)
    idata = importance_posterior(plain, measured, draws=40, labels="use", seed=0)
    assert set(idata.posterior.data_vars) == {
        *({*NAMES, "z"} - {"rating", "modulus"}),
        *("single_phase_probability", "phase_probability"),
    }
    assert several_is_no_single_phase(idata.posterior)
    hardness = measured.labels["hardness"].to_numpy()
    np.testing.assert_allclose(idata.posterior["hardness"][0, 0], hardness, rtol=1e-6)
    phase = idata.posterior["phase"].to_numpy()
    known = measured.labels["phase"].notna().to_numpy()
    assert list(known) == [False, True, True]
    assert (phase[..., known] == phase[:1, :1, known]).all()


def test_importance_sampling_and_evidence_of_levels_beside_a_number(alloys):
    """What the other model leaves out: an ordinal target, and a number without bounds."""
    targets = {n: SPEC["targets"][n] | {"given": []} for n in ("rating", "modulus")}
    training = SPEC["training"] | {"members": 1, "epochs": 1}
    spec = ModelSpec.from_mapping(SPEC | {"targets": targets, "training": training})
    ensemble = DisentangledVAE(spec).fit(alloys, seed=0, progress=False).ensemble
    measured = alloys.take([5, 8])
    idata = importance_posterior(ensemble, measured, draws=10, labels="use", seed=0)
    modulus = measured.labels["modulus"].to_numpy(float)
    np.testing.assert_allclose(idata.posterior["modulus"][0, 0], modulus, rtol=1e-6)
    told = LEVELS.index(measured.labels["rating"].iloc[1])
    assert (idata.posterior["rating"][..., 1] == told).all()
    table = label_evidence(ensemble, measured, seed=0)
    for part in ("head", "model"):
        total = sum(table[f"rating_{part}[{level}]"] for level in LEVELS)
        np.testing.assert_allclose(total, 1.0, rtol=1e-5)
    assert table["rating_label"].iloc[1] == LEVELS[told]


def test_classes_are_decoded_by_name_or_by_position(vae, alloys):
    z = vae.encode(alloys.take([0, 1]))
    named = {"single_phase": 1, "phase": "bcc", "rating": "good", "hardness": 300.0, "modulus": 1.0}
    by_name, by_position = vae.decode(z, named), vae.decode(z, named | {"phase": 1, "rating": 2})
    pd.testing.assert_frame_equal(by_name, by_position)
    assert not np.allclose(by_name, vae.decode(z, named | {"phase": "fcc"}))
    with pytest.raises(
        DataError, match=r"label 'bbc' of 'phase' is not allowed. Did you mean 'bcc'"
    ):
        vae.decode(z, named | {"phase": "bbc"})


def test_the_evidence_for_each_class_sums_to_one(plain, alloys):
    measured = alloys.take([2, 5, 8])
    table = label_evidence(plain, measured, seed=0)
    for part in ("head", "model"):
        total = sum(table[f"phase_{part}[{c}]"] for c in ("fcc", "bcc", "several"))
        np.testing.assert_allclose(total, 1.0, rtol=1e-5)
    several = table["phase_model[several]"]
    np.testing.assert_allclose(several, 1 - table["single_phase_model"], atol=1e-9)
    label = measured.labels["phase"].astype(table["phase_label"].dtype)
    pd.testing.assert_series_equal(table["phase_label"], label, check_names=False)
    assert table["single_phase_label"].isna().all()  # reports are no labels
    assert not any(column.startswith("hardness") for column in table)


# Predictions.


def test_predictions_of_every_kind_are_coherent_and_leave_no_gradient(vae, alloys):
    table = vae.predict(alloys)
    for name, classes in (("phase", PHASES), ("rating", LEVELS)):
        each = table[[f"{name}[{c}]" for c in classes]]
        np.testing.assert_allclose(each.sum(axis=1), 1.0, rtol=1e-6)
        assert (table[name] == [classes[i] for i in each.to_numpy().argmax(1)]).all()
    np.testing.assert_allclose(table["phase[several]"], 1 - table["single_phase"], atol=1e-6)
    for name in ("hardness", "modulus"):
        assert (table[f"{name}_low"] < table[name]).all()
        assert (table[name] < table[f"{name}_high"]).all()
        total = table[f"{name}_epistemic"] ** 2 + table[f"{name}_aleatoric"] ** 2
        np.testing.assert_allclose(total, table[f"{name}_sd"] ** 2, rtol=1e-4)
