import numpy as np
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from scipy.spatial.distance import cdist, pdist

from pyro_hea.devices import seeded
from pyro_hea.errors import SpecError
from pyro_hea.program.separable import SeparableModel, distant_points, even_axes
from pyro_hea.spec import ClusterPrior, Separation

N, D, C = 6, 4, 3
PLAIN = {"layers": 2, "hidden": 5, "discrimination": 0.0, "bending": 0.0, "straightening": 0.0}


def model_of(**settings: object) -> SeparableModel:
    spec = Separation.model_validate(PLAIN | settings)
    with seeded(0):
        centroids = torch.randn(C, D)
        model = SeparableModel(spec, centroids, torch.tensor([0.5, 0.3, 0.2]))
        for parameter in model.parameters():
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    return model


def latent() -> torch.Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(1))


def loss(model: SeparableModel, cluster: torch.Tensor) -> torch.Tensor:
    elbo = TraceEnum_ELBO(max_plate_nesting=2, strict_enumeration_warning=False)
    return torch.as_tensor(elbo.differentiable_loss(model.model, model.guide, latent(), cluster))


def log_joint(model: SeparableModel) -> torch.Tensor:
    """log p(cluster, latent) of each alloy and cluster, (N, C), by hand."""
    x = latent().requires_grad_()
    u = model.encode(x)
    jacobian = torch.autograd.functional.jacobian(model.encode, x).diagonal(dim1=0, dim2=2)
    volume = torch.linalg.slogdet(jacobian.permute(2, 0, 1)).logabsdet
    each = dist.Normal(model.cluster_means, model.scale).to_event(1).log_prob(u[:, None])
    return each + volume[:, None] + model.weights.log()


@pytest.mark.parametrize("means", ["centroids", "simplex"])
def test_a_known_cluster_gives_its_joint_density_and_an_unknown_one_is_summed_out(means):
    model = model_of(prior=ClusterPrior(means=means, scale=0.7))
    joint = log_joint(model)
    known = torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(loss(model, known), -joint[torch.arange(N), known].sum())
    unknown = torch.full((N,), -1)
    torch.testing.assert_close(loss(model, unknown), -joint.logsumexp(-1).sum())
    some = torch.tensor([0, -1, 2, -1, 1, -1])
    mixed = torch.where(some >= 0, joint[torch.arange(N), some.clamp_min(0)], joint.logsumexp(-1))
    torch.testing.assert_close(loss(model, some), -mixed.sum())


def test_discrimination_adds_the_log_probability_of_the_known_cluster():
    known = torch.tensor([0, 1, 2, -1, -1, -1])
    plain, both = model_of(), model_of(discrimination=3.0)
    p = log_joint(plain).log_softmax(-1)[torch.arange(3), known[:3]].sum()
    torch.testing.assert_close(loss(both, known), loss(plain, known) - 3 * p)
    torch.testing.assert_close(
        both.log_clusters(both.encode(latent())).exp().sum(-1), torch.ones(N)
    )


def test_bending_counts_how_far_the_middle_of_two_images_is_from_the_image_of_their_middle():
    unknown = torch.full((N,), -1)
    plain, both = model_of(), model_of(bending=2.0)
    x, half = latent(), N // 2
    u, middle = plain.encode(x), plain.encode((x[:half] + x[half:]) / 2)
    bend = (middle - (u[:half] + u[half:]) / 2).square().sum(-1)
    apart = (u[:half] - u[half:]).square().sum(-1) + plain.scale**2
    torch.testing.assert_close(loss(both, unknown), loss(plain, unknown) + 2 * (bend / apart).sum())


