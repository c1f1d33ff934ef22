"""Priors of z: each is a density, draws from which follow it, and each trains."""

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive
from scipy import stats

from pyro_hea.inference import Trainer
from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import ModelSpec

N, E, K, FEATURES = 12, 4, 2, ["atomic_size_difference", "mixing_enthalpy"]
PRIORS = {
    "Normal": {"dist": "Normal", "loc": 0.5, "scale": 1.5},
    "StudentT": {"dist": "StudentT", "df": 5.0, "loc": -0.5, "scale": 0.8},
    "Laplace": {"dist": "Laplace", "loc": 0.5, "scale": 0.7},
    "Mixture": {"dist": "Mixture", "components": 4},
    "VampPrior": {"dist": "VampPrior", "components": 5},
    "Flow": {"dist": "Flow", "layers": 2, "hidden": 6},
}
LEARNT = ("Mixture", "VampPrior", "Flow")


def model_of(name: str, dim: int = 2, moved: bool = True) -> AlloyModel:
    """A model with this prior, its weights far from the first ones."""
    flow = None if dim % 2 or name == "VampPrior" else {"layers": 2, "hidden": 4}
    spec = ModelSpec.from_mapping(
        {
            "latent": {"dim": dim, "prior": PRIORS[name], "flow": flow},
            "likelihood": {"total_count": 20},
            "features": {"names": FEATURES, "bins": 3},
            "head": {"hidden": [6]},
            "encoder": {"hidden": [7]},
            "decoder": {"hidden": [5]},
            "training": {
                "distillation": {"trees": 20, "synthetic_alloys": 2000, "steps": 100},
                "members": K,
                "epochs": 2,
                "batch_size": 6,
            },
        }
    )
    edges = torch.tensor([[-2.0, -0.7, 0.7, 2.0]]).expand(2, 4).contiguous()
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = AlloyModel(spec, E, Statistics(edges, torch.zeros(2), torch.ones(2)))
        for parameter in model.parameters() if moved else ():
            parameter.data.normal_(std=0.5)
    return model


def batch_of() -> AlloyBatch:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(N, E, generator=generator)
    features = torch.randn(N, 2, generator=generator)
    known = torch.arange(N) % 3 > 0
    y = torch.where(known, (features[:, 0] > 0).float(), 0.0)
    return AlloyBatch(
        x / x.sum(-1, keepdim=True), features, {"single_phase": y}, {"single_phase": known}
    )


def density(model: AlloyModel, z: torch.Tensor) -> torch.Tensor:
    """Of points (..., d) in each member, (..., K)."""
    z = z[..., None, None, :].expand(*z.shape[:-1], model.members, 1, z.shape[-1])
    with torch.no_grad():
        return model.latent_prior().log_prob(z).exp()[..., 0]


def draws(model: AlloyModel, count: int) -> torch.Tensor:
    """(count, K, d)."""
    with torch.no_grad(), torch.random.fork_rng([]):
        torch.manual_seed(3)
        return model.latent_prior().expand([K, 1]).sample((count,))[:, :, 0]


@pytest.mark.parametrize("name", PRIORS)
def test_the_density_integrates_to_one(name):
    model = model_of(name).double()
    edge, points = (40.0, 801) if name == "StudentT" else (12.5, 401)
    axis = torch.linspace(-edge, edge, points, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    mass = density(model, grid).sum(0) * (axis[1] - axis[0]) ** 2
    assert mass.tolist() == pytest.approx([1.0] * K, abs=2e-3)


@pytest.mark.parametrize("name", [n for n in PRIORS if n != "Flow"])
def test_draws_of_one_coordinate_follow_the_density(name):
    model = model_of(name, dim=1).double()
    axis = torch.linspace(-60, 60, 24_001, dtype=torch.float64)
    p = density(model, axis.view(-1, 1)).numpy()
    drawn = draws(model, 4000)[..., 0].numpy()
    for k in range(K):
        cumulative = p[:, k].cumsum() * (axis[1] - axis[0]).item()
        assert cumulative[-1] == pytest.approx(1, abs=1e-3)
        test = stats.kstest(drawn[:, k], lambda x, c=cumulative: np.interp(x, axis.numpy(), c))
        assert test.pvalue > 1e-3


@pytest.mark.parametrize("name", PRIORS)
def test_draws_of_two_coordinates_follow_the_density(name):
    """By the share that lies where the density is high, which is no share of the volume."""
    model = model_of(name).double()
    drawn = draws(model, 4000)
    for k in range(K):
        of_draws = density(model, drawn[:, k])[:, k]
        lowest, highest = float(drawn[:, k].min()), float(drawn[:, k].max())
        axis = torch.linspace(lowest, highest, 301, dtype=torch.float64)
        on_grid = density(model, torch.cartesian_prod(axis, axis))[:, k]
        for level in (0.3, 0.7):
            above = on_grid[on_grid > of_draws.quantile(level)].sum() * (axis[1] - axis[0]) ** 2
            assert float(above) == pytest.approx(1 - level, abs=0.03)


@pytest.mark.parametrize("name", LEARNT)
def test_members_have_priors_of_their_own(name):
    model = model_of(name)
    z = draws(model, 20)[:, 0]
    both = density(model, z)
    assert not torch.allclose(both[:, 0], both[:, 1])
    for k in range(K):
        torch.testing.assert_close(density(model.member(k), z)[:, 0], both[:, k])


@pytest.mark.parametrize("name", PRIORS)
def test_two_epochs_train_what_is_learnt(name):
    model = model_of(name, moved=False)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    records = list(Trainer(model, batch_of(), batch_of(), seed=0).epochs())
    assert len(records) == 2
    assert all(np.isfinite(r.loss) for r in records)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    of_prior = {n for n in before if n.startswith("latent.")}
    assert bool(of_prior) == (name in LEARNT)
    assert of_prior <= moved


@pytest.mark.parametrize("name", PRIORS)
def test_pyros_own_tools_run_on_the_model(name):
    model, batch = model_of(name), batch_of()
    torch.manual_seed(0)
    unseen = batch.without_labels().replaced(fractions=None)
    with torch.no_grad():
        drawn = Predictive(model.model, num_samples=5)(unseen)
        inferred = Predictive(model.model, guide=model.guide, num_samples=5)(batch)
        fixed = poutine.condition(model.model, data={"z": torch.zeros(K, N, 2)})
        trace = poutine.trace(fixed).get_trace(unseen)
    assert drawn["z"].shape == inferred["z"].shape == (5, K, N, 2)
    assert drawn["composition"].shape == (5, K, N, E)
    assert not trace.nodes["z"]["value"].any()


@pytest.mark.parametrize("name", PRIORS)
def test_the_graph_of_the_model_is_drawn(name):
    pytest.importorskip("graphviz")
    graph = pyro.render_model(
        model_of(name).model, model_args=(batch_of(),), render_distributions=True
    )
    assert all(site in graph.source for site in ("single_phase", "z", "composition"))
