import itertools
import math
import warnings
from copy import deepcopy

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive, TraceEnum_ELBO
from scipy.special import gammaln
from scipy.stats import multivariate_normal
from torch.nn import functional as F

from pyro_hea.inference import elbo_loss
from pyro_hea.inference.objective import known_labels, without_masks
from pyro_hea.materials.alloys.dataset import AlloyBatch, Statistics
from pyro_hea.program.flows import ConditionedFlow
from pyro_hea.program.model import AlloyModel
from pyro_hea.program.targets import ALLOYS_DIM, MEMBERS_DIM
from pyro_hea.spec import ModelSpec

N, E, FEATURES, D, K = 5, 4, 3, 2, 2
PRIORS = {"single_phase": 0.3, "ductile": 0.8}
FLOW = {"layers": 2, "hidden": 5}
LOC, SCALE, ATOMS = 0.4, 1.7, 20


def spec_of(
    targets: int = 1, flow: bool = True, members: int = K, covariance: str = "full"
) -> ModelSpec:
    return ModelSpec.from_mapping(
        {
            "targets": {
                t: {"prior": {"dist": "Bernoulli", "probs": PRIORS[t]}}
                for t in list(PRIORS)[:targets]
            },
            "latent": {
                "dim": D,
                "prior": {"dist": "Normal", "loc": LOC, "scale": SCALE},
                "flow": FLOW if flow else None,
            },
            "likelihood": {"total_count": ATOMS},
            "head": {"hidden": [6]},
            "encoder": {"hidden": [7], "covariance": covariance},
            "decoder": {"hidden": [5]},
            "training": {"members": members, "distillation": None},
        }
    )


def model_of(
    targets: int = 1,
    flow: bool = True,
    members: int = K,
    seed: int = 0,
    covariance: str = "full",
) -> AlloyModel:
    """Weights far from their initial values, in double precision."""
    edges = torch.linspace(-2, 2, 4, dtype=torch.float64).expand(FEATURES, 4)
    statistics = Statistics(edges, torch.zeros(FEATURES), torch.ones(FEATURES))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = AlloyModel(spec_of(targets, flow, members, covariance), E, statistics).double()
        for parameter in model.parameters():
            parameter.data.normal_(std=0.6)
    return model


def batch_of(labels: dict[str, list[float]]) -> AlloyBatch:
    """Alloys with these labels; NaN is unlabelled."""
    generator = torch.Generator().manual_seed(5)
    fractions = torch.rand(N, E, generator=generator, dtype=torch.float64)
    fractions[0, 1] = fractions[3, 0] = 0.0
    values = {t: torch.tensor(v, dtype=torch.float64) for t, v in labels.items()}
    return AlloyBatch(
        fractions / fractions.sum(-1, keepdim=True),
        torch.randn(N, FEATURES, generator=generator, dtype=torch.float64),
        {t: v.nan_to_num(0.0) for t, v in values.items()},
        {t: ~v.isnan() for t, v in values.items() if v.isnan().any()},
    )


NAN = math.nan