def test_straightening_counts_how_far_an_alloy_between_two_images_decodes_off_their_mixture():
    unknown, half = torch.full((N,), -1), N // 2
    plain, both = model_of(), model_of(straightening=2.0)
    with seeded(3):
        decoder = torch.randn(D, 5)

    def decode(w):
        return (w @ decoder).softmax(-1)

    with seeded(4):
        share = torch.rand(1, half, 1)[0]
    x = latent()
    u = plain.encode(x)
    between = decode(plain.decode((1 - share) * u[:half] + share * u[half:]))
    a, b = decode(x[:half]), decode(x[half:])
    off = (between - (1 - share) * a - share * b).abs().sum(-1)
    apart = (a - b).abs().sum(-1) + 0.1
    elbo = TraceEnum_ELBO(max_plate_nesting=2, strict_enumeration_warning=False)
    of = (both.model, both.guide, x, unknown, N, decode)
    with seeded(4):
        straightened = torch.as_tensor(elbo.differentiable_loss(*of))
    torch.testing.assert_close(straightened, loss(plain, unknown) + 2 * (off / apart).sum())
    torch.testing.assert_close(loss(both, unknown), loss(plain, unknown))  # without a decoder


def test_without_clusters_the_prior_is_a_standard_normal():
    model = model_of(prior=None)
    x = latent()
    u = model.flow(x[None, :, :0])
    there = u(x[None])
    density = dist.Normal(0.0, 1.0).expand([D]).to_event(1).log_prob(there[0])
    volume = u.log_abs_det_jacobian(x[None], there)[0]
    torch.testing.assert_close(loss(model, torch.full((N,), -1)), -(density + volume).sum())


def test_learnt_means_have_a_prior_of_which_a_batch_has_its_share():
    model = model_of(prior=ClusterPrior(means="learnt", distance=5.0))
    trace = poutine.trace(model.guide).get_trace(latent(), torch.zeros(N, dtype=torch.int64))
    torch.testing.assert_close(trace.nodes["means"]["value"], model.means)
    known = torch.zeros(N, dtype=torch.int64)
    elbo = TraceEnum_ELBO(max_plate_nesting=2, strict_enumeration_warning=False)
    prior = dist.Normal(torch.zeros(C, D), 5.0).to_event(2).log_prob(model.means)
    halves = [
        torch.as_tensor(elbo.differentiable_loss(model.model, model.guide, latent(), known, n))
        for n in (N, 2 * N)
    ]
    torch.testing.assert_close(halves[0] - halves[1], -prior / 2)


@pytest.mark.parametrize(("count", "dim"), [(2, 8), (3, 2), (5, 4), (9, 8)])
def test_a_few_distant_points_are_a_regular_simplex(count, dim):
    points = distant_points(count, dim)
    np.testing.assert_allclose(pdist(points), 1.0)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-12)


def test_many_distant_points_are_farther_apart_than_chance_puts_them():
    points = distant_points(20, 4)
    assert pdist(points).min() == pytest.approx(1.0)
    radius = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(radius, radius[0])
    random = np.random.default_rng(1).standard_normal((20, 4))
    random *= radius[0] / np.linalg.norm(random, axis=1, keepdims=True)
    assert cdist(random, random)[np.triu_indices(20, 1)].min() < 0.8


@pytest.mark.parametrize(("count", "dim"), [(2, 8), (4, 5), (9, 3)])
def test_clusters_scatter_alike_along_each_of_the_even_axes(count, dim):
    means, weights = torch.tensor(distant_points(count, dim)), torch.arange(1.0, count + 1)
    weights = weights.double() / weights.sum()
    axes = even_axes(means, weights)
    np.testing.assert_allclose(axes @ axes.T, np.eye(dim), atol=1e-12)
    turned = means.numpy() @ axes
    variance = np.average((turned - weights.numpy() @ turned) ** 2, axis=0, weights=weights)
    np.testing.assert_allclose(variance, variance.mean())


def test_a_wrong_declaration_is_refused_by_name():
    with pytest.raises(SpecError, match="means"):
        ClusterPrior(means="corners")
    with pytest.raises(SpecError, match="bending"):
        Separation(bending=-1)
    with pytest.raises(SpecError, match="dropout"):
        Separation(dropout=0.1)
    assert len({Separation(), Separation()}) == 1
