"""Lattices, their shells and their symmetry, against textbook numbers."""

import numpy as np
import pytest

from pyro_hea.disorder import (
    Configurations,
    PairEngine,
    alloy_sites,
    distinct_configurations,
    fitting_size,
    shell_sites,
    square_lattice,
)
from pyro_hea.disorder.lattices import lattice_points
from pyro_hea.disorder.symmetry import canonical
from pyro_hea.errors import DataError

COORDINATION = {"fcc": [12, 6, 24], "bcc": [8, 6, 12]}
DISTANCES = {"fcc": [0.5**0.5, 1, 1.5**0.5], "bcc": [0.75**0.5, 1, 2**0.5]}


def shell_of(lattice):
    return shell_sites(lattice, 3.0, 3, matrix={"Ni": 1}, centre="Ni")[0]


def orbits(permutations, colours):
    """Burnside: how many colourings there are up to symmetry."""
    return sum(colours ** cycles(p) for p in permutations) / len(permutations)


def cycles(permutation):
    left, found = set(range(len(permutation))), 0
    while left:
        at, found = left.pop(), found + 1
        while (at := int(permutation[at])) in left:
            left.remove(at)
    return found


@pytest.mark.parametrize("lattice", ["fcc", "bcc"])
class TestAlloySites:
    def test_shells_have_the_coordination_of_the_lattice(self, lattice):
        sites = alloy_sites(lattice, 3.0, (3, 3, 3))
        neighbours = [2 * len(shell.pairs) / len(sites) for shell in sites.shells]
        assert neighbours == COORDINATION[lattice]
        assert [s.distance for s in sites.shells] == pytest.approx(3 * np.array(DISTANCES[lattice]))

    def test_a_small_cell_counts_every_image(self, lattice):
        sites = alloy_sites(lattice, 3.0, (2, 2, 2))
        neighbours = [2 * len(shell.pairs) / len(sites) for shell in sites.shells]
        assert neighbours == COORDINATION[lattice]

    def test_symmetry_leaves_energies_as_they_are(self, lattice, rng):
        sites = alloy_sites(lattice, 3.0, (2, 2, 2))
        tables = rng.normal(size=(3, 2, 2))
        engine = PairEngine(tables + tables.transpose(0, 2, 1))
        x = rng.integers(0, 2, len(sites)).astype(np.int8)
        moved = x[sites.permutations[rng.integers(len(sites.permutations), size=50)]]
        energies = engine.energies(Configurations(sites, ("A", "B"), np.vstack([x[None], moved])))
        assert np.ptp(energies) < 1e-9

    def test_point_group_times_translations(self, lattice):
        sites = alloy_sites(lattice, 3.0, (2, 2, 2))
        assert len(sites.permutations) == 48 * len(sites)


@pytest.mark.parametrize(
    ("lattice", "colours", "distinct"),
    [("fcc", 2, 144), ("fcc", 3, 12111), ("bcc", 4, 1996), ("bcc", 5, 10375)],
)
def test_surroundings_of_a_vacancy_are_as_many_as_burnside_says(lattice, colours, distinct):
    assert orbits(np.unique(shell_of(lattice).permutations, axis=0), colours) == distinct


@pytest.mark.parametrize(("lattice", "colours", "distinct"), [("fcc", 2, 144), ("bcc", 3, 267)])
def test_they_are_found(lattice, colours, distinct):
    sites = shell_of(lattice)
    found, multiplicity = distinct_configurations(sites.permutations, colours)
    assert len(found) == distinct == orbits(np.unique(sites.permutations, axis=0), colours)
    assert multiplicity.sum() == colours ** len(sites)
    assert (canonical(found, sites.permutations) == found).all()


def test_too_many_to_be_enumerated():
    with pytest.raises(DataError, match=r"3 species on 25 sites have 8.47e\+11 configurations"):
        distinct_configurations(np.arange(25)[None], 3)


def test_a_configuration_and_its_equivalents_have_one_representative(rng):
    permutations = square_lattice(4).permutations
    x = rng.integers(0, 3, (5, 16)).astype(np.int8)
    for row in x:
        every = canonical(row[permutations], permutations)
        assert (every == every[0]).all()


class TestShellSites:
    def test_the_vacant_cell_lacks_the_centre(self):
        whole, vacant = shell_sites("fcc", 3.5, 3, matrix={"Ni": 1}, centre="Cr")
        assert (len(whole), len(whole.matrix), len(vacant.matrix)) == (12, 96, 95)
        assert (whole.matrix.count("Cr"), vacant.matrix.count("Cr")) == (1, 0)

    def test_without_a_centre_the_first_site_is_removed(self):
        whole, vacant = shell_sites("bcc", 3.0, 3, 2, matrix={"Fe": 1, "Cr": 1})
        assert (len(whole), len(vacant)) == (15, 14)
        assert whole.labels == ("removed atom", "neighbours at 2.60 Å", "neighbours at 3.00 Å")
        assert np.allclose(whole.positions[1:], vacant.positions)
        assert np.bincount(whole.types).tolist() == [1, 8, 6]

    def test_the_matrix_has_its_composition(self):
        whole, _ = shell_sites("fcc", 3.5, 3, matrix={"Ni": 2, "Cr": 1}, centre="Ni", seed=1)
        assert whole.matrix.count("Cr") == 32

    def test_shells_that_do_not_fit(self):
        with pytest.raises(DataError, match="4 shells do not fit a cell of 2 conventional cells"):
            shell_sites("fcc", 3.5, 2, 4, matrix={"Ni": 1})


def test_lattices_that_there_are():
    with pytest.raises(DataError, match="lattice 'hcp' is not allowed; allowed: fcc, bcc"):
        lattice_points("hcp", 3.0, (2, 2, 2))


def test_square_lattice_has_an_edge_of_three():
    with pytest.raises(DataError, match="at least 3 sites along an edge, not 2"):
        square_lattice(2)


class TestFittingSize:
    def test_the_composition_fits(self):
        size = fitting_size({"Al": 1, "Co": 1, "Cr": 1, "Fe": 1, "Ni": 1}, "fcc")
        assert 4 * np.prod(size) % 5 == 0

    def test_the_nearest_that_fits_is_offered(self):
        with pytest.raises(DataError, match=r"fits no fcc cell of at most 160 atoms: the nearest"):
            fitting_size({"Ni": 1, "Cr": 0.317}, "fcc")


def test_neighbours_are_in_an_order_that_is_alike_for_all():
    sites = square_lattice(4)
    found = sites.neighbours(4)
    apart = sites.positions[found] - sites.positions[:, None]
    apart -= np.round(apart / 4 * np.array([1, 1, 0])) * 4
    assert (apart == apart[0]).all()
    assert np.abs(apart).sum(2).max() == 1
