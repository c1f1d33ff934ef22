"""Energies on a lattice, against sums by hand and Kaufman's ln Z against enumeration."""

from itertools import product

import numpy as np
import pytest

from pyro_hea.disorder import Configurations, IsingEngine, PairEngine, square_lattice
from pyro_hea.disorder.engines import log_partition_of_square_ising
from pyro_hea.errors import DataError


def test_ising_energies_are_sums_over_the_bonds(rng):
    x = rng.integers(0, 2, (20, 16)).astype(np.int8)
    spins = 1 - 2 * x.reshape(-1, 4, 4).astype(int)
    bonds = spins * np.roll(spins, 1, 1) + spins * np.roll(spins, 1, 2)
    found = IsingEngine(0.5).energies(Configurations(square_lattice(4), ("up", "down"), x))
    assert found == pytest.approx(-0.5 * bonds.sum((1, 2)))


def test_a_checkerboard_has_unlike_neighbours_only():
    x = (np.indices((4, 4)).sum(0) % 2).reshape(1, -1).astype(np.int8)
    here = Configurations(square_lattice(4, 2), ("A", "B"), x)
    first = PairEngine([[[0, -1], [-1, 0]]]).energies(here)
    second = PairEngine([np.zeros((2, 2)), [[2, 0], [0, 3]]], [0.5, 0]).energies(here)
    assert (first[0], second[0]) == (-32, 16 * 2 + 16 * 3 + 8 * 0.5)


@pytest.mark.parametrize("coupling", [0.2, 0.4407, 0.6])
def test_kaufman_is_the_sum_over_every_configuration(coupling):
    spins = np.array(list(product([-1, 1], repeat=16)), np.int8).reshape(-1, 4, 4)
    bonds = (spins * np.roll(spins, 1, 1) + spins * np.roll(spins, 1, 2)).sum((1, 2), dtype=int)
    exact = np.log(np.exp(coupling * bonds).sum())
    assert log_partition_of_square_ising(4, coupling) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(("length", "coupling"), [(3, 0.2), (0, 0.2), (4, 0.0), (4, -0.1)])
def test_kaufman_refuses_what_the_formula_is_not_for(length, coupling):
    with pytest.raises(DataError, match="an even number of sites along an edge and a coupling"):
        log_partition_of_square_ising(length, coupling)


def test_interactions_that_do_not_fit_are_refused():
    here = Configurations(square_lattice(4), ("A", "B", "C"), np.zeros((1, 16), np.int8))
    table = np.zeros((3, 3))
    with pytest.raises(DataError, match="interactions of 2 shells, and the sites have 1: build"):
        PairEngine([table, table]).energies(here)
    with pytest.raises(DataError, match=r"shape \(2, 2\); 3 species \(A, B, C\) need \(3, 3\)"):
        PairEngine([np.zeros((2, 2))]).energies(here)


def test_two_engines_of_the_same_interactions_share_their_key():
    table = [[0.0, 1.0], [1.0, 0.0]]
    assert PairEngine([table]).key == PairEngine([np.array(table)]).key
    assert PairEngine([table]).key != PairEngine([table], [0, 1]).key
    assert IsingEngine(1.0).key != IsingEngine(2.0).key
