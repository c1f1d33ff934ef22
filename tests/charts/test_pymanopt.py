"""Descent on an atlas of the sphere ends where that of pymanopt ends on the sphere itself."""

import numpy as np
import pytest
import torch

from pyro_hea import Atlas, AtlasSpec
from pyro_hea.charts import toy

MATRIX = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.4], [0.0, -0.4, -1.0]])
TILT = np.array([0.3, -0.2, 0.25])
"""Of a quadratic function with two minima on the sphere, of different depth."""


def tilted(x: torch.Tensor) -> torch.Tensor:
    matrix, tilt = x.new_tensor(MATRIX), x.new_tensor(TILT)
    return ((x @ matrix) * x).sum(-1) + x @ tilt


@pytest.fixture(scope="module")
def sphere() -> Atlas:
    points = toy("sphere").points(4000)
    spec = AtlasSpec.shipped("sphere").with_(training__epochs=30)
    return Atlas(spec).fit(points, seed=0, progress=False)


@pytest.mark.slow
def test_descent_ends_where_pymanopt_ends_on_the_exact_sphere(sphere):
    pymanopt = pytest.importorskip("pymanopt")
    manifold = pymanopt.manifolds.Sphere(3)

    @pymanopt.function.numpy(manifold)
    def cost(x):
        return x @ MATRIX @ x + TILT @ x

    @pymanopt.function.numpy(manifold)
    def slope(x):
        return 2 * MATRIX @ x + TILT

    problem = pymanopt.Problem(manifold, cost, euclidean_gradient=slope)
    optimizer = pymanopt.optimizers.SteepestDescent(verbosity=0, min_gradient_norm=1e-8)
    starts = toy("sphere").points(10, seed=5, noisy=False)
    exact = np.stack([optimizer.run(problem, initial_point=x).point for x in starts])
    assert len(np.unique(exact.round(3), axis=0)) == 2  # both minima are reached
    found = sphere.minimize(tilted, starts)
    np.testing.assert_allclose(found.points, exact, atol=0.05)
    np.testing.assert_allclose(found.values, [cost(x) for x in exact], atol=0.01)