@pytest.fixture(autouse=True)
def _double_precision():
    """Pyro scores the deterministic site of a partly observed target in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


MIXED = {"single_phase": [1, NAN, 0, NAN, 1]}
MIXED_TWO = MIXED | {"ductile": [NAN, NAN, 1, 0, 0]}
LABELLED = {"single_phase": [1, 0, 0, 1, 1]}
UNLABELLED = {"single_phase": [NAN] * N}
CASES = {
    "mixed": MIXED,
    "labelled": LABELLED,
    "unlabelled": UNLABELLED,
    "target left out": {},
    "two targets": MIXED_TWO,
    "two targets, one known": MIXED | {"ductile": [0, 0, 1, 0, 1]},
    "two targets, one left out": MIXED,
    "two targets, both left out": {},
}
TARGETS_OF = {name: 2 if name.startswith("two") else 1 for name in CASES}


def noise_of(branches: tuple[int, ...], members: int = K) -> torch.Tensor:
    generator = torch.Generator().manual_seed(9)
    return torch.randn(*branches, members, N, D, generator=generator, dtype=torch.float64)


@pytest.fixture
def use_noise(monkeypatch):
    """Make every normal draw take the given standard normal numbers."""

    def use(noise: torch.Tensor) -> None:
        def standard_normal(shape, dtype, device):
            assert tuple(shape) == tuple(noise.shape)
            return noise

        for module in (
            "torch.distributions.normal",
            "torch.distributions.multivariate_normal",
            "pyro_hea.program.latents",
        ):
            monkeypatch.setattr(f"{module}._standard_normal", standard_normal)

    return use


def branches_of(batch: AlloyBatch, names: tuple[str, ...]) -> list[str]:
    """Targets that the guide sums over, in the order of their sites."""
    return [t for t in names if t not in batch.targets or t in batch.labelled]


def normal_log_density(value: float, loc: float, scale: float) -> float:
    return -0.5 * ((value - loc) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)


def elbo_by_hand(model: AlloyModel, batch: AlloyBatch, noise: torch.Tensor) -> float:
    """Only the networks are the model's; priors, masks, weights and Jacobians are worked out."""
    names = model.spec.target_names
    summed = branches_of(batch, names)
    embedded = model.embedding(batch.features)
    head = {t: model.heads[t](embedded)[..., 0].sigmoid().tolist() for t in names}
    total = 0.0
    for k, n in itertools.product(range(model.members), range(N)):
        x = batch.fractions[n]
        for branch in itertools.product((0, 1), repeat=len(summed)):
            guess = dict(zip(summed, branch, strict=True))
            weight, terms, y = 1.0, 0.0, []
            for t in names:
                known = t in batch.targets and bool(
                    batch.labelled[t][n] if t in batch.labelled else True
                )
                if known:
                    value = int(batch.targets[t][n])
                    weight *= 0.5 if t in guess else 1.0  # two draws of z, averaged
                else:
                    value = guess[t]
                    q = head[t][k][n] if value else 1 - head[t][k][n]
                    weight *= q
                    terms -= math.log(q)
                terms += math.log(PRIORS[t] if value else 1 - PRIORS[t])
                y.append(float(value))
            y = torch.tensor(y, dtype=torch.float64)
            # The first target's branch is the rightmost enumerated dimension.
            index = (*reversed(branch), k, n)
            terms += latent_terms(model, k, x, y, noise[index])
            total += weight * terms
    return total


@torch.no_grad()
def latent_terms(model, k, x, y, eps) -> float:
    """log p(z) + log p(x | z, y) - log q(z | x, y) of one member, one row and one branch."""
    loc, raw, below = model.encoder(torch.cat([x.sqrt(), y])[None])[k, 0].split([D, D, 1])
    root = torch.diag(F.softplus(raw - 2.0) + 1e-4)
    root[1, 0] = root[1, 1] * below[0]
    w = loc + root @ eps
    q = float(multivariate_normal.logpdf(w.numpy(), loc.numpy(), (root @ root.mT).numpy()))
    z = w
    if model.flow is not None:

        def forward(v):
            return model.flow(y)(v.expand(model.members, 1, D))[k, 0]

        z = model.flow(y).inv(w.expand(model.members, 1, D))[k, 0]
        torch.testing.assert_close(forward(z), w)
        with torch.enable_grad():
            jacobian = torch.autograd.functional.jacobian(forward, z)
        q += float(torch.linalg.slogdet(jacobian).logabsdet)  # q(z) = q(w) |dw/dz|
    logits = model.decoder(torch.cat([w, y])[None])[k, 0]
    log_p = (logits - logits.exp().sum().log()).tolist()
    counts = [ATOMS * float(f) for f in x]
    likelihood = gammaln(ATOMS + 1) + sum(
        c * lp - gammaln(c + 1) for c, lp in zip(counts, log_p, strict=True)
    )
    return sum(normal_log_density(v, LOC, SCALE) for v in z.tolist()) + likelihood - q


# The bound.


