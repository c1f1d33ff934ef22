"""What the heads say by themselves, against enumeration, quadrature and draws."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
from pyro_hea.posterior import joint_probability, marginals
from pyro_hea.posterior.draws import vectorized
from pyro_hea.posterior.marginals import _log_normal_between
from pyro_hea.program.model import AlloyModel
from pyro_hea.spec import ModelSpec

N, K, FEATURES = 5, 2, ["atomic_size_difference", "mixing_enthalpy"]
SCALES = {"hardness": (6.0, 0.5), "strength": (6.8, 0.6), "modulus": (1.5, 2.5)}
PHASES = ("fcc", "bcc", "several")
NUMBER = {"kind": "continuous", "prior": {"dist": "Normal", "loc": 6.0, "scale": 1.0}}
TARGETS = {
    "single_phase": {},
    "phase": {
        "kind": "categorical",
        "classes": list(PHASES),
        "only": {"single_phase": {"0": ["several"], "1": ["fcc", "bcc"]}},
    },
    "hardness": NUMBER,
    "strength": NUMBER,
    "rating": {"kind": "ordinal", "levels": ["poor", "fair", "good"]},
    "ductile": {},
    "modulus": NUMBER | {"positive": False, "transform": "identity", "heteroscedastic": False},
}

GIVEN = {
    "phase": ["single_phase"],
    "hardness": ["phase"],
    "rating": ["phase"],
    "strength": ["hardness"],
    "ductile": ["hardness"],
}


def model_of(*names: str, seed: int = 0, std: float = 0.5) -> AlloyModel:
    spec = ModelSpec.from_mapping(
        {
            "targets": {
                name: TARGETS[name] | {"given": [p for p in GIVEN.get(name, ()) if p in names]}
                for name in names
            },
            "latent": {"dim": 2, "flow": None},
            "features": {"names": FEATURES, "bins": 3},
            "head": {"hidden": [6]},
            "encoder": {"hidden": [4], "covariance": "diagonal"},
            "decoder": {"hidden": [4]},
            "training": {"members": K},
        }
    )
    edges = torch.tensor([[-2.0, -0.7, 0.7, 2.0]]).expand(2, 4).contiguous()
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = AlloyModel(spec, 3, Statistics(edges, torch.zeros(2), torch.ones(2), SCALES))
        for parameter in model.parameters():
            parameter.data.normal_(std=std)
    return model.double().eval().requires_grad_(False)


def batch_of(rows: int = N) -> AlloyBatch:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    fractions = torch.rand(rows, 3, generator=generator, dtype=torch.float64)
    return AlloyBatch(fractions / fractions.sum(-1, keepdim=True), features, {}, {})


def draws_of(model: AlloyModel, batch: AlloyBatch, count: int) -> dict[str, torch.Tensor]:
    """From the guide itself, (count, K, N) a target."""
    with torch.random.fork_rng([]):
        torch.manual_seed(7)
        sites = vectorized(model.guide, count)(batch)
    return {n: sites[n].expand(count, K, len(batch)) for n in model.spec.target_names}


def log_q(model: AlloyModel, batch: AlloyBatch, name: str, **parents: float) -> torch.Tensor:
    """Of each class, given values of what it is given, (K, N, C)."""
    y = {n: torch.full((len(batch),), v, dtype=torch.float64) for n, v in parents.items()}
    with torch.no_grad():
        outputs = model.head(name, model.head_inputs(batch), model.given(name, y, batch))
        return model.site(name).log_classes(outputs, y)


# Classes.


def test_the_marginal_of_a_class_is_the_sum_over_what_it_is_given():
    model, batch = model_of("single_phase", "phase", "rating"), batch_of()
    answers = marginals(model, batch)
    single = log_q(model, batch, "single_phase").exp()
    phase = torch.stack([log_q(model, batch, "phase", single_phase=v).exp() for v in (0.0, 1.0)])
    joint = single.movedim(-1, 0).unsqueeze(-1) * phase  # (2, K, N, 3)
    rating = torch.stack([log_q(model, batch, "rating", phase=v).exp() for v in (0.0, 1.0, 2.0)])
    summed = (joint.sum(0).movedim(-1, 0).unsqueeze(-1) * rating).sum(0)
    torch.testing.assert_close(answers["single_phase"].probabilities(), single)
    torch.testing.assert_close(answers["phase"].probabilities(), joint.sum(0))
    torch.testing.assert_close(answers["rating"].probabilities(), summed)


def test_the_joint_probability_of_classes_is_that_of_enumeration():
    model, batch = model_of("single_phase", "phase", "rating"), batch_of()
    single = log_q(model, batch, "single_phase").exp()
    for classes in ((0.0,), (1.0, 2.0), (0.0, 1.0, 2.0)):
        for levels in ((2.0,), (0.0, 1.0)):
            expected = torch.zeros(K, N, dtype=torch.float64)
            for s, p, r in itertools.product((0, 1), map(int, classes), map(int, levels)):
                phase = log_q(model, batch, "phase", single_phase=s).exp()[..., p]
                rating = log_q(model, batch, "rating", phase=p).exp()[..., r]
                expected += single[..., s] * phase * rating
            got = joint_probability(model, batch, {"phase": classes, "rating": levels})
            torch.testing.assert_close(got, expected)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), std=st.sampled_from([0.1, 1.0, 6.0]))
def test_several_phases_and_one_at_once_have_exactly_no_weight(seed, std):
    model, batch = model_of("single_phase", "phase", seed=seed, std=std), batch_of()
    model = model.float()
    batch = batch.map(lambda t: t.float())
    both = joint_probability(model, batch, {"single_phase": (1.0,), "phase": (2.0,)})
    neither = joint_probability(model, batch, {"single_phase": (0.0,), "phase": (0.0, 1.0)})
    assert not both.any()
    assert not neither.any()
    answers = marginals(model, batch)
    several = answers["phase"].probabilities()[..., 2]
    torch.testing.assert_close(several, answers["single_phase"].probabilities()[..., 0])
    drawn = draws_of(model, batch, 50)
    assert torch.equal(drawn["phase"] == 2, drawn["single_phase"] == 0)
    with torch.no_grad(), torch.random.fork_rng([]):
        torch.manual_seed(seed)
        y: dict[str, torch.Tensor] = {}
        for name in ("single_phase", "phase"):  # of the prior
            shared = model._shared(batch, "sample_prior")
            prior = model.target_prior(name, y, batch, shared).expand([200, K, N])
            y[name] = prior.sample()
        assert torch.equal(y["phase"] == 2, y["single_phase"] == 0)
        impossible = {"single_phase": torch.ones(()), "phase": torch.tensor(2.0)}
        prior = model.target_prior("phase", impossible, batch, shared)
        assert not prior.log_prob(impossible["phase"]).exp().any()


# Numbers.


def mixture_of(marginal, n: int, k: int | None = None):
    """Weights, and means and deviations on the logarithmic scale, of one alloy's mixture."""
    q = marginal.site.normal(marginal.outputs)
    members = slice(None) if k is None else slice(k, k + 1)
    weight = marginal.log_weight.exp()[:, members, n] / (K if k is None else 1)
    loc = marginal.site.centre + marginal.site.spread * q.loc[:, members, n]
    scale = marginal.site.spread * q.scale.expand_as(q.loc)[:, members, n]
    return tuple(t.detach().numpy().ravel() for t in (weight, loc, scale))


