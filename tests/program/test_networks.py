import math
from itertools import pairwise

import pytest
import torch
from pyro.distributions.transforms.spline import _monotonic_rational_spline
from torch.nn import functional as F

from pyro_hea.program.flows import CouplingFlow
from pyro_hea.program.networks import MLP, Dropout, MemberLinear, PiecewiseLinear
from pyro_hea.program.splines import rational_spline

K, N, D, CONTEXT = 3, 4, 4, 2


def random_(module: torch.nn.Module, seed: int = 0, scale: float = 0.7) -> torch.nn.Module:
    """Weights far from their initial values, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.double().parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data.copy_(scale * noise)
    return module


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Layers.


def test_member_linear_is_a_linear_map_per_member():
    layer = random_(MemberLinear(K, 5, 2))
    x = normal(K, N, 5)
    expected = [F.linear(x[k], layer.weight[k].T, layer.bias[k, 0]) for k in range(K)]
    torch.testing.assert_close(layer(x), torch.stack(expected))


def test_an_input_without_member_axis_is_shared_by_the_members():
    layer = random_(MemberLinear(K, 5, 2))
    x = normal(N, 5)
    torch.testing.assert_close(layer(x), layer(x.expand(K, N, 5)))
    assert layer(x).shape == (K, N, 2)


@pytest.mark.parametrize("hidden", [(), (6,), (6, 3)])
def test_mlp_is_a_loop_of_linear_maps_and_silu(hidden):
    sizes = (5, *hidden, 2)
    mlp = random_(MLP(K, sizes))
    layers = [m for m in mlp if isinstance(m, MemberLinear)]
    assert [tuple(m.weight.shape) for m in layers] == [(K, i, o) for i, o in pairwise(sizes)]
    x = normal(2, K, N, 5)
    got = mlp(x)
    for k in range(K):
        h = x[:, k]
        for number, layer in enumerate(layers):
            h = F.linear(h, layer.weight[k].T, layer.bias[k, 0])
            if number < len(layers) - 1:
                h = h * torch.sigmoid(h)
        torch.testing.assert_close(got[:, k], h)


def test_members_start_from_different_weights():
    weight = MemberLinear(2, 30, 30).weight
    assert (weight[0] != weight[1]).float().mean() > 0.99


@pytest.mark.parametrize("inputs", [3, 300])
def test_initial_weights_keep_the_variance_of_their_input(inputs):
    torch.manual_seed(0)
    layer = MemberLinear(50, inputs, 40)
    assert layer.bias.abs().max() == 0
    assert float(layer.weight.detach().var() * inputs) == pytest.approx(1, rel=0.1)


def test_a_gain_of_zero_starts_at_zero():
    assert MLP(K, (5, 4, 2), gain=0.0)(torch.ones(N, 5)).abs().max() == 0


@pytest.mark.parametrize("member", range(K))
def test_a_members_output_has_no_gradient_in_another_members_weights(member):
    mlp = random_(MLP(K, (5, 6, 2)))
    mlp(normal(N, 5))[member].square().sum().backward()
    for parameter in mlp.parameters():
        for other in range(K):
            size = float(parameter.grad[other].abs().max())
            assert (size > 0) == (other == member)


def test_other_weights_of_one_member_leave_the_others_bit_equal():
    mlp, x = random_(MLP(K, (5, 6, 2))), normal(N, 5)
    before = mlp(x).detach().clone()
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter[0] = torch.nan
    after = mlp(x)
    assert after[0].isnan().all()
    assert torch.equal(after[1:], before[1:])


def test_dropout_acts_in_training_only_and_on_hidden_units_only():
    mlp = random_(MLP(K, (5, 400, 2), dropout=0.5))
    plain = MLP(K, (5, 400, 2)).double()
    plain.load_state_dict(dict(zip(plain.state_dict(), mlp.state_dict().values(), strict=True)))
    x = normal(N, 5)
    assert torch.equal(mlp.eval()(x), plain(x))
    torch.manual_seed(0)
    assert not torch.equal(mlp.train()(x), plain(x))
    mlp[-1].weight.data.fill_(1.0)
    mlp[-1].bias.data.zero_()
    mlp[0].weight.data.zero_()
    mlp[0].bias.data.fill_(1.0)
    kept = mlp(x) / F.silu(torch.tensor(1.0, dtype=torch.float64)) / 2  # units that were kept
    torch.testing.assert_close(kept, kept.round())
    assert ((kept > 130) & (kept < 270)).all()


def test_what_is_given_in_branches_is_one_of_the_inputs():
    mlp = random_(MLP(K, (5, 6, 2)))
    x, given = normal(N, 3), normal(4, 1, N, 2)
    joined = torch.cat([x.expand(4, 1, N, 3), given], -1)
    torch.testing.assert_close(mlp(x, given), mlp(joined))


def test_branches_of_several_targets_are_each_mapped_alone():
    layer, x = random_(MemberLinear(K, 5, 2)), normal(3, 2, K, N, 5)
    alone = torch.stack([torch.stack([layer(x[i, j]) for j in range(2)]) for i in range(3)])
    torch.testing.assert_close(layer(x), alone)


def test_dropout_drops_the_same_units_in_every_branch():
    dropped = Dropout(0.5)(torch.ones(3, K, N, 40))
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert dropped.unique().tolist() == [0.0, 2.0]
    assert not torch.equal(dropped[0, 0], dropped[0, 1])


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_each_unit_with_its_probability(p):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(7, 101, 103)) == 0  # no multiple of four
    share = dropped.double()
    assert float(share.mean()) == pytest.approx(p, abs=4 * (p * (1 - p) / share.numel()) ** 0.5)
    left, right = share[..., :-1].flatten(), share[..., 1:].flatten()
    together = torch.corrcoef(torch.stack([left, right]))[0, 1]
    assert abs(float(together)) < 4 / left.numel() ** 0.5


# Embedding of features.


def test_piecewise_linear_embeds_a_value_as_its_progress_through_each_bin():
    embedding = PiecewiseLinear(torch.tensor([[0.0, 1.0, 3.0], [-2.0, 0.0, 4.0]]))
    assert embedding.outputs == 4
    x = torch.tensor([[2.0, -1.0], [0.25, 1.0], [1.0, 0.0]])
    by_hand = [[1.0, 0.5, 0.5, 0.0], [0.25, 0.0, 1.0, 0.25], [1.0, 0.0, 1.0, 0.0]]
    torch.testing.assert_close(embedding(x), torch.tensor(by_hand))


def test_piecewise_linear_saturates_beyond_the_training_range():
    embedding = PiecewiseLinear(torch.tensor([[0.0, 1.0, 3.0]]))
    x = torch.tensor([[-1e6], [0.0], [3.0], [1e6]])
    assert embedding(x).tolist() == [[0, 0], [0, 0], [1, 1], [1, 1]]


def test_a_bin_of_no_width_is_a_step_and_stays_finite():
    for dtype in (torch.float32, torch.float64):
        embedding = PiecewiseLinear(torch.tensor([[1.0, 1.0, 1.0, 2.0]], dtype=dtype))
        x = torch.tensor([[1 - 1e-3], [1.0], [1 + 1e-3], [5.0]], dtype=dtype, requires_grad=True)
        got = embedding(x)
        assert got[0].tolist() == [0, 0, 0]
        assert got[1].tolist() == [0, 0, 0]
        assert got[2, :2].tolist() == [1, 1]
        assert got[3].tolist() == [1, 1, 1]
        assert got.isfinite().all()


def test_the_edges_are_saved_with_the_weights_and_not_trained():
    embedding = PiecewiseLinear(torch.tensor([[0.0, 1.0]]))
    assert list(embedding.state_dict()) == ["edges"]
    assert list(embedding.parameters()) == []


# The flow.


def flow_and_inputs(layers: int = 3) -> tuple[CouplingFlow, torch.Tensor, torch.Tensor]:
    flow = random_(CouplingFlow(K, D, CONTEXT, hidden=5, layers=layers, bins=4))
    return flow, normal(N, CONTEXT, seed=2), normal(K, N, D, seed=3)


def jacobians(function, x: torch.Tensor) -> torch.Tensor:
    """Of each member and row, after a check that no value crosses from one to another."""
    full = torch.autograd.functional.jacobian(function, x)  # (K, N, D, K, N, D)
    full = full.permute(0, 1, 3, 4, 2, 5).reshape(K * N, K * N, D, D)
    same = torch.eye(K * N, dtype=torch.bool)
    assert full[~same].abs().max() == 0
    return full[same].reshape(K, N, D, D)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_the_inverse_undoes_the_flow(layers):
    flow, context, x = flow_and_inputs(layers)
    y = flow(context)(x)
    assert (y - x).abs().max() > 0.1
    torch.testing.assert_close(flow(context).inv(y), x)
    torch.testing.assert_close(flow(context)(flow(context).inv(x)), x)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_log_det_of_the_flow_is_that_of_the_autograd_jacobian(layers):
    flow, context, x = flow_and_inputs(layers)
    expected = torch.linalg.slogdet(jacobians(lambda v: flow(context)(v), x)).logabsdet
    at = flow(context)
    torch.testing.assert_close(at.log_abs_det_jacobian(x, at(x)), expected)
    inverse = torch.linalg.slogdet(jacobians(lambda v: flow(context).inv(v), x)).logabsdet
    back = flow(context).inv
    torch.testing.assert_close(back.log_abs_det_jacobian(x, back(x)), inverse)
    assert expected.abs().min() > 1e-3


def test_a_few_layers_move_every_coordinate_and_depend_on_every_coordinate():
    flow, context, x = flow_and_inputs(3)
    assert (jacobians(lambda v: flow(context)(v), x).abs().amax((0, 1)) > 1e-6).all()


def test_each_context_has_a_map_of_its_own():
    flow, context, x = flow_and_inputs()
    other = context.clone()
    other[0] += 1
    a, b = flow(context)(x), flow(other)(x)
    assert (a[:, 0] != b[:, 0]).all(dim=-1).all()
    assert torch.equal(a[:, 1:], b[:, 1:])


def test_a_context_of_enumerated_targets_broadcasts():
    flow, _, x = flow_and_inputs()
    both = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 1, N, CONTEXT)
    x = x.expand(2, K, N, D)
    y = flow(both)(x)
    assert y.shape == (2, K, N, D)
    for value in (0, 1):
        torch.testing.assert_close(y[value], flow(both[value])(x[value]))


def test_the_cache_changes_no_value():
    flow, context, x = flow_and_inputs()
    at = flow(context)
    first, other = at(x), normal(K, N, D, seed=4)
    assert at.inv(first) is x  # cached
    log_det = at.log_abs_det_jacobian(x, first)
    at(other)  # takes the cache
    torch.testing.assert_close(at.inv(first), x)  # computed
    torch.testing.assert_close(at.log_abs_det_jacobian(x, first), log_det)
    at(other)
    torch.testing.assert_close(at.log_abs_det_jacobian(x.clone(), first.clone()), log_det)
    assert torch.equal(flow(context)(x), first)
    backwards = flow(context)
    z = backwards.inv(first)
    torch.testing.assert_close(backwards.log_abs_det_jacobian(z, first), log_det)


def test_a_fresh_flow_is_nearly_the_identity_up_to_the_order_of_the_halves():
    flow, x = CouplingFlow(K, D, CONTEXT, hidden=5, layers=2, bins=4), normal(K, N, D).float()
    y = flow(torch.ones(N, CONTEXT))(x)
    torch.testing.assert_close(y, x, atol=0.2, rtol=0)


def test_no_layer_scales_without_bound():
    flow, context, x = flow_and_inputs(1)
    for parameter in flow.parameters():
        parameter.data.mul_(1e3)
    at = flow(context)
    # a bin's slope is at most twice its height by its width, or that at its edges
    steepest = 2 + math.log(2 * (1 - 3 * 0.02) / 0.02)
    assert at.log_abs_det_jacobian(x, at(x)).max() <= steepest * D / 2
    assert torch.isfinite(at.inv(at(x))).all()


# With permutations and ActNorm.


def permuted_flow(layers: int = 3) -> CouplingFlow:
    how = {"permuted": range(layers), "normalised": True}
    return random_(CouplingFlow(K, D, 0, hidden=5, layers=layers, bins=4, **how), scale=0.5)


def test_a_permuted_flow_is_undone_and_has_the_log_det_of_autograd():
    flow, x = permuted_flow(), normal(K, N, D, seed=3)
    at = flow(x[..., :0])
    y = at(x)
    assert (y - x).abs().max() > 0.1
    torch.testing.assert_close(flow(x[..., :0]).inv(y), x)
    expected = torch.linalg.slogdet(jacobians(flow(x[..., :0]), x)).logabsdet
    torch.testing.assert_close(at.log_abs_det_jacobian(x, y), expected)
    again = flow(x[..., :0])
    back = again.inv(y)
    torch.testing.assert_close(again.inv.log_abs_det_jacobian(y, back), -expected)


def test_a_permuted_flow_starts_by_standardising_each_coordinate():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        how = {"permuted": range(4), "normalised": True}
        flow = CouplingFlow(1, D, 0, hidden=5, layers=4, bins=1, **how).double()
    x = 3 * normal(1, 500, D) @ normal(D, D, seed=4) + 7
    flow.initialise(x)
    y = flow(x[..., :0])(x)
    torch.testing.assert_close(y.mean(1), torch.zeros(1, D).double(), atol=0.05, rtol=0)
    torch.testing.assert_close(y.std(1), torch.ones(1, D).double(), atol=0.05, rtol=0)


@pytest.mark.parametrize("inverse", [False, True])
def test_the_spline_is_pyros(inverse):
    x, declared = 3 * normal(200, seed=5), normal(200, 3 * 5 - 1, seed=6)
    widths, heights = declared[:, :5].softmax(-1), declared[:, 5:10].softmax(-1)
    slopes = (2 * torch.tanh(declared[:, 10:] / 2)).exp()
    bounds = {"bound": 4.0, "min_bin_width": 0.02, "min_bin_height": 0.02, "min_derivative": 0.0}
    expected = _monotonic_rational_spline(x, widths, heights, slopes, inverse=inverse, **bounds)
    assert (x.abs() > 4).any()
    for ours, theirs in zip(rational_spline(x, declared, inverse), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_members_of_a_flow_do_not_touch():
    flow, context, x = flow_and_inputs()
    before = flow(context)(x).detach().clone()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter[1] += 1.0
    after = flow(context)(x)
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert not torch.equal(after[1], before[1])


@pytest.mark.parametrize("bins", [2, 8])
@pytest.mark.parametrize("branches", [(), (3,)])
def test_the_inverse_in_training_is_that_of_the_formulas_with_the_gradients_of_torch(
    bins, branches
):
    flow = random_(CouplingFlow(K, D, CONTEXT, hidden=5, layers=3, bins=bins))
    y, context = 3 * normal(K, N, D), normal(*branches, K, N, CONTEXT)
    weights = normal(*branches, K, N, D), normal(*branches, K, N)
    found = []
    for training in (True, False):
        flow.train(training)
        at = y.clone().requires_grad_()
        transform = flow(context)
        x = transform.inv(at)
        values = x, transform.log_abs_det_jacobian(x, transform(x))
        loss = sum((w * v).sum() for w, v in zip(weights, values, strict=True))
        found.append((values, torch.autograd.grad(loss, [at, *flow.parameters()])))
    assert (y.abs() > 4).any()
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-8)
