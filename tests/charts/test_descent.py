"""Descent on manifolds whose minima are known in closed form or from a fine grid."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_hea.charts import misfit
from pyro_hea.charts.archive import SavedAtlas
from pyro_hea.charts.descent import descend, jacobian
from pyro_hea.errors import ConstraintError, DataError

ANYWHERE = -torch.inf


def test_the_jacobian_is_autograds(atlas):
    z = torch.linspace(-0.8, 0.8, 5).double()[:, None].repeat(3, 1, 1)
    found = jacobian(atlas.model, z)
    for chart in range(3):
        for row in range(5):
            by_hand = torch.autograd.functional.jacobian(
                lambda one, chart=chart: atlas.model.decode(one[None])[chart, 0], z[chart, row]
            )
            torch.testing.assert_close(found[chart, row], by_hand)


def starts(n: int) -> torch.Tensor:
    xy = torch.rand(n, 2, generator=torch.Generator().manual_seed(0)).double() - 0.5
    return torch.cat([xy, torch.ones(n, 1).double()], 1)


def test_descent_ends_where_training_points_end_once_their_noise_is_taken_off(plane):
    """By the density of a coordinate: 1 up to 0.8, from there linear to 0.05 at 1."""
    random = torch.Generator().manual_seed(1)
    xy = 1.8 * (torch.rand(3000, 2, generator=random).double() - 0.5)
    noisy = 1 + plane.spec.noise * torch.randn(3000, 1, generator=random).double()
    floor = SavedAtlas.of(plane, torch.cat([xy, noisy], 1), ("x", "y", "z"), False, 0, 0.0).floor
    least = (1 - 0.95 * (xy.abs() - 0.8).clamp_min(0) / 0.2).prod(1).min()
    aim = torch.tensor([5.0, 0.0, 1.0], dtype=torch.double)
    path = descend(plane, lambda x: (x - aim).square().sum(1), starts(6), 500, (), floor)
    border = 0.8 + 0.2 * (1 - float(least)) / 0.95
    np.testing.assert_allclose(path[-1][0], np.tile([border, 0.0, 1.0], (6, 1)), atol=5e-3)


MATRIX = np.array([[2.0, 0.3, 0.5], [0.1, 0.7, -1.0], [0.4, -0.2, 0.3]])
DATA = np.array([0.5, -1.2, 0.1])


def test_descent_on_a_plane_ends_at_the_least_squares_solution(plane):
    path = descend(plane, misfit(MATRIX, DATA), starts(6), 500, (), ANYWHERE)
    exact, residual, *_ = np.linalg.lstsq(MATRIX[:, :2], DATA - MATRIX[:, 2], rcond=None)
    points, values, _ = path[-1]
    np.testing.assert_allclose(points[:, :2], np.tile(exact, (6, 1)), atol=1e-4)
    np.testing.assert_allclose(values, residual.item(), atol=1e-8)
    assert (np.diff([v.numpy() for _, v, _ in path], axis=0) <= 0).all()


def test_a_kink_in_the_way_does_not_hold_a_point(plane):
    def kinked(points):  # in small units: a step of 1 is short
        x = points[:, 0]
        return 1e-3 * ((x - 0.6).square() + 3 * (x - 0.2).abs().clamp_max(0.05))

    start = torch.tensor([[0.19, 0.0, 1.0], [0.199, 0.2, 1.0]], dtype=torch.double)
    path = descend(plane, kinked, start, 500, (), ANYWHERE)
    np.testing.assert_allclose(path[-1][0][:, 0], 0.6, atol=1e-3)


def test_a_constraint_holds_at_every_step_and_the_end_is_on_its_border(plane):
    def right_of(x):
        return 0.1 - x[:, 0]  # x ≥ 0.1

    start = starts(6)
    start[:, 0] = 0.2 + start[:, 0].abs()
    aim = torch.tensor([-0.5, 0.3, 0.0], dtype=torch.double)
    path = descend(plane, lambda x: (x - aim).square().sum(1), start, 500, [right_of], ANYWHERE)
    assert all(bool((right_of(x) <= 0).all()) for x, _, _ in path)
    best = np.tile([0.1, 0.3, 1.0], (6, 1))
    np.testing.assert_allclose(path[-1][0], best, atol=5e-3)


def west(x):
    return (x[:, 0] + 2).square() + x[:, 1].square()


def test_descent_ends_at_the_least_value_on_a_grid_of_all_charts(atlas, held_out):
    grid = np.linspace(-1, 1, 4001)[:, None]
    least = min(float(west(torch.tensor(atlas.decode(grid, k))).min()) for k in range(3))
    descent = atlas.minimize(west, held_out[:12])
    np.testing.assert_allclose(descent.values, least, atol=5e-3)
    np.testing.assert_allclose(descent.points, np.tile([-1, 0], (12, 1)), atol=0.2)
    assert (descent.trail.groupby("start")["value"].diff().dropna() <= 0).all()


def test_the_trail_begins_at_the_projected_starts_and_ends_at_the_points(atlas, held_out):
    descent = atlas.minimize(west, held_out[:4], steps=20)
    trail = descent.trail
    assert [*trail.columns] == ["start", "step", "chart", "value", "x0", "x1"]
    first, last = (trail[trail["step"] == s] for s in (0, trail["step"].max()))
    np.testing.assert_array_equal(first[["x0", "x1"]], atlas.project(held_out[:4]))
    np.testing.assert_array_equal(last[["x0", "x1"]], descent.points)
    np.testing.assert_array_equal(last["value"], descent.values)
    np.testing.assert_array_equal(last["chart"], descent.charts)
    assert "4 starts" in repr(descent)
    assert "<table" in descent._repr_html_()


def test_starts_are_drawn_where_only_their_number_is_given(atlas):
    descent = atlas.minimize(west, 3, steps=1, seed=4)
    first = descent.trail.query("step == 0")[["x0", "x1"]]
    np.testing.assert_allclose(first, atlas.project(atlas.sample(3, 4)))


def test_a_table_of_starts_gives_a_table_of_ends(atlas, held_out):
    table = pd.DataFrame(held_out[:2], columns=["x0", "x1"], index=["a", "b"])
    assert [*atlas.minimize(west, table, steps=1).points.index] == ["a", "b"]


def test_a_misfit_is_the_sum_of_squares():
    x = np.arange(6.0).reshape(2, 3)
    expected = ((x @ MATRIX.T - DATA) ** 2).sum(1)
    for operator in (MATRIX, pd.DataFrame(MATRIX), lambda p: p @ torch.tensor(MATRIX).mT):
        np.testing.assert_allclose(misfit(operator, DATA)(torch.tensor(x)), expected)


BAD = {
    "a number for all": (lambda x: x.sum(), "the objective gives () for 4 points; it has to give"),
    "no tensor": (lambda x: 1.0, "the objective gives float for 4 points"),
    "no number": (lambda x: x.sum(1) * torch.nan, "not finite at 4 of 4 points, the first ["),
    "cut off": (lambda x: x.detach().sum(1), "not differentiable: its result has no gradient"),
    "by NumPy": (lambda x: np.sin(x[:, 0]), "not differentiable: Use torch operations"),
    "no function": ("west", "the objective is 'west'; it has to be a function"),
    "steep": (lambda x: (x - x.detach()).norm(dim=1).sqrt(), "gradient of the objective is not"),
}


@pytest.mark.parametrize("what", BAD)
def test_an_objective_that_cannot_be_descended_is_named(what, atlas, held_out):
    objective, message = BAD[what]
    with pytest.raises(DataError, match=re.escape(message)):
        atlas.minimize(objective, held_out[:4])


def test_a_start_far_from_the_manifold_is_named(atlas):
    with pytest.raises(
        DataError, match=r"start 1 is [0-9.]+ away from the manifold, which is 2\.9"
    ):
        atlas.minimize(west, [[1.0, 0.0], [70.0, 70.0]])


def test_a_constraint_that_cannot_be_held_is_named_and_not_the_objective(atlas):
    start = [[1.0, 0.0]]
    with pytest.raises(DataError, match=r"constraint 1 gives \(1, 2\) for 1 points"):
        atlas.minimize(west, start, constraints=[lambda x: x[:, 1] - 2, lambda x: x])
    with pytest.raises(DataError, match="constraint 0 is not differentiable"):
        atlas.minimize(west, start, constraints=[lambda x: x.detach()[:, 0] - 3])
    with pytest.raises(ConstraintError, match=r"a sequence of functions: write \[constraint\]"):
        atlas.minimize(west, start, constraints=lambda x: x[:, 0])
    with pytest.raises(DataError, match=r"steps=2\.5 is not allowed"):
        atlas.minimize(west, start, steps=2.5)


def test_a_constraint_that_a_start_breaks_is_named(atlas):
    with pytest.raises(ConstraintError, match="constraint 0 does not hold at start 1"):
        atlas.minimize(west, [[1.0, 0.0], [0.0, -1.0]], constraints=[lambda x: -x[:, 1] - 0.5])


@pytest.mark.parametrize("side", [1, -1])
def test_a_curved_border_is_followed_to_the_end(plane, side):
    """Inside a circle around the origin, or outside of it; the aim lies across the border."""
    radius = 0.6

    def circle(x):
        return side * (x[:, :2].norm(dim=1) - radius)

    angle = torch.linspace(0.3, 2.8, 6).double()
    start = (radius - 0.1 * side) * torch.stack([angle.cos(), angle.sin()], 1)
    start = torch.cat([start, torch.ones(6, 1).double()], 1)
    aim = torch.tensor([0.0, 0.9 if side > 0 else 0.2, 1.0], dtype=torch.double)
    path = descend(plane, lambda x: (x - aim).square().sum(1), start, 500, [circle], ANYWHERE)
    assert all(bool((circle(x) <= 0).all()) for x, _, _ in path)
    np.testing.assert_allclose(path[-1][0], np.tile([0.0, radius, 1.0], (6, 1)), atol=5e-3)