def test_mean_and_variance_of_a_number_are_those_of_the_mixture_of_log_normals():
    marginal = marginals(model_of("single_phase", "phase", "hardness"), batch_of())["hardness"]
    mean, variance = marginal.moments()
    for k, n in itertools.product(range(K), range(N)):
        weight, loc, scale = mixture_of(marginal, n, k)
        first = weight @ np.exp(loc + scale**2 / 2)
        second = weight @ np.exp(2 * loc + 2 * scale**2)
        assert float(mean[k, n]) == pytest.approx(first, rel=1e-9)
        assert float(variance[k, n]) == pytest.approx(second - first**2, rel=1e-7)


def test_the_median_of_each_member_halves_its_mixture():
    marginal = marginals(model_of("single_phase", "phase", "hardness"), batch_of())["hardness"]
    median = marginal.medians()
    for k, n in itertools.product(range(K), range(N)):
        weight, loc, scale = mixture_of(marginal, n, k)
        below = weight @ stats.norm.cdf((np.log(float(median[k, n])) - loc) / scale)
        assert below == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("name", ["hardness", "modulus"])
def test_quantiles_and_cumulative_probabilities_are_those_of_the_mixture(name):
    marginal = marginals(model_of("single_phase", "phase", name), batch_of())[name]
    levels = [0.001, 0.03, 0.5, 0.97, 0.999]
    quantiles = marginal.quantiles(levels)
    assert quantiles.shape == (5, N)
    for n in range(N):
        weight, loc, scale = mixture_of(marginal, n)

        def cumulative(x, parts=(weight, loc, scale)):
            return parts[0] @ stats.norm.cdf(x, *parts[1:])

        ends = (loc - 9 * scale).min(), (loc + 9 * scale).max()
        for level, quantile in zip(levels, quantiles[:, n].tolist(), strict=True):
            expected = optimize.brentq(lambda x, p=level: cumulative(x) - p, *ends, xtol=1e-13)
            got = np.log(quantile) if name == "hardness" else quantile
            assert got == pytest.approx(expected, abs=1e-9)
    by_member = marginal.cumulative(quantiles).mean(1)
    torch.testing.assert_close(by_member, torch.tensor(levels).double()[:, None].expand(5, N))