@pytest.mark.parametrize("flow", [True, False], ids=["flow", "no flow"])
@pytest.mark.parametrize("case", CASES)
def test_the_elbo_is_the_sum_by_hand(case, flow, use_noise):
    model, batch = model_of(TARGETS_OF[case], flow), batch_of(CASES[case])
    summed = branches_of(batch, model.spec.target_names)
    noise = noise_of((2,) * len(summed))
    use_noise(noise)
    loss = float(elbo_loss(model, batch).detach())
    assert loss == pytest.approx(-elbo_by_hand(model, batch, noise), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("case", [LABELLED, UNLABELLED], ids=["labelled", "unlabelled"])
def test_a_pass_maps_each_latent_once_and_changes_neither_bound_nor_gradient(case, monkeypatch):
    def bound():
        torch.manual_seed(0)
        model.zero_grad()
        loss = TraceEnum_ELBO(max_plate_nesting=2, strict_enumeration_warning=False)
        value = loss.differentiable_loss(model.model, model.guide, batch)
        value.backward()
        return value, [p.grad for p in model.parameters() if p.grad is not None]

    model, whole = model_of(), batch_of(case)
    batch = without_masks(whole, known_labels(whole))
    plain, gradients = bound()
    maps = []
    forwards = ConditionedFlow._call
    monkeypatch.setattr(ConditionedFlow, "_call", lambda f, x: maps.append(x) or forwards(f, x))
    with model.cached_flow():
        once, same = bound()
    assert not maps
    torch.testing.assert_close(once, plain)
    torch.testing.assert_close(same, gradients)
    torch.testing.assert_close(bound()[0], plain)
    assert maps


def test_a_model_is_copied_while_flows_are_cached():
    model, batch = model_of(), batch_of(LABELLED)
    with model.cached_flow():
        model.latent_posterior(batch.composition, batch.targets)
        assert model._flows
        copied = deepcopy(model)
    assert copied._flows is None


@pytest.mark.parametrize("name", PRIORS)
def test_the_prior_is_that_of_the_spec(name):
    model = model_of(2)
    prior = model.site(name).prior(None, {})
    assert float(prior.probs) == pytest.approx(PRIORS[name], rel=1e-12)


def test_the_elbo_is_a_lower_bound_that_is_tight_for_the_exact_guide():
    # Without any influence of z on the composition and q(z) = p(z), the bound is the evidence.
    model = model_of(flow=False)
    with torch.no_grad():
        for parameter in model.encoder[-1].parameters():
            parameter.zero_()
        model.encoder[-1].bias[..., :D] = LOC
        model.encoder[-1].bias[..., D : 2 * D] = math.log(math.expm1(SCALE - 1e-4)) + 2
        model.decoder[0].weight[:, :D] = 0
    batch = batch_of(UNLABELLED)
    evidence = []
    prior = model.site("single_phase").prior(None, {}).probs
    for value in (0.0, 1.0):
        y = {"single_phase": torch.full((N,), value, dtype=torch.float64)}
        z = torch.zeros(K, N, D, dtype=torch.float64)
        chance = prior if value else 1 - prior
        evidence.append(chance.log() + model.likelihood(z, y).log_prob(batch.fractions))
    exact = float(torch.logsumexp(torch.stack(evidence), 0).detach().sum())
    elbo = [-float(elbo_loss(model, batch).detach()) for _ in range(3)]
    assert max(elbo) < exact
    # What is left is the divergence of the heads from the exact p(y | x).
    posterior = torch.softmax(torch.stack(evidence), 0)[1].detach()
    q = model.head("single_phase", model.head_inputs(batch), None)[..., 0].sigmoid().detach()
    gap = (q * (q / posterior).log() + (1 - q) * ((1 - q) / (1 - posterior)).log()).sum()
    assert elbo == pytest.approx([exact - float(gap)] * 3, rel=1e-9)


def gradients(model: AlloyModel, batch: AlloyBatch) -> tuple[torch.Tensor, dict]:
    model.zero_grad()
    torch.manual_seed(3)
    loss = elbo_loss(model, batch)
    loss.backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return loss.detach(), grads


@pytest.mark.parametrize("placeholder", [1.0, -7.5, 1e30])
@pytest.mark.parametrize("case", ["mixed", "two targets"])
def test_values_under_the_mask_have_no_influence_on_loss_and_gradients(case, placeholder):
    model, batch = model_of(TARGETS_OF[case]), batch_of(CASES[case])
    changed = AlloyBatch(
        batch.fractions,
        batch.features,
        {t: torch.where(batch.labelled[t], v, placeholder) for t, v in batch.targets.items()},
        batch.labelled,
    )
    with pyro.validation_enabled(False):  # a placeholder need not be a class
        loss, grads = gradients(model, batch)
        other_loss, other_grads = gradients(model, changed)
    assert torch.equal(loss, other_loss)
    assert grads.keys() == other_grads.keys()
    assert all(torch.equal(grads[n], other_grads[n]) for n in grads)


def test_labelled_rows_give_the_heads_exactly_no_gradient():
    model = model_of(2)
    batch = batch_of(MIXED_TWO)
    features = batch.features.requires_grad_()
    elbo_loss(model, batch).backward()
    unknown = ~(batch.labelled["single_phase"] & batch.labelled["ductile"])
    assert (features.grad[unknown].abs().sum(-1) > 0).all()
    assert torch.equal(features.grad[~unknown], torch.zeros_like(features.grad[~unknown]))
    for name in PRIORS:
        alone = model_of(2)
        only = {t: torch.full((N,), t == name) for t in PRIORS}  # all rows of `name` are known
        elbo_loss(
            alone, AlloyBatch(batch.fractions, batch.features, batch.targets, only)
        ).backward()
        for parameter in alone.heads[name].parameters():
            assert parameter.grad is None or not parameter.grad.any()
        (other,) = set(PRIORS) - {name}
        assert all(p.grad.any() for p in alone.heads[other].parameters())


@pytest.mark.parametrize("case", ["mixed", "labelled", "two targets"])
def test_the_loss_and_gradients_of_members_are_those_of_each_alone(case, use_noise):
    model, batch = model_of(TARGETS_OF[case]), batch_of(CASES[case])
    noise = noise_of((2,) * len(branches_of(batch, model.spec.target_names)))
    use_noise(noise)
    together = elbo_loss(model, batch)
    together.backward()
    alone = []
    for k in range(K):
        single = model.member(k)
        use_noise(noise[..., k : k + 1, :, :])
        loss = elbo_loss(single, batch)
        loss.backward()
        alone.append(float(loss.detach()))
        for (name, a), b in zip(model.named_parameters(), single.parameters(), strict=True):
            if a.grad is None:
                assert b.grad is None
            else:
                torch.testing.assert_close(a.grad[k : k + 1], b.grad, msg=name)
    assert float(together.detach()) == pytest.approx(sum(alone), rel=1e-12)


@pytest.mark.parametrize("case", ["mixed", "labelled"])
def test_one_member_is_a_single_model_to_the_last_digit(case):
    batch = batch_of(CASES[case])
    one = model_of(members=1)
    same = one.member(0)
    loss, grads = gradients(one, batch)
    other_loss, other_grads = gradients(same, batch)
    assert torch.equal(loss, other_loss)
    assert all(torch.equal(grads[n], other_grads[n]) for n in grads)


# Which sites there are, and their shapes.


def guide_trace(model: AlloyModel, batch: AlloyBatch):
    return poutine.trace(model.guide).get_trace(batch)


def test_an_entirely_labelled_batch_has_no_guide_site_and_warns_nothing():
    model, batch = model_of(), batch_of(LABELLED)
    assert set(guide_trace(model, batch).stochastic_nodes) - {"members", "alloys"} == {"z"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        elbo_loss(model, batch).backward()


def test_a_mask_that_is_true_throughout_is_worth_no_mask(use_noise):
    model, batch = model_of(), batch_of(LABELLED)
    noise = noise_of(())
    use_noise(noise)
    plain = float(elbo_loss(model, batch).detach())
    known = {"single_phase": torch.ones(N, dtype=torch.bool)}
    masked = AlloyBatch(batch.fractions, batch.features, batch.targets, known)
    use_noise(noise.expand(2, K, N, D))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss = elbo_loss(model, masked)
        loss.backward()
    assert float(loss.detach()) == pytest.approx(plain, rel=1e-12)


def test_an_entirely_unlabelled_batch_is_one_whose_target_is_left_out(use_noise):
    model = model_of()
    use_noise(noise_of((2,)))
    masked = elbo_loss(model, batch_of(UNLABELLED)).detach()
    left_out = elbo_loss(model, batch_of({})).detach()
    torch.testing.assert_close(masked, left_out, rtol=1e-12, atol=0)


def test_shapes_under_enumeration_are_those_of_the_design():
    model, batch = model_of(), batch_of(MIXED)
    assert (MEMBERS_DIM, ALLOYS_DIM) == (-2, -1)
    guide = poutine.enum(model.guide, first_available_dim=-3)
    trace = poutine.trace(guide).get_trace(batch)
    assert batch.targets["single_phase"].shape == (N,)
    assert trace.nodes["single_phase_unobserved"]["value"].shape == (2, 1, 1)
    assert trace.nodes["z"]["value"].shape == (2, K, N, D)
    program = poutine.replay(poutine.enum(model.model), trace=trace)
    sites = poutine.trace(program).get_trace(batch).nodes
    assert sites["single_phase"]["value"].shape == (2, 1, N)
    assert sites["composition"]["value"].shape == (N, E)
    assert {n for n, s in sites.items() if s["type"] == "sample"} == {
        "members",
        "alloys",
        "single_phase_observed",
        "single_phase_unobserved",
        "single_phase",
        "z",
        "composition",
    }


def test_labels_are_kept_and_only_the_others_inferred():
    model, batch = model_of(), batch_of(MIXED)
    torch.manual_seed(0)
    trace = guide_trace(model, batch)
    y = poutine.trace(poutine.replay(model.model, trace=trace)).get_trace(batch)
    value = y.nodes["single_phase"]["value"]
    assert value.shape == (K, N)
    known = batch.labelled["single_phase"]
    assert torch.equal(value[:, known], batch.targets["single_phase"][known].expand(K, -1))


# Pyro's own tools on the model unchanged.


def without_composition(batch: AlloyBatch) -> AlloyBatch:
    return AlloyBatch(None, batch.features, batch.targets, batch.labelled)


def test_predictive_draws_targets_latents_and_compositions_from_the_prior():
    model = model_of()
    torch.manual_seed(0)
    with torch.no_grad():
        draws = Predictive(model.model, num_samples=7)(without_composition(batch_of({})))
    assert draws["single_phase"].shape == (7, K, N)
    assert draws["z"].shape == (7, K, N, D)
    assert draws["composition"].shape == (7, K, N, E)
    sums = draws["composition"].sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_predictive_draws_have_the_moments_of_the_prior():
    model = model_of(2)
    torch.manual_seed(0)
    with torch.no_grad():
        draws = Predictive(model.model, num_samples=600)(without_composition(batch_of({})))
    count = 600 * K * N
    for name, p in PRIORS.items():
        assert abs(float(draws[name].mean()) - p) < 4 * (p * (1 - p) / count) ** 0.5
    assert abs(float(draws["z"].mean()) - LOC) < 4 * SCALE / (count * D) ** 0.5
    assert float(draws["z"].std()) == pytest.approx(SCALE, rel=0.05)


@pytest.mark.parametrize("case", ["mixed", "labelled", "unlabelled", "target left out"])
def test_predictive_of_an_observed_composition_returns_it(case):
    model, batch = model_of(), batch_of(CASES[case])
    torch.manual_seed(0)
    with torch.no_grad():
        draws = Predictive(model.model, num_samples=7)(batch)
    assert draws["composition"].shape == (7, N, E)
    assert torch.equal(draws["composition"], batch.fractions.expand(7, N, E))
    assert draws["z"].shape == (7, K, N, D)


@pytest.mark.parametrize("case", ["mixed", "labelled", "unlabelled"])
def test_predictive_with_the_guide_draws_from_the_posterior(case):
    model, batch = model_of(), batch_of(CASES[case])
    torch.manual_seed(0)
    with torch.no_grad():
        draws = Predictive(model.model, guide=model.guide, num_samples=400)(batch)
        assert draws["z"].shape == (400, K, N, D)
        q = model.head("single_phase", model.head_inputs(batch), None)[..., 0].sigmoid()
    if case == "labelled":
        mean = model.latent_posterior(batch.fractions, batch.targets).sample((400,)).mean(0)
        assert (draws["z"].mean(0) - mean).abs().max() < 0.5
    else:
        unknown = ~batch.labelled["single_phase"]
        shares = draws["single_phase_unobserved"].mean(0)
        assert (shares - q)[:, unknown].abs().max() < 4 * 0.5 / 400**0.5


def test_condition_fixes_the_latent():
    model, batch = model_of(), without_composition(batch_of({}))
    z = torch.zeros(K, N, D, dtype=torch.float64)
    torch.manual_seed(0)
    conditioned = poutine.condition(model.model, data={"z": z})
    trace = poutine.trace(conditioned).get_trace(batch)
    assert torch.equal(trace.nodes["z"]["value"], z)
    assert trace.nodes["z"]["is_observed"]
    assert trace.nodes["composition"]["value"].shape == (K, N, E)


def test_condition_on_a_composition_is_to_observe_it():
    model, batch = model_of(), batch_of(LABELLED)
    z = {"z": torch.zeros(K, N, D, dtype=torch.float64)}
    observed = poutine.trace(poutine.condition(model.model, data=z)).get_trace(batch)
    data = z | {"composition": batch.fractions}
    program = poutine.condition(model.model, data=data)
    conditioned = poutine.trace(program).get_trace(without_composition(batch))
    torch.testing.assert_close(conditioned.log_prob_sum(), observed.log_prob_sum())


def test_trace_scores_the_joint_density_of_members_and_alloys():
    model, batch = model_of(flow=False), batch_of(LABELLED)
    z = noise_of(())
    program = poutine.condition(model.model, data={"z": z})
    score = float(poutine.trace(program).get_trace(batch).log_prob_sum().detach())
    y = batch.targets["single_phase"]
    p = PRIORS["single_phase"]
    labels = K * sum(math.log(p if value else 1 - p) for value in y.tolist())
    latent = sum(normal_log_density(v, LOC, SCALE) for v in z.flatten().tolist())
    logits = model.decoder(torch.cat([z, y[:, None].expand(K, N, 1)], -1))
    counts = ATOMS * batch.fractions
    coefficient = gammaln(ATOMS + 1) * N - float(gammaln(counts.numpy() + 1).sum())
    likelihood = K * coefficient + float((counts * logits.log_softmax(-1)).detach().sum())
    assert score == pytest.approx(labels + latent + likelihood, rel=1e-12)


@pytest.mark.parametrize("observed", [True, False])
@pytest.mark.parametrize("case", ["mixed", "labelled", "target left out"])
def test_the_relations_of_the_sites_are_those_of_the_design(case, observed):
    from pyro.infer.inspect import get_model_relations

    batch = batch_of(CASES[case])
    batch = batch if observed else without_composition(batch)
    relations = get_model_relations(model_of().model, (batch,))
    upstream = set(relations["sample_sample"]["composition"]) - {"composition"}
    assert {site.removesuffix("_observed").removesuffix("_unobserved") for site in upstream} == {
        "single_phase",
        "z",
    }
    assert set(relations["sample_sample"]["z"]) <= {"z"}
    for plate in ("members", "alloys"):
        assert set(relations["plate_sample"][plate]) >= {"z", "composition"}
    assert ("composition" in relations["observed"]) == observed


@pytest.mark.parametrize("observed", [True, False])
def test_render_model_draws_the_program(observed):
    pytest.importorskip("graphviz")
    batch = batch_of(MIXED)
    graph = pyro.render_model(
        model_of().model,
        model_args=(batch if observed else without_composition(batch),),
        render_distributions=True,
    )
    for site in ("single_phase", "z", "composition", "members", "alloys"):
        assert site in graph.source


# Parts that others call.


@pytest.mark.parametrize("flow", [True, False], ids=["flow", "no flow"])
def test_the_latent_mean_is_where_the_posterior_without_noise_lies(flow, use_noise):
    model, batch = model_of(flow=flow), batch_of(LABELLED)
    use_noise(torch.zeros(K, N, D, dtype=torch.float64))
    draw = model.latent_posterior(batch.fractions, batch.targets).rsample()
    torch.testing.assert_close(model.latent_mean(batch.fractions, batch.targets), draw)


def test_a_diagonal_guide_is_a_full_one_without_correlations():
    full, diagonal, batch = model_of(), model_of(covariance="diagonal"), batch_of(LABELLED)
    weights = {n: p.detach().clone() for n, p in full.named_parameters()}
    last = f"encoder.{len(full.encoder) - 1}"
    for name in (f"{last}.weight", f"{last}.bias"):
        full.get_parameter(name).data[..., 2 * D :] = 0
        weights[name] = weights[name][..., : 2 * D]
    diagonal.load_state_dict(weights, strict=False)
    z = torch.randn(7, K, N, D)
    torch.testing.assert_close(
        full.latent_posterior(batch.fractions, batch.targets).log_prob(z),
        diagonal.latent_posterior(batch.fractions, batch.targets).log_prob(z),
    )


def test_the_flow_depends_on_the_class_and_leaves_the_density_normalised():
    model, batch = model_of(members=1), batch_of(LABELLED)
    first = batch.map(lambda t: t[:1])
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.copy_(torch.tensor([0.0, 0.0, 2.0, 2.0, 0.7]))
        for parameter in model.flow.parameters():
            parameter.mul_(0.5)
    q = model.latent_posterior(first.fractions, first.targets)
    axis = torch.linspace(-12, 12, 481, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, D)
    with torch.no_grad():
        mass = q.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(mass) == pytest.approx(1, abs=1e-3)
    other = {"single_phase": 1 - first.targets["single_phase"]}
    assert not torch.equal(
        model.latent_mean(first.fractions, first.targets), model.latent_mean(first.fractions, other)
    )


# Models apart from each other.


def test_two_models_share_no_parameter_and_the_store_stays_empty():
    a, b = model_of(seed=0), model_of(seed=1)
    batch = batch_of(MIXED)
    before = {n: p.detach().clone() for n, p in b.named_parameters()}
    optimizer = torch.optim.SGD(a.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        elbo_loss(a, batch).backward()
        optimizer.step()
        elbo_loss(b, batch)
    assert all(torch.equal(p, before[n]) for n, p in b.named_parameters())
    storages = [{p.data_ptr() for p in m.parameters()} for m in (a, b)]
    assert not storages[0] & storages[1]
    assert len(pyro.get_param_store()) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_member_copies_the_weights_of_that_member(dtype):
    torch.set_default_dtype(torch.float32)
    model = model_of().to(dtype)
    batch = batch_of(LABELLED).map(lambda t: t.to(dtype) if t.is_floating_point() else t)
    for k in range(K):
        single = model.member(k)
        assert single.members == 1
        assert single.spec == model.spec
        for (name, a), (same, b) in zip(
            model.named_parameters(), single.named_parameters(), strict=True
        ):
            assert name == same
            assert b.dtype == a.dtype
            assert torch.equal(a[k : k + 1], b)
        torch.testing.assert_close(
            single.latent_mean(batch.fractions, batch.targets)[0],
            model.latent_mean(batch.fractions, batch.targets)[k],
        )
    kept = model.encoder[0].weight.detach().clone()
    with torch.no_grad():
        for parameter in model.member(0).parameters():
            parameter.fill_(7.0)
    assert torch.equal(model.encoder[0].weight, kept)


@pytest.mark.parametrize("training", [True, False])
def test_member_keeps_the_mode(training):
    assert model_of().train(training).member(0).training is training


def test_member_leaves_the_global_random_state_alone():
    model, before = model_of(), torch.get_rng_state()
    model.member(0)
    assert torch.equal(torch.get_rng_state(), before)
