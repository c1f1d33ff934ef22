from itertools import product

import numpy as np
import pytest

from pyro_hea.disorder import Configurations, IsingEngine, PairEngine, System, square_lattice
from pyro_hea.disorder.engines import BOLTZMANN
from pyro_hea.disorder.sampling import SamplerSettings

THREE = PairEngine(
    [[[0.0, -0.02, 0.01], [-0.02, 0.0, 0.02], [0.01, 0.02, -0.01]]], [0, 0.01, -0.02]
)
"""Pairs of three species, in eV, with a preference of each for the sites."""


class Exact:
    """What is known of a system by adding up every configuration."""

    def __init__(self, system: System) -> None:
        ideal = system.ideal
        every = np.array(list(product(range(len(ideal.species)), repeat=ideal.sites)), np.int8)
        if ideal.fixed:
            counts = [(every == c).sum(1) for c in range(len(ideal.species))]
            every = every[(np.stack(counts, 1) == ideal.counts).all(1)]
        self.system, self.x = system, every
        self.energies = system.engine.energies(Configurations(system.sites, ideal.species, every))
        self.log_ideal = ideal.log_prob(every)

    def log_z(self, temperature: float) -> float:
        """Relative to the ideal solution."""
        return float(np.log(np.exp(self.log_ideal - self.energies / self._kt(temperature)).sum()))

    def probability(self, temperature: float) -> np.ndarray:
        weight = self.log_ideal - self.energies / self._kt(temperature)
        return np.exp(weight - self.log_z(temperature))

    def mean(self, quantity: np.ndarray, temperature: float) -> np.ndarray:
        return self.probability(temperature) @ quantity

    @staticmethod
    def _kt(temperature: float) -> float:
        return BOLTZMANN * temperature


@pytest.fixture(scope="session")
def sampler():
    """A training of a second."""
    return SamplerSettings(steps=90, draws=128, pool=2000, chains=400, sweeps=60)


@pytest.fixture(scope="session")
def ising():
    """Four by four spins; temperatures are in J/k."""
    return System(square_lattice(4), {"up": 1, "down": 1}, IsingEngine(), fixed=False)


@pytest.fixture(scope="session", params=["free", "fixed"])
def three(request):
    """Nine sites of three species, whose every configuration is known."""
    composition = {"A": 4, "B": 3, "C": 2}
    return Exact(System(square_lattice(3), composition, THREE, fixed=request.param == "fixed"))


@pytest.fixture
def rng():
    return np.random.default_rng(0)
