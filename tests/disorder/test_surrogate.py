"""Counts of pairs, the energy that is learnt from them, and what sets it."""

import numpy as np
import pytest

from pyro_hea.disorder import Configurations, PairEngine, shell_sites, square_lattice
from pyro_hea.disorder.factors import energy_factors
from pyro_hea.disorder.features import PairFeatures
from pyro_hea.disorder.surrogate import fit_surrogate
from pyro_hea.errors import EngineError


@pytest.fixture(params=["square", "shell", "uneven"])
def features(request):
    if request.param == "square":
        return PairFeatures(square_lattice(4, 2), ("A", "B", "C"))
    if request.param == "uneven":
        return uneven()
    sites, _ = shell_sites("bcc", 3.0, 3, 2, matrix={"Fe": 1})
    return PairFeatures(sites, ("A", "B", "C"))


def uneven():
    """Surroundings of a matrix of two elements, in which no site is as another."""
    sites, _ = shell_sites("bcc", 3.0, 3, 1, matrix={"Fe": 1, "Al": 1})
    return PairFeatures(sites, ("A", "B", "C"), apart=True)


def some(features, rng, n=200):
    return rng.integers(0, 3, (n, len(features.sites))).astype(np.int8)


def test_counts_are_those_of_a_loop(rng):
    sites = square_lattice(3)
    features = PairFeatures(sites, ("A", "B"))
    x = rng.integers(0, 2, (1, 9)).astype(np.int8)
    expected = [9 - x.sum(), x.sum(), 0, 0, 0]
    for i, j in sites.shells[0].pairs:
        expected[2 + x[0, i] + x[0, j]] += 1
    assert features(x)[0].tolist() == expected
    assert [name for _, name in features.names] == ["count of A", "count of B", "A-A", "A-B", "B-B"]


def test_the_quadratic_form_is_the_same_energy(features, rng):
    x = some(features, rng)
    coefficients = rng.normal(size=len(features.names))
    field, coupling = features.quadratic(coefficients)
    hot = np.eye(3)[x].reshape(len(x), -1)
    energy = hot @ field.ravel() + 0.5 * ((hot @ coupling.reshape(hot.shape[1], -1)) * hot).sum(1)
    assert energy == pytest.approx(features(x) @ coefficients)
    assert np.allclose(coupling, coupling.transpose(2, 3, 0, 1))


def test_sites_that_are_not_alike_are_told_apart(rng):
    """An energy of one site alone, which counts of all do not explain."""
    features = uneven()
    x = some(features, rng, 400)
    energies = 1.0 * (x[:, 3] == 1)
    found = fit_surrogate(features, x[:300], energies[:300])
    assert found.energies(x[300:]) == pytest.approx(energies[300:], abs=1e-3)
    counts = PairFeatures(features.sites, features.species)
    assert fit_surrogate(counts, x[:300], energies[:300]).error > 0.3


def test_like_sites_are_counted_once():
    sites, _ = shell_sites("bcc", 3.0, 3, 1, matrix={"Fe": 1})
    together = PairFeatures(sites, ("A", "B"))
    assert PairFeatures(sites, ("A", "B"), apart=True).names == together.names


def test_an_energy_of_pairs_is_learnt_exactly(rng):
    sites = square_lattice(4, 2)
    tables = rng.normal(size=(2, 3, 3))
    engine = PairEngine(tables + tables.transpose(0, 2, 1), rng.normal(size=3))
    x = rng.integers(0, 3, (120, 16)).astype(np.int8)
    energies = engine.energies(Configurations(sites, ("A", "B", "C"), x))
    found = fit_surrogate(PairFeatures(sites, ("A", "B", "C")), x[:60], energies[:60])
    assert found.energies(x[60:]) == pytest.approx(energies[60:], abs=1e-4)
    assert found.error < 1e-4


def test_the_error_is_that_of_leaving_one_out(features, rng):
    x = some(features, rng, 300)
    y = features(x) @ rng.normal(size=len(features.names)) + 3 * rng.normal(size=300)
    found = fit_surrogate(features, x, y)
    fresh = some(features, rng, 4000)
    true = features(fresh) @ found.coefficients  # the noise alone is left, and what it misled
    assert found.error == pytest.approx(3, rel=0.2)
    assert np.std(found.energies(fresh) - true) < 1e-9


def test_one_energy_teaches_nothing(features, rng):
    x = some(features, rng, 3)
    with pytest.raises(EngineError, match="nothing is learnt from 1 energies: raise the budget"):
        fit_surrogate(features, x, np.array([np.nan, 1.0, np.nan]))


class TestFactors:
    def test_what_sets_the_energy_comes_first(self, rng):
        sites = square_lattice(4)
        features = PairFeatures(sites, ("Ni", "Cr"))
        x = rng.integers(0, 2, (300, 16)).astype(np.int8)
        names = [name for _, name in features.names]
        counts = features(x)
        y = 0.3 * counts[:, names.index("count of Cr")] - 0.05 * counts[:, names.index("Cr-Cr")]
        found = energy_factors(features, x, y, np.array([0.6, 0.4]))
        assert found["factor"].tolist() == ["count of Cr", "Cr-Cr"]
        assert found["share"].sum() == pytest.approx(1)
        assert found["effect"].tolist() == pytest.approx([0.3, -0.05])
        assert (found["alone"] >= found["share"] - 1e-9).all()

    def test_a_constant_energy_has_no_factors(self, rng):
        features = PairFeatures(square_lattice(3), ("Ni", "Cr"))
        x = rng.integers(0, 2, (20, 9)).astype(np.int8)
        assert energy_factors(features, x, np.ones(20), np.array([0.5, 0.5])).empty