def test_a_quantile_far_from_every_label_is_found():
    model = model_of("modulus")
    model.heads["modulus"][-1].bias.data[:] = 400.0  # deviations of the labels
    at = marginals(model, batch_of())["modulus"].quantiles([0.5])
    assert float(at.min()) > 1.5 + 2.5 * 300


def test_a_bound_beyond_what_a_number_can_be_is_no_bound():
    model, batch = model_of("hardness"), batch_of()
    for low in (-np.inf, -5.0, 0.0):
        got = joint_probability(model, batch, {"hardness": (low, np.inf)})
        torch.testing.assert_close(got, torch.ones(K, N, dtype=torch.float64))
        marginal = marginals(model, batch)["hardness"]
        assert not marginal.cumulative(torch.full((N,), low).double()).any()
    assert (joint_probability(model, batch, {"hardness": (-np.inf, 0.0)}) < 1e-300).all()


@pytest.mark.parametrize(
    "bounds", [(-40.0, -30.0), (-9.0, 1.0), (0.5, 0.6), (12.0, 14.0), (30.0, np.inf)]
)
def test_the_probability_of_a_tail_keeps_its_digits(bounds):
    got = _log_normal_between(*(torch.tensor(b, dtype=torch.float64) for b in bounds))
    low, high = sorted(np.abs(bounds)) if bounds[0] * bounds[1] > 0 else bounds
    expected = (
        stats.norm.logsf(low) + np.log1p(-np.exp(stats.norm.logsf(high) - stats.norm.logsf(low)))
        if bounds[0] * bounds[1] > 0
        else np.log(stats.norm.cdf(high) - stats.norm.cdf(low))
    )
    assert float(got) == pytest.approx(expected, rel=1e-12)


# Numbers given numbers, by quadrature.


