"""Cells of points on manifolds along which distances are known."""

import numpy as np
import pytest
import torch

from pyro_hea.charts import toy
from pyro_hea.inference.cells import distances_along, middles


def test_distances_on_an_arc_are_of_its_angles_and_pieces_are_farther_apart():
    angle = np.linspace(0, np.pi, 300)
    arc = np.c_[np.cos(angle), np.sin(angle)]
    along = distances_along(np.concatenate([arc, arc + np.array([0.0, 0.5])]))
    exact = np.abs(angle[:, None] - angle)
    for piece in (slice(300), slice(300, 600)):
        np.testing.assert_allclose(along[piece, piece], exact, rtol=1e-3, atol=1e-9)
    assert along[:300, 300:].min() > np.pi


def test_points_that_are_the_same_have_no_distance():
    same = np.repeat(np.arange(3.0), 15)[:, None]
    assert distances_along(same[:1]).shape == (1, 1)
    away = distances_along(same)
    assert (away[same == same.T] == 0).all()
    assert len(set(middles(torch.tensor(away), 3).tolist())) == 3
    assert len(middles(torch.zeros(4, 4), 3)) == 3


@pytest.mark.parametrize("seed", range(5))
def test_a_roll_is_parted_into_stretches_of_about_the_same_size(seed):
    points = toy("swiss_roll").points(1000, seed)
    away = torch.tensor(distances_along(points))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        cell = away[middles(away, 4)].argmin(0).numpy()
    length = np.hypot(points[:, 0], points[:, 2]) ** 2 / 2  # along the spiral, to a constant
    for k in range(4):
        assert 0.15 < np.mean(cell == k) < 0.35
        assert np.ptp(length[cell == k]) < 0.5 * np.ptp(length)


def test_each_of_two_circles_gets_two_cells():
    points = toy("circles").points(1000, 0)
    away = torch.tensor(distances_along(points))
    for seed in range(5):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            chosen = points[middles(away, 4)]
        assert sorted(chosen[:, 0] > 0) == [False, False, True, True]
