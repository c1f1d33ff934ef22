import pytest
import torch
from sklearn.metrics import f1_score
from sklearn.naive_bayes import GaussianNB

from pyro_hea.devices import seeded
from pyro_hea.errors import TrainingDivergedError
from pyro_hea.inference.separation import train_separation
from pyro_hea.program.separable import SeparableModel
from pyro_hea.spec import ClusterPrior, Separation

SPEC = Separation(
    layers=6, hidden=32, steps=150, batch_size=256, learning_rate=0.01, bending=0, discrimination=2
)


def planted(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three clusters side by side, sheared by a wave along another axis, and which is which."""
    generator = torch.Generator().manual_seed(seed)
    cluster = torch.randint(3, (n,), generator=generator)
    x = 0.4 * torch.randn(n, 4, generator=generator)
    x[:, 1] += 2 * torch.sin(5 * x[:, 3])
    x[:, 0] += 2.0 * (cluster - 1) + x[:, 1]
    return x, cluster


def trained(x: torch.Tensor, cluster: torch.Tensor, spec: Separation = SPEC) -> SeparableModel:
    centroids = torch.stack([x[cluster == c].mean(0) for c in range(3)])
    with seeded(0):
        model = SeparableModel(spec, centroids, torch.full((3,), 1 / 3))
    losses = train_separation(model, x, cluster, seed=0)
    assert sum(losses[-20:]) < sum(losses[:20])
    return model.requires_grad_(False)


def bayes_f1(seen: torch.Tensor, cluster: torch.Tensor, new: torch.Tensor, truth: torch.Tensor):
    said = GaussianNB().fit(seen, cluster).predict(new)
    return f1_score(truth, said, average="macro")


@pytest.fixture(scope="module")
def model() -> SeparableModel:
    return trained(*planted(600, seed=0))


def test_planted_clusters_are_recovered_and_a_latent_without_any_is_read_at_chance(model):
    x, cluster = planted(600, seed=0)
    new, truth = planted(600, seed=1)
    plain = bayes_f1(x, cluster, new, truth)
    apart = bayes_f1(model.encode(x), cluster, model.encode(new), truth)
    assert plain < 0.7
    assert apart > 0.95
    # the mixture itself says it too
    assert (model.log_clusters(model.encode(new)).argmax(-1) == truth).float().mean() > 0.95

    generator = torch.Generator().manual_seed(2)
    noise, other = torch.randn(600, 4, generator=generator).split([100, 500])
    seen, unseen = cluster.split([100, 500])
    model = trained(noise, seen)
    by_chance = bayes_f1(model.encode(noise), seen, model.encode(other), unseen)
    assert by_chance < 0.40  # a third, and three standard deviations of it
    assert bayes_f1(model.encode(noise), seen, model.encode(noise), seen) > by_chance + 0.2


def test_unlabelled_latents_train_the_mixture_too(model):
    x, cluster = planted(600, seed=0)
    few = cluster.clone()
    few[300:] = -1
    half = trained(x, few)
    new, truth = planted(600, seed=1)
    said = half.log_clusters(half.encode(new)).argmax(-1)
    assert (said == truth).float().mean() > 0.9
    assert not torch.equal(model.encode(new), half.encode(new))


def test_the_round_trip_is_exact_and_the_same_seed_gives_the_same_bits():
    x, cluster = planted(200, seed=0)
    spec = SPEC.model_copy(update={"steps": 50})
    before = torch.random.get_rng_state()
    first, second = trained(x, cluster, spec), trained(x, cluster, spec)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.encode(x), second.encode(x))
    assert (first.decode(first.encode(x)) - x).abs().max() <= 1e-5


@pytest.mark.parametrize("means", ["centroids", "learnt"])
def test_other_means_train(means):
    x, cluster = planted(300, seed=0)
    spec = SPEC.model_copy(update={"steps": 50, "prior": ClusterPrior(means=means)})
    model = trained(x, cluster, spec)
    assert model.means.shape == (3, 4)


def test_a_loss_that_is_not_finite_is_named():
    x, cluster = planted(100, seed=0)
    x[3, 1] = float("nan")
    with pytest.raises(TrainingDivergedError, match="not finite from step 1 on; lower"):
        trained(x, cluster, SPEC.model_copy(update={"steps": 3}))
