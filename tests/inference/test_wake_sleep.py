"""Wake-sleep training of the encoder, against posteriors that are known."""

import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import TorchDistribution, constraints
from small import few_labels
from torch.distributions import kl_divergence

from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference import train_encoder
from pyro_hea.inference.wake_sleep import wake_phase_loss
from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import ModelSpec

pytestmark = few_labels

E, FEATURES, K, D, N = 4, 3, 2, 2, 256
NOISE = 0.3
DISTILLATION = {"trees": 20, "synthetic_alloys": 2000, "steps": 100}


class Linear(TorchDistribution):
    """x ~ N(mean, noise²), in the shape of the composition's likelihood."""

    support = constraints.real_vector

    def __init__(self, mean):
        self.normal = dist.Normal(mean, NOISE).to_event(1)
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    def expand(self, batch_shape, _instance=None):
        return Linear(self.normal.mean.expand(*batch_shape, *self.event_shape))

    def sample(self, sample_shape=()):
        return self.normal.sample(torch.Size(sample_shape))

    def log_prob(self, value):
        return self.normal.log_prob(value)


class LinearModel(AlloyModel):
    """x = A z + noise, whose posterior has one covariance for all alloys.

    The columns of A are far from orthogonal, so that a diagonal guide cannot be right.
    """

    basis = torch.tensor([[1.0, 0.8], [-0.6, -0.2], [0.3, 0.5], [0.1, 0.4]])

    def likelihood(self, z, y):
        return Linear(z @ self.basis.mT + 0 * self.context(y))

    def exact(self, x):
        """Mean (N, d) and covariance (d, d) of z given x (N, E), by the textbook."""
        covariance = torch.linalg.inv(torch.eye(D) + self.basis.mT @ self.basis / NOISE**2)
        return x @ self.basis @ covariance / NOISE**2, covariance


def spec_of(**training) -> ModelSpec:
    return ModelSpec.from_mapping(
        {
            "latent": {"dim": D, "flow": None},
            "head": {"hidden": [4]},
            "encoder": {"hidden": [32], "reads": "fractions"},
            "decoder": {"hidden": [4]},
            "training": {
                "distillation": DISTILLATION,
                "members": K,
                "epochs": 100,
                "jitter": 0.0,
                "batch_size": 64,
            }
            | training,
        }
    )


def model_of(spec: ModelSpec, kind=LinearModel) -> AlloyModel:
    edges = torch.linspace(-2, 2, 4).expand(FEATURES, 4).contiguous()
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return kind(spec, E, Statistics(edges, torch.zeros(FEATURES), torch.ones(FEATURES)))


def batch_of(model: AlloyModel, count: int = N) -> AlloyBatch:
    """Alloys of the linear model, half of them labelled."""
    generator = torch.Generator().manual_seed(1)
    z, noise = (torch.randn(count, n, generator=generator) for n in (D, E))
    features = torch.randn(count, FEATURES, generator=generator)
    y = (features[:, 0] > 0).float()
    known = torch.arange(count) % 2 == 0
    x = z @ LinearModel.basis.mT + NOISE * noise
    targets = {"single_phase": torch.where(known, y, 0.0)}
    return AlloyBatch(x, features, targets, {"single_phase": known})


def weights(model: AlloyModel) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def trained(seed: int = 0, **training) -> AlloyModel:
    spec = spec_of(wake_sleep=0.5, **training)
    model = model_of(spec)
    train_encoder(model, batch_of(model), spec.training, seed)
    return model


def test_the_guide_becomes_the_posterior_that_is_known():
    model = trained(epochs=300)
    new = batch_of(model, 900).take(torch.arange(N, 900))
    y = {"single_phase": torch.ones(len(new))}
    q = model.latent_posterior(new.fractions, y)
    mean, covariance = model.exact(new.fractions)
    sd = covariance.diagonal().sqrt()
    assert ((q.mean - mean) / sd).square().mean().sqrt() < 0.2
    found = q.covariance_matrix.mean((0, 1)) / sd / sd[:, None]
    correlation = covariance / sd / sd[:, None]
    assert correlation[0, 1] < -0.5
    torch.testing.assert_close(found, correlation, atol=0.12, rtol=0)


def test_the_wake_phase_loss_is_the_cross_entropy_of_posterior_and_guide(monkeypatch):
    model = model_of(spec_of())
    batch = batch_of(model, 30)
    y = {"single_phase": torch.ones(K, 30)}
    mean, covariance = model.exact(batch.fractions)
    off = torch.tensor([0.1, -0.05])
    q = dist.MultivariateNormal((mean + off).expand(K, -1, -1), 1.3 * covariance)
    monkeypatch.setattr(model, "latent_posterior", lambda fractions, y: q)
    posterior = dist.MultivariateNormal(mean, covariance)
    exact = posterior.entropy() + kl_divergence(posterior, q)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = wake_phase_loss(model, batch.fractions, y, particles=20_000)
    assert found.shape == (K, 30)
    torch.testing.assert_close(found, exact.expand(K, -1), atol=0.05, rtol=0)


def test_nothing_but_the_encoder_changes():
    before, after = weights(model_of(spec_of())), weights(trained(epochs=10))
    for name, value in after.items():
        assert torch.equal(value, before[name]) == (not name.startswith("encoder."))


def test_it_is_the_same_for_a_seed_and_leaves_the_global_random_state_alone():
    state = torch.get_rng_state()
    first, same, other = (weights(trained(seed, epochs=10)) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[n], same[n]) for n in first)
    assert not torch.equal(first["encoder.0.weight"], other["encoder.0.weight"])


def test_placeholders_under_the_mask_have_no_influence():
    spec = spec_of(wake_sleep=0.5, epochs=10)
    found = []
    for placeholder in (0.0, 1.0):
        model = model_of(spec)
        batch = batch_of(model)
        value = batch.targets["single_phase"]
        known = batch.labelled["single_phase"]
        value = torch.where(known, value, placeholder)
        train_encoder(model, batch.replaced(targets={"single_phase": value}), spec.training, 0)
        found.append(weights(model))
    assert all(torch.equal(found[0][n], found[1][n]) for n in found[0])


@pytest.mark.parametrize(
    "changes", [{"training__wake_sleep": 0.0}, {"latent__prior": {"dist": "VampPrior"}}]
)
def test_without_wake_sleep_or_where_the_encoder_is_the_prior_nothing_is_done(changes):
    spec = spec_of().with_(**changes)
    model = model_of(spec, AlloyModel)
    before = weights(model)
    train_encoder(model, batch_of(model), spec.training, 0)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_a_loss_that_is_not_finite_leaves_the_encoder_as_it_was():
    spec = spec_of(epochs=10)
    model = model_of(spec)
    batch, before = batch_of(model), weights(model)
    batch.fractions[3] = torch.nan
    with pytest.raises(TrainingDivergedError, match=r"set training\.wake_sleep: 0"):
        train_encoder(model, batch, spec.training, 0)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", ["properties", "expert", "reports"])
def test_every_shipped_spec_trains_its_encoder(name):
    from pyro_hea import DisentangledVAE, load_alloys

    spec = ModelSpec.shipped(name).with_(
        training__members=2, training__epochs=4, training__distillation=DISTILLATION
    )
    data = load_alloys(["zeng2024", "borg2020"])[::4]
    DisentangledVAE(spec).fit(data, seed=0, progress=False)
