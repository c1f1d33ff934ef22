"""The specs that come with the package: each trains; the published one is the published model."""

import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small import few_labels

import pyro_hea
from pyro_hea import DisentangledVAE, ModelSpec, load_alloys
from pyro_hea.errors import ConflictingReportsWarning
from pyro_hea.inference import elbo_loss
from pyro_hea.posterior import untrained_ensemble
from pyro_hea.program.likelihoods import composition_likelihood

pytestmark = few_labels

NAMES = sorted(
    file.stem for file in (Path(pyro_hea.__file__).parent / "spec" / "shipped").glob("*.yaml")
)


@pytest.fixture(scope="module")
def some():
    """Forty alloys that between them have labels of every target."""
    alloys = load_alloys(["zeng2024", "borg2020"])
    labels = alloys.labels[["phase", "hardness", "yield_strength"]].notna()
    return alloys.take(np.flatnonzero(labels.all(axis=1))[:40])


def quickly_trained(name, **changes):
    spec = ModelSpec.shipped(name).with_(**changes)
    short = {"trees": 20, "synthetic_alloys": 500, "steps": 20}
    return spec.with_(training__distillation=short) if spec.training.distillation else spec


def test_these_are_shipped():
    assert {"default", "expert", "properties", "published", "reports"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_is_the_same_after_a_round_trip(self, name, tmp_path):
        spec = ModelSpec.shipped(name)
        spec.to_yaml(tmp_path / "spec.yaml")
        assert ModelSpec.from_yaml(tmp_path / "spec.yaml") == spec
        assert ModelSpec.from_mapping(spec.to_mapping()) == spec

    def test_trains_and_predicts(self, name, some):
        spec = quickly_trained(name, training__members=1, training__epochs=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConflictingReportsWarning)
            vae = DisentangledVAE(spec).fit(some, progress=False)
        assert np.isfinite(vae.history["loss"]).all()
        predicted = vae.predict(some).select_dtypes("number")
        assert np.isfinite(predicted.to_numpy()).all()
        assert set(vae.predict(some)) >= set(spec.target_names)


def test_the_four_properties_have_draws_and_evidence_and_are_saved(some, tmp_path):
    """Hardness and strength at conditions of their own, phases that exclude each other."""
    small = {f"{network}__hidden": (8,) for network in ("head", "encoder", "decoder")}
    spec = quickly_trained(
        "properties",
        training__members=2,
        training__epochs=2,
        latent__dim=2,
        latent__flow=None,
        **small,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConflictingReportsWarning)
        vae = DisentangledVAE(spec).fit(some, progress=False)
        few = some.take([0, 7])
        for method in ("guide", "importance"):
            drawn = vae.posterior(few, method=method, draws=5).posterior
            assert {*spec.target_names, "z"} <= set(drawn.data_vars)
            several = spec.target("phase").classes.index("several")
            assert ((drawn["phase"] == several) == (drawn["single_phase"] == 0)).all()
            for name in ("hardness", "yield_strength"):
                known = few.labels[name].to_numpy(float)
                np.testing.assert_allclose(drawn[name][0, 0], known, rtol=1e-5)
        evidence = vae.label_evidence(few)
        total = sum(evidence[f"phase_model[{c}]"] for c in spec.target("phase").classes)
        np.testing.assert_allclose(total, 1.0, rtol=1e-5)
        vae.save(tmp_path)
        loaded = DisentangledVAE.load(tmp_path)
        assert loaded.spec == spec
        pd.testing.assert_frame_equal(loaded.predict(some), vae.predict(some))


def softplus(x):
    return torch.logaddexp(x, torch.zeros_like(x))


class Published:
    """The published model in plain torch, in double precision, with one member's weights."""

    def __init__(self, model):
        self.layers = {
            name: [(p[f"{name}.{i}.weight"][0], p[f"{name}.{i}.bias"][0, 0]) for i in (0, 2, 4)]
            for p in [{n: w.detach().double() for n, w in model.named_parameters()}]
            for name in ("heads.single_phase", "encoder", "decoder")
        }

    def widths(self, name):
        return [self.layers[name][0][0].shape[0], *(b.shape[0] for _, b in self.layers[name])]

    def network(self, name, x):
        first, second, last = self.layers[name]
        for weight, bias in (first, second):
            x = softplus(x @ weight + bias)
        return x @ last[0] + last[1]

    def bound(self, x, y, noise):
        """log p(x | z, y) + log p(z) + log p(y) - log q(z | x, y) at z = mean + sd * noise."""
        out = self.network("encoder", torch.cat([x, y[:, None]], 1))
        mean, raw = out[:, :2], out[:, 2:]
        sd = softplus(raw - 2) + 1e-4
        z = mean + sd * noise
        logits = self.network("decoder", torch.cat([z, y[:, None]], 1))
        log_share = logits - torch.logsumexp(logits, 1, keepdim=True)
        counts = 100 * x
        log_x = (
            torch.lgamma(counts.sum(1) + 1)
            - torch.lgamma(counts + 1).sum(1)
            + (counts * log_share).sum(1)
        )
        half_log_2pi = 0.5 * np.log(2 * np.pi)
        log_z = (-0.5 * z**2 - half_log_2pi).sum(1)
        log_q = (-0.5 * noise**2 - half_log_2pi - torch.log(sd)).sum(1)
        return log_x + log_z + np.log(0.5) - log_q

    def elbo(self, x, features, y, noise):
        """Of labelled alloys, or of unlabelled ones where `y` is None, summed in nats."""
        if y is not None:
            return self.bound(x, y, noise).sum()
        logit = self.network("heads.single_phase", features)[:, 0]
        total = torch.zeros(len(x), dtype=x.dtype)
        for label in (0, 1):
            log_q = -softplus(-logit if label else logit)
            bound = self.bound(x, torch.full_like(logit, label), noise[label])
            total += torch.exp(log_q) * (bound - log_q)
        return total.sum()


@pytest.fixture(scope="module")
def ensemble():
    return untrained_ensemble(ModelSpec.shipped("published"), load_alloys("zeng2024"), seed=3)


@pytest.fixture(scope="module")
def batch(ensemble):
    """Thirty-five alloys that have a label."""
    alloys = load_alloys("zeng2024")
    labelled = alloys.take(alloys.labels["single_phase"].notna().to_numpy())
    batch = ensemble.batch(labelled.take(slice(0, None, 40)))
    return batch.map(lambda t: t.double() if t.is_floating_point() else t)


class TestPublished:
    def test_has_the_published_widths(self, ensemble):
        plain = Published(ensemble.model)
        assert plain.widths("heads.single_phase") == [8, 100, 100, 1]
        assert plain.widths("encoder") == [31, 100, 100, 4]
        assert plain.widths("decoder") == [3, 100, 100, 30]
        assert sum(p.numel() for p in ensemble.model.parameters()) == sum(
            (i + 1) * o
            for name in plain.layers
            for i, o in zip(plain.widths(name), plain.widths(name)[1:], strict=False)
        )

    @pytest.mark.parametrize("labelled", [True, False])
    def test_elbo_is_that_of_plain_torch(self, ensemble, batch, labelled):
        model = deepcopy(ensemble.model).double()
        n = len(batch)
        assert n > 30
        shape = (1, n, 2) if labelled else (2, 1, n, 2)
        if not labelled:
            batch = batch.without_labels()
        torch.manual_seed(5)
        noise = torch.normal(torch.zeros(shape).double(), torch.ones(shape).double())
        torch.manual_seed(5)
        loss = elbo_loss(model, batch).item()
        y = batch.targets["single_phase"] if labelled else None
        noise = noise[0] if labelled else noise[:, 0]
        with torch.no_grad():
            own = Published(model).elbo(batch.fractions, batch.features, y, noise).item()
        assert loss == pytest.approx(-own, rel=1e-5)
        assert loss > 0

    def test_elbo_of_a_mixed_batch_is_the_sum(self, ensemble, batch):
        """Labelled and unlabelled alloys in one batch, in single precision."""
        model, half = deepcopy(ensemble.model).float(), len(batch) // 2
        known = torch.arange(len(batch)) < half
        mixed = replace(batch.map(torch.Tensor.float), labelled={"single_phase": known})
        plain, shape = Published(model), (2, 1, len(batch), 2)
        torch.manual_seed(6)
        noise = torch.normal(torch.zeros(shape), torch.ones(shape))[:, 0]
        torch.manual_seed(6)
        loss = elbo_loss(model, mixed).item()
        x, features, y = batch.fractions, batch.features, batch.targets["single_phase"]
        with torch.no_grad():
            labelled = sum(plain.elbo(x[:half], None, y[:half], e[:half]) for e in noise) / 2
            rest = plain.elbo(x[half:], features[half:], None, noise[:, half:])
        assert loss == pytest.approx(-(labelled + rest).item(), rel=1e-5)

    def test_the_total_count_of_101_makes_no_difference(self, batch):
        logits = torch.linspace(-1, 1, 30).double()
        published = torch.distributions.Multinomial(101, logits=logits, validate_args=False)
        likelihood = composition_likelihood(ModelSpec.shipped("published").likelihood, logits)
        expected = published.log_prob(100 * batch.fractions)
        assert torch.allclose(likelihood.log_prob(batch.fractions), expected, rtol=1e-10)
