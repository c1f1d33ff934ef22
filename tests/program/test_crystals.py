"""The program of crystals, against sums by hand."""

import math
from dataclasses import replace
from itertools import permutations

import pyro
import pytest
import torch
from pyro import poutine
from scipy import stats

from pyro_hea.inference import elbo_loss
from pyro_hea.inference.objective import known_labels, without_masks
from pyro_hea.materials.alloys.dataset import Statistics
from pyro_hea.program.crystal_batch import CrystalInputs, CrystalTables
from pyro_hea.program.crystal_distributions import AroundPrototypes, ElementsOnRoles
from pyro_hea.program.crystals import CrystalModel, angles
from pyro_hea.spec import CrystalSpec

N, E, K = 4, 5, 2
FEATURES = 3, 2, 2
METAL = {"metal": {"prior": {"dist": "Bernoulli", "probs": 0.3}}}
GAP = {
    "gap": {
        "kind": "continuous",
        "positive": False,
        "transform": "identity",
        "prior": {"dist": "Normal", "loc": 2.0, "scale": 1.0},
    }
}


def spec_of(targets=METAL, prior="prototypes", **changes):
    return CrystalSpec.from_mapping(
        {
            "targets": targets,
            "composition": {"dim": 2, "count": 1, "flow": {"layers": 2, "hidden": 4, "bins": 1}},
            "structure": {
                "dim": 4,
                "prior": {"kind": prior, "hidden": 4 if prior == "flow" else [4]},
            },
            "log_volume": {"dist": "Normal"},
            "shape": {"dist": "Normal"},
            "head": {"hidden": [4]},
            "encoder": {"hidden": [4]},
            "decoder": {"hidden": [4]},
            "structure_dropout": 0.0,
            "training": {"members": K, "distillation": None},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def tables():
    """Formula types AB and AB2; two prototypes of the first, one of the second."""
    generator = torch.Generator().manual_seed(0)
    return CrystalTables(
        E,
        FEATURES,
        properties=torch.randn(E, 2, generator=generator),
        counts=torch.tensor([[1.0, 1.0], [1.0, 2.0]]),
        tied=torch.tensor([[False, True], [False, False]]),
        type_counts=torch.tensor([3.0, 1.0]),
        prototype_type=torch.tensor([0, 0, 1]),
        prototype_counts=torch.tensor([2.0, 1.0, 1.0]),
        descriptors=torch.randn(3, 2, generator=generator),
        shape=torch.zeros(3, 5),
        coordinates=torch.rand(3, 2, generator=generator),
        assignment_counts=torch.tensor([[2.0, -1.0], [1.0, 0.0], [1.0, -1.0]]),
    )


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(1)
    elements = torch.tensor([[0, 1], [2, 4], [1, 3], [3, 0]])
    s = torch.tensor([0, 0, 0, 1])
    share = torch.tensor([[0.5, 0.5]] * 3 + [[1 / 3, 2 / 3]])
    return CrystalInputs(
        torch.zeros(N, E).scatter(1, elements, share),
        torch.randn(N, sum(FEATURES), generator=generator),
        {"metal": torch.tensor([1.0, 0.0, 0.0, 0.0])},
        {"metal": torch.tensor([True, True, False, False])},
        structure_known=torch.ones(N, dtype=torch.bool),
        formula_type=s,
        elements=elements,
        prototype=torch.tensor([0, 1, 1, 2]),
        structure_features=torch.randn(N, 2, generator=generator),
        assignment=torch.tensor([0, 1, 0, 0]),
        log_volume=torch.tensor([3.0, 2.8, 3.1, 2.5]),
        shape=0.1 * torch.randn(N, 5, generator=generator),
        shape_mask=torch.tensor([[False] * 5, [False, True, False, False, False]] * 2),
        coordinates=torch.rand(N, 2, generator=generator),
        coordinate_mask=torch.tensor([[False, False], [True, False], [True, True], [True, True]]),
    )


def model_of(tables, spec=None, scales=None):
    torch.manual_seed(0)
    statistics = Statistics(torch.zeros(1, 2), torch.zeros(1), torch.ones(1), scales or {})
    return CrystalModel(spec or spec_of(), tables, statistics).double().eval()


def double(batch):
    return batch.map(lambda t: t.double() if t.is_floating_point() else t)


def normal(x, loc, scale):
    return stats.norm(loc.detach(), scale.detach()).logpdf(x.detach())


def by_hand(model, batch, y, z_c, z_s, q_c, q_s):
    """log p - log q of every member and crystal at values of the targets and latents."""
    with torch.no_grad():
        s, spec = batch.formula_type, model.spec
        total = torch.log(model.tables.type_counts.double()[s] / model.tables.type_counts.sum())
        total = total + torch.tensor(normal(z_c, torch.zeros(()), torch.ones(())).sum(-1))
        seen = model.seen(z_c, y, s)
        weights = model.prototype_log_weights(batch.composition, y, s)
        centres = model.prototype_centres
        spread = model._spread(model.raw_spread)
        each = torch.stack(
            [
                weights[..., p] + torch.tensor(normal(z_s, centres[:, [p]], spread).sum(-1))
                for p in range(3)
            ],
            -1,
        )
        total = total + each.logsumexp(-1)
        logits = model.composition_decoder(seen).unflatten(-1, (2, E))
        elements = model.element_vectors
        wanted = elements.to_roles(seen[..., :2]).unflatten(-1, (2, -1)).unsqueeze(-2)
        vectors = elements.vectors[:, None, None]
        near = (wanted * vectors).sum(-1) - vectors.square().sum(-1) / 2
        logits = logits + near * elements.log_sharpness.exp()
        for k in range(K):
            for n in range(N):
                first, second = batch.elements[n].tolist()
                tied = s[n] == 0
                rows = logits.expand(*z_c.shape[:-1], 2, E)[k, n]
                allowed = range(E - 1) if tied else range(E)
                total[k, n] += rows[0, first] - rows[0, list(allowed)].logsumexp(0)
                left = [e for e in range(E) if (e > first if tied else e != first)]
                total[k, n] += rows[1, second] - rows[1, left].logsumexp(0)
        precision = model._spread(model.raw_precision)
        distance = ((z_s.unsqueeze(-2) - centres.unsqueeze(1)) / precision.unsqueeze(1)).square()
        logit = -distance.sum(-1) / 2
        other = model.tables.prototype_type != s[:, None]
        logit = logit.masked_fill(other, -torch.inf).log_softmax(-1)
        total = total + logit[:, torch.arange(N), batch.prototype]
        ways = model.assigner(torch.cat([model.code(z_c, y, s).expand_as(z_c), z_s], -1))
        counts = model.tables.assignment_counts[batch.prototype]
        ways = (ways + (counts.clamp_min(0) + 0.5).log()).masked_fill(counts < 0, -torch.inf)
        total = total + ways.log_softmax(-1)[:, torch.arange(N), batch.assignment]
        centre = model.centre(batch)
        volume = model.volume_likelihood(batch.fractions, centre)
        total = total + torch.tensor(normal(batch.log_volume, volume.loc, volume.scale))
        shape, coordinates = model.geometry_likelihood(z_s, centre, batch.prototype)
        of_shape = torch.tensor(normal(batch.shape, shape.loc, shape.scale))
        total = total + (of_shape * batch.shape_mask).sum(-1)
        vonmises = stats.vonmises(coordinates.concentration, coordinates.loc)
        of_coordinates = torch.tensor(vonmises.logpdf(angles(batch.coordinates)))
        total = total + (of_coordinates * batch.coordinate_mask).sum(-1)
        assert spec.composition.count == 1
        return total - q_c.log_prob(z_c) - q_s.log_prob(z_s)


def drawn(model, batch):
    """What a trace of the guide draws, with the classes that are summed over as branches."""
    guide = poutine.enum(model.guide, first_available_dim=-3)
    return poutine.trace(guide).get_trace(batch).nodes


def test_elbo_of_labelled_crystals_is_the_sum_by_hand(tables, batch):
    batch = double(batch.replaced(targets={"metal": torch.tensor([1.0, 0, 0, 1])}, labelled={}))
    model = model_of(tables)
    torch.manual_seed(3)
    nodes = drawn(model, batch)
    z_c, z_s = nodes["z_composition"]["value"], nodes["z_structure"]["value"]
    torch.manual_seed(3)
    loss = elbo_loss(model, batch).item()
    y = {"metal": batch.targets["metal"]}
    q = model.composition_posterior(batch, y), model.structure_posterior(batch)
    hand = by_hand(model, batch, y, z_c, z_s, *q)
    prior = torch.where(batch.targets["metal"] > 0, math.log(0.3), math.log(0.7))
    assert loss == pytest.approx(-(hand + prior).sum().item(), rel=1e-4)


def test_elbo_of_unlabelled_crystals_sums_over_the_class_and_samples_none(tables, batch):
    batch = double(batch.replaced(targets={}, labelled={}))
    model = model_of(tables)
    torch.manual_seed(3)
    nodes = drawn(model, batch)
    assert nodes["metal"]["infer"]["enumerate"] == "parallel"
    assert nodes["metal"]["value"].flatten().tolist() == [0.0, 1.0]
    z_c, z_s = nodes["z_composition"]["value"], nodes["z_structure"]["value"]
    torch.manual_seed(3)
    loss = elbo_loss(model, batch).item()
    read = model.head_inputs(batch)
    log_q = model.site("metal").log_classes(model.head("metal", read, None), {}).detach()
    total = 0.0
    for value, log_prior in ((0, math.log(0.7)), (1, math.log(0.3))):
        y = {"metal": torch.full((K, N), float(value)).double()}
        z = z_c[value] if z_c.dim() == 4 else z_c
        q = model.composition_posterior(batch, y), model.structure_posterior(batch)
        bound = by_hand(model, batch, y, z, z_s, *q) + log_prior - log_q[..., value]
        total += (log_q[..., value].exp() * bound).sum().item()
    assert loss == pytest.approx(-total, rel=1e-4)


@pytest.mark.parametrize("prior", ["prototypes", "flow"])
def test_what_is_masked_has_no_influence(tables, batch, prior):
    model = model_of(tables, spec_of(METAL | GAP, prior), {"gap": (2.0, 1.0)}).float()
    gap, known = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([True, False] * 2)
    batch = replace(
        batch,
        targets=batch.targets | {"gap": gap},
        labelled=batch.labelled | {"gap": known},
        structure_known=torch.tensor([True, True, True, False]),
        prototype=torch.tensor([0, -1, 1, 2]),
    )

    def loss(some):
        torch.manual_seed(5)
        model.zero_grad()
        value = elbo_loss(model, some)
        value.backward()
        return [value.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]

    unknown = ~batch.structure_known
    changed = replace(
        batch,
        targets={n: torch.where(batch.labelled[n], y, 1.0) for n, y in batch.targets.items()},
        shape=torch.where(batch.shape_mask, batch.shape, 9.0),
        coordinates=torch.where(batch.coordinate_mask, batch.coordinates, 0.77),
        log_volume=torch.where(unknown, 7.0, batch.log_volume),
        assignment=torch.where(unknown | (batch.prototype < 0), 0, batch.assignment),
    )
    shape = replace(changed, shape=changed.shape.masked_fill(unknown[:, None], -3.0))
    for first, second, third in zip(loss(batch), loss(changed), loss(shape), strict=True):
        torch.testing.assert_close(first, second)
        torch.testing.assert_close(first, third)


def test_an_unknown_assignment_is_enumerated_in_the_model(tables, batch):
    batch = double(replace(batch, assignment=None, targets={}, labelled={}))
    model = model_of(tables)
    program = poutine.enum(poutine.condition(model.model, data={}), first_available_dim=-4)
    nodes = poutine.trace(program).get_trace(batch).nodes
    assert nodes["assignment"]["infer"]["enumerate"] == "parallel"
    assert sorted(nodes["assignment"]["value"].flatten().tolist()) == [0, 1]
    assert math.isfinite(elbo_loss(model, batch).item())


def test_a_class_known_throughout_needs_no_branch(tables, batch):
    known = replace(batch, labelled={"metal": torch.ones(N, dtype=torch.bool)})
    nodes = drawn(model_of(tables), double(without_masks(known, known_labels(known))))
    assert "metal" not in nodes
    assert "metal_unobserved" not in nodes


def test_one_member_is_what_it_was_among_others(tables, batch):
    batch, model = double(batch), model_of(tables)
    single = model.member(1)
    for name in ("structure_posterior", "code_posterior"):
        every, own = getattr(model, name)(batch).mean, getattr(single, name)(batch).mean
        torch.testing.assert_close(every[1:], own)


def test_both_encoders_read_their_own_half_alone(tables, batch):
    batch, model = double(batch), model_of(tables)
    other = replace(
        batch,
        features=batch.features + torch.tensor([0.0] * 3 + [1.0] * 4).double(),
        shape=batch.shape + 1,
        prototype=batch.prototype.flip(0),
    )
    torch.testing.assert_close(model.code_posterior(batch).mean, model.code_posterior(other).mean)
    other = replace(batch, features=batch.features + 1, elements=batch.elements.flip(1))
    torch.testing.assert_close(
        model.structure_posterior(batch).mean, model.structure_posterior(other).mean
    )


class TestElementsOnRoles:
    roles, tied = torch.tensor([True] * 3), torch.tensor([False, False, True])

    def test_probabilities_of_all_ways_sum_to_one(self):
        torch.manual_seed(0)
        d = ElementsOnRoles(torch.randn(3, E), self.roles, self.tied)
        ways = [way for way in permutations(range(E), 3) if way[1] < way[2]]
        assert d.log_prob(torch.tensor(ways)).exp().sum().item() == pytest.approx(1.0, abs=1e-5)

    def test_no_element_comes_twice_and_ties_are_in_order(self):
        torch.manual_seed(0)
        drawn = ElementsOnRoles(torch.randn(3, E), self.roles, self.tied).sample((200,))
        assert all(len(set(way)) == 3 and way[1] < way[2] for way in drawn.tolist())

    def test_counts_repeat_the_report(self):
        torch.manual_seed(0)
        logits, way = torch.randn(3, E), torch.tensor([4, 1, 2])
        once, often = (ElementsOnRoles(logits, self.roles, self.tied, c) for c in (1, 4))
        assert often.log_prob(way).item() == pytest.approx(4 * once.log_prob(way).item())


def test_draws_around_prototypes_have_the_density_that_is_said():
    pyro.set_rng_seed(0)
    weight = torch.tensor([[[0.25, 0.75]]]).log()
    centres, scale = torch.tensor([[[-2.0, 0.0], [1.0, 0.0]]]), torch.full((1, 1, 2), 0.5)
    d = AroundPrototypes(weight, centres, scale)
    z = d.sample(torch.Size([4000]))
    assert (z[..., 0] > -0.5).float().mean().item() == pytest.approx(0.75, abs=0.02)
    grid = torch.cartesian_prod(torch.linspace(-5, 4, 91), torch.linspace(-3, 3, 61))
    total = d.log_prob(grid[:, None, None]).exp().sum() * 0.01
    assert total.item() == pytest.approx(1.0, abs=1e-3)
