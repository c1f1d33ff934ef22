"""Descent on an atlas of the sphere ends where that of pymanopt ends on the sphere itself."""

import numpy as np
import pytest

from pyro_hea import Atlas, AtlasSpec
from pyro_hea.charts import toy

AIM = np.array([0.0, 0.0, -2.0])

MATRIX = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.4], [0.0, -0.4, -1.0]])
TILT = np.array([0.3, -0.2, 0.25])
"""Of a quadratic function with two minima on the sphere, of different depth."""

NEAR = 0.06


def toward(x):
    return ((x - x.new_tensor(AIM)) ** 2).sum(-1)


def tilted(x):
    return ((x @ x.new_tensor(MATRIX)) * x).sum(-1) + x @ x.new_tensor(TILT)


@pytest.fixture(scope="module")
def sphere() -> Atlas:
    return Atlas(AtlasSpec.shipped("sphere")).fit(toy("sphere").points(), seed=0, progress=False)


@pytest.fixture(scope="module")
def starts() -> np.ndarray:
    return toy("sphere").points(10, seed=5, noisy=False)


def descended(cost, slope, starts: np.ndarray) -> np.ndarray:
    """Where the steepest descent of pymanopt ends on the sphere itself."""
    pymanopt = pytest.importorskip("pymanopt")
    manifold = pymanopt.manifolds.Sphere(3)
    problem = pymanopt.Problem(
        manifold,
        pymanopt.function.numpy(manifold)(cost),
        euclidean_gradient=pymanopt.function.numpy(manifold)(slope),
    )
    optimizer = pymanopt.optimizers.SteepestDescent(verbosity=0, min_gradient_norm=1e-8)
    return np.stack([optimizer.run(problem, initial_point=x).point for x in starts])


@pytest.mark.slow
def test_descent_to_one_minimum_ends_where_pymanopt_ends(sphere, starts):
    exact = descended(lambda x: (x - AIM) @ (x - AIM), lambda x: 2 * (x - AIM), starts)
    np.testing.assert_allclose(exact, np.tile([0, 0, -1], (10, 1)), atol=1e-6)
    found = sphere.minimize(toward, starts)
    assert np.linalg.norm(found.points - exact, axis=1).max() < NEAR


@pytest.mark.slow
def test_descent_ends_at_minima_of_pymanopt_and_mostly_at_the_same(sphere, starts):
    """Long first steps may lead to the other minimum."""
    exact = descended(lambda x: x @ MATRIX @ x + TILT @ x, lambda x: 2 * MATRIX @ x + TILT, starts)
    found = np.asarray(sphere.minimize(tilted, starts).points)
    every = np.linalg.norm(found[:, None] - exact, axis=2)
    assert every.min(1).max() < NEAR
    assert (np.diagonal(every) < NEAR).sum() >= 8
