import numpy as np
import pytest

from pyro_hea.errors import DataError
from pyro_hea.evaluate.measures import label_from_latent


def test_a_label_that_is_in_the_latent_is_found_and_one_that_is_not_is_not():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    z = rng.normal(size=(200, 3))
    assert label_from_latent(z, y)["worse_auc"] < 0.6
    ring = z + 6 * y[:, None] * np.sign(z[:, :1]) * [1, 0, 0]  # no line separates the classes
    found = label_from_latent(ring, y)
    assert found["knn_auc"] > 0.9
    assert found["trees_auc"] > 0.9
    assert found["worse_auc"] == max(found["knn_auc"], found["trees_auc"])
    assert found == label_from_latent(ring, y)


def test_trees_find_a_label_in_a_dimension_too_small_for_neighbours():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    z = np.column_stack([rng.normal(size=(200, 3)), 1e-3 * y])
    found = label_from_latent(z, y)
    assert found["knn_auc"] < 0.65 < 0.95 < found["trees_auc"]
    assert found["worse_auc"] == found["trees_auc"]


@pytest.mark.parametrize(("n", "ones"), [(18, 9), (40, 4), (40, 0)])
def test_too_few_alloys_for_five_folds_are_refused(n, ones):
    with pytest.raises(DataError, match="too few"):
        label_from_latent(np.zeros((n, 2)), np.arange(n) < ones)
    with pytest.raises(DataError, match="2 dimension"):
        label_from_latent(np.zeros(n), np.arange(n) < ones)
