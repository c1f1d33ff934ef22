"""The program of an atlas against quadrature, autograd and enumeration by Pyro."""

import math
from itertools import pairwise

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from scipy import stats
from scipy.integrate import quad

from pyro_hea.program.charts import AtlasModel, Plateau
from pyro_hea.spec import AtlasSpec
from pyro_hea.spec.charts import ChartDensity

N, FEATURES = 7, 3


def model_of(dim: int = 2, charts: int = 3, support: torch.Tensor | None = None) -> AtlasModel:
    """A model with weights far from the first ones, in double precision."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = AtlasModel(AtlasSpec(charts=charts, dim=dim, noise=0.2), FEATURES, support)
        for parameter in model.parameters():
            parameter.data.mul_(3)
        model = model.double().requires_grad_(False)
        model.log_alpha.copy_(torch.rand(charts).double().log_softmax(0))
        model.centre.normal_()
        model.frame.copy_(torch.linalg.qr(torch.randn_like(model.frame))[0])
    return model


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.double)


# The density of a coordinate.


@pytest.mark.parametrize("declared", [ChartDensity(), ChartDensity(inner=0.3, edge=0.5, decay=2.0)])
def test_a_coordinates_density_integrates_to_one_and_is_inverted(declared):
    density = Plateau(declared, torch.zeros((), dtype=torch.double))

    def height(xi: float) -> float:
        return float(density.log_prob(torch.tensor(xi, dtype=torch.double)).exp())

    def mass(high: float) -> float:
        cuts = [c for c in (-1.0, -declared.inner, declared.inner, 1.0) if c < high]
        edges = [-20.0, *cuts, high]
        return sum(quad(height, a, b)[0] for a, b in pairwise(edges))

    assert mass(20.0) == pytest.approx(1, abs=1e-8)
    shares = torch.tensor([0.001, 0.02, 0.2, 0.5, 0.77, 0.97, 0.9995], dtype=torch.double)
    for share, xi in zip(shares, density.icdf(shares), strict=True):
        assert mass(float(xi)) == pytest.approx(float(share), abs=1e-8)


def test_draws_of_a_coordinate_follow_its_density():
    density = Plateau(ChartDensity(inner=0.5, edge=0.3, decay=5.0), torch.zeros(()).double())
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        drawn = density.sample(torch.Size([4000])).numpy()
    shares = torch.linspace(1e-6, 1 - 1e-6, 20_001, dtype=torch.double)
    ends = density.icdf(shares).numpy()
    assert stats.kstest(drawn, lambda x: np.interp(x, ends, shares.numpy())).pvalue > 0.001


# Maps.


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_encoder_and_decoder_undo_each_other(dim):
    model, z = model_of(dim), draw(N, dim)
    points = model.decode(z)
    for chart in range(model.charts):
        back = model.encode(points[chart])[chart]
        assert float((back - z).norm(dim=-1).max()) <= 1e-5
    x = draw(N, FEATURES)
    torch.testing.assert_close(model.transform(model.inverse(x)), x.expand(3, N, FEATURES))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_log_determinant_of_a_latent_flow_is_autograds(dim):
    model, z = model_of(dim), draw(3, N, dim)
    xi, log_det = model.to_xi(z)
    torch.testing.assert_close(model.from_xi(xi), z)
    for chart in range(3):
        for row in range(N):

            def to_xi(one: torch.Tensor, chart=chart) -> torch.Tensor:
                return model.to_xi(one.expand(3, 1, dim))[0][chart, 0]

            jacobian = torch.autograd.functional.jacobian(to_xi, z[chart, row])
            by_hand = float(torch.linalg.slogdet(jacobian).logabsdet)
            assert float(log_det[chart, row]) == pytest.approx(by_hand, abs=1e-4)


def test_charts_of_a_support_leave_the_other_coordinates_at_zero():
    support = torch.tensor([[0, 1], [1, 2], [0, 2]])
    model = model_of(1, 3, support)
    points = model.decode(draw(N, 1))
    for chart, absent in enumerate((2, 0, 1)):
        assert float(points[chart, :, absent].abs().max()) == 0
        assert float(points[chart, :, support[chart]].abs().min()) > 0
        torch.testing.assert_close(model.encode(points[chart])[chart], draw(N, 1))


# The bound.


def log_density(model: AtlasModel, x: torch.Tensor) -> float:
    """log p(x) of one point by quadrature over ξ of each chart."""
    xi = torch.linspace(-1.2, 1.2, 8_001, dtype=torch.double)[:, None]
    miss = (x - model.decode(model.from_xi(xi))).square().sum(-1) / (2 * model.spec.noise**2)
    constant = FEATURES * (math.log(model.spec.noise) + 0.5 * math.log(2 * math.pi))
    log_joint = model.log_alpha[:, None] + model.density().log_prob(xi) - miss - constant
    return float(log_joint.flatten().logsumexp(0) + math.log(float(xi[1] - xi[0])))


def test_weights_average_to_the_density_that_quadrature_gives():
    model = model_of(1)
    model.spec = model.spec.with_(latent_noise=0.3)  # wider than what is averaged over
    near = model.decode(torch.tensor([[0.1]], dtype=torch.double))[1, 0] + 0.05
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        log_weights = model.bound(near.expand(10_000, -1))
    found = float(log_weights.logsumexp(0) - math.log(10_000))
    truth = log_density(model, near)
    assert found == pytest.approx(truth, abs=0.05)
    assert float(log_weights.mean()) < truth


def test_the_bound_is_the_enumerated_elbo_of_the_program():
    model, points = model_of(2), draw(N, FEATURES)
    elbo = TraceEnum_ELBO(max_plate_nesting=1)
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        loss = elbo.loss(model.model, model.guide, points)
        torch.manual_seed(3)
        bound = float(model.bound(points).sum())
    assert -loss == pytest.approx(bound, rel=1e-9)


def test_the_enumerated_bound_is_at_least_the_published_objective():
    model, points = model_of(2), draw(200, FEATURES)
    weights = model.encoded(points).log_weights
    published = (weights.softmax(0) * weights).sum(0)
    assert bool((weights.logsumexp(0) >= published).all())
    assert float((weights.logsumexp(0) - published).max()) > 0.1


def test_draws_of_the_program_lie_around_their_chart():
    model = model_of(1)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        trace = poutine.trace(poutine.uncondition(model.model)).get_trace(draw(4000, FEATURES))
    chart, xi, x = (trace.nodes[site]["value"] for site in ("chart", "xi", "x"))
    centre = model.decode(model.from_xi(xi))[chart, torch.arange(4000)]
    residual = ((x - centre) / model.spec.noise).flatten().numpy()
    assert stats.kstest(residual, "norm").pvalue > 0.001
    share = np.bincount(chart, minlength=3)
    assert stats.chisquare(share, 4000 * model.log_alpha.exp().numpy()).pvalue > 0.001
    assert not list(pyro.get_param_store())