def test_what_is_given_a_number_agrees_with_draws():
    model, batch = model_of("hardness", "strength", "ductile"), batch_of()
    answers = marginals(model, batch)
    count = 40_000
    drawn = draws_of(model, batch, count)
    share = drawn["ductile"].mean(0)
    p = answers["ductile"].probabilities()[..., 1]
    assert (share - p).abs().max() < 4.5 * 0.5 / count**0.5
    mean, variance = answers["strength"].moments()
    error = drawn["strength"].std(0) / count**0.5
    assert ((drawn["strength"].mean(0) - mean).abs() < 4.5 * error).all()
    torch.testing.assert_close(drawn["strength"].std(0), variance.sqrt(), rtol=0.05, atol=0)
    low, high = drawn["strength"].flatten(0, 1).quantile(torch.tensor([0.1, 0.9]).double(), 0)
    got = answers["strength"].quantiles([0.1, 0.9])
    torch.testing.assert_close(got, torch.stack([low, high]), rtol=0.01, atol=0)


def test_the_joint_probability_of_numbers_agrees_with_draws():
    model = model_of("single_phase", "phase", "hardness", "strength", "ductile")
    batch, count = batch_of(), 40_000
    drawn = draws_of(model, batch, count)
    for events in (
        {"phase": (1.0,), "hardness": (350.0, np.inf)},
        {"hardness": (300.0, 500.0), "strength": (500.0, 1500.0), "ductile": (1.0,)},
        {"strength": (-np.inf, 900.0), "single_phase": (1.0,)},
    ):
        holds = torch.ones(count, K, N, dtype=torch.bool)
        for name, event in events.items():
            value = drawn[name]
            if name in ("hardness", "strength"):
                holds &= (value > event[0]) & (value < event[1])
            else:
                holds &= torch.isin(value, torch.tensor(event).double())
        got = joint_probability(model, batch, events)
        assert (holds.double().mean(0) - got).abs().max() < 4.5 * 0.5 / count**0.5


def test_the_quadrature_over_a_number_misses_less_than_two_in_a_thousand():
    """Against ten thousand points, for a number as open as all labels and steep heads."""
    batch = batch_of()
    for seed in range(5):
        model = model_of("hardness", "ductile", seed=seed, std=1.0)
        model.heads["hardness"][-1].weight[..., 1], model.heads["hardness"][-1].bias[..., 1] = (
            0,
            0.5,
        )
        model.site("hardness").calibration[1:] = 1 + 0.1 * seed
        q = marginals(model, batch)["hardness"]
        normal = q.site.standard(q.outputs[0])
        levels = ((torch.arange(10_000) + 0.5) / 10_000).double().view(-1, 1, 1)
        values = q.site.natural(normal.icdf(levels))
        with torch.no_grad():
            y = {"hardness": values}
            head = model.head("ductile", model.head_inputs(batch), model.given("ductile", y, batch))
        exact = head.sigmoid()[..., 0].mean(0)
        got = marginals(model, batch)["ductile"].probabilities()[..., 1]
        assert (got - exact).abs().max() < 2e-3
        above = values > 420.0
        exact = (head.sigmoid()[..., 0] * above).mean(0)
        got = joint_probability(model, batch, {"ductile": (1.0,), "hardness": (420.0, np.inf)})
        assert (got - exact).abs().max() < 2e-3


def test_an_event_that_no_alloy_comes_near_has_a_finite_share():
    model, batch = model_of("hardness", "ductile"), batch_of()
    model, batch = model.float(), batch.map(lambda t: t.float())
    p = joint_probability(model, batch, {"hardness": (1e9, np.inf), "ductile": (1.0,)})
    assert p.isfinite().all()
    assert (p < 1e-20).all()


def test_only_what_is_asked_for_is_worked_out():
    model, batch = model_of("single_phase", "phase", "hardness", "modulus"), batch_of()
    assert set(marginals(model, batch, ["phase"])) == {"phase"}
    assert set(marginals(model, batch)) == {"single_phase", "phase", "hardness", "modulus"}
    assert len(marginals(model, batch)["modulus"].outputs.shape) == 4
