"""A trap: a generator that learns from its own draws, and does not know what it leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_hea.devices import seeded, unvalidated
from pyro_hea.disorder import IsingEngine, System, square_lattice
from pyro_hea.disorder.annealing import Annealing
from pyro_hea.disorder.configurations import Configurations
from pyro_hea.disorder.engines import BOLTZMANN, log_partition_of_square_ising
from pyro_hea.disorder.estimates import Estimate, draw_from_pool, estimate
from pyro_hea.disorder.features import PairFeatures
from pyro_hea.disorder.generators import MixtureGenerator
from pyro_hea.disorder.pools import missed_share, tail_shape
from pyro_hea.disorder.result import is_trusted
from pyro_hea.disorder.surrogate import fit_surrogate

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COUPLING, _ROUNDS, _DRAWS, _STEPS, _BITS = 0.6, 8, 240, 150, 3
"""J/kT; rounds of the training, draws of each and its steps; bits of y."""

_CHEAP = 10_000
"""Draws that the surrogate weighs, which cost no energy."""


def ising_system(length: int) -> System:
    """Spins on a periodic square lattice; temperatures are in J/k."""
    return System(square_lattice(length), {"up": 1, "down": 1}, IsingEngine(), fixed=False)


def replayed(seed: int) -> dict[str, Any]:
    """A generator of 4 × 4 spins that learns by maximum likelihood from its own weighted draws.

    What it never made it never learns to make: the weights of its draws look even, and their mean
    is of the part of the configurations that it makes. Its estimate is compared, as that of a
    `Disorder` is, with one from draws that never met it.

    Returns
    -------
    dict
        `error` of ln Z, its `standard_error`, `effective_share`, `k_hat`, `energies`,
        `second_error`, `missed` and `trusted`.
    """
    system, beta = ising_system(4), np.array([_COUPLING / BOLTZMANN])
    ideal, rng = system.ideal, np.random.default_rng(seed)

    def energies(x: NDArray[np.int8]) -> NDArray[np.float64]:
        return system.engine.energies(Configurations(system.sites, ideal.species, x))

    with seeded(seed), unvalidated():
        generator = MixtureGenerator(1, ideal, _BITS)
        optimiser = torch.optim.Adam(generator.parameters(), lr=1e-2)
        seen, weights = [], []
        for _ in range(_ROUNDS):
            x, own = _own_draws(generator, _DRAWS, energies, beta)
            seen.append(x)
            weights.append(own)
            every = torch.cat(seen)[None]
            weight = torch.cat(weights).softmax(0).float()
            for _ in range(_STEPS):
                optimiser.zero_grad()
                loss = -(weight * generator.log_prob(every)[0]).sum()
                loss.backward()
                optimiser.step()
        _, final = _own_draws(generator, _DRAWS, energies, beta)
    log_weight = final.numpy()
    again = rng.exponential(size=(200, len(log_weight))) @ np.exp(log_weight - log_weight.max())
    log_z = float(np.log(np.exp(log_weight).mean()))
    share = np.exp(log_weight).sum() ** 2 / np.exp(2 * log_weight).sum() / len(log_weight)
    empty = np.zeros((1, 2))
    first = Estimate(
        weight=empty,
        log_z=np.array([log_z]),
        moments=empty,
        averages=empty,
        replicates={"log_z": np.log(again)[:, None]},
        share=np.array([share]),
        k_hat=np.array([tail_shape(log_weight)]),
    )
    learnt = torch.cat(seen).numpy().astype(np.int8)
    surrogate = fit_surrogate(PairFeatures(system.sites, ideal.species), learnt, energies(learnt))
    pool = Annealing(surrogate, ideal, beta, chains=500, sweeps=100, rng=rng).from_ideal()
    with seeded(seed), unvalidated():
        _, made = _own_draws(generator, _CHEAP, surrogate.energies, beta)
    as_made = _log_weight(generator, pool.occupations[0], surrogate.energies, beta)
    missed = missed_share(made[None].numpy(), as_made[None].numpy(), pool.log_weight)
    checked = draw_from_pool(pool, ideal.sample(400, rng), _DRAWS // 4, rng)
    paid = energies(checked)
    second = estimate(pool, beta, paid, surrogate.energies(checked), checked == 1, rng)
    exact = log_partition_of_square_ising(4, _COUPLING) - ideal.entropy
    return {
        "error": log_z - exact,
        "standard_error": float(first.log_z_sd[0]),
        "effective_share": float(share),
        "k_hat": float(first.k_hat[0]),
        "energies": (_ROUNDS + 1) * _DRAWS,
        "second_error": float(second.log_z[0]) - exact,
        "missed": float(missed[0]),
        "trusted": bool(is_trusted(first, second, missed)[0]),
    }


def _own_draws(
    generator: MixtureGenerator, n: int, energies: Any, beta: NDArray[np.float64]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws (n, N) of one member and their log weights for the ensemble at beta, (n,)."""
    with torch.no_grad():
        x = generator.draw(n)[0]
    return x, _log_weight(generator, x.numpy().astype(np.int8), energies, beta)


def _log_weight(
    generator: MixtureGenerator,
    occupations: NDArray[np.int8],
    energies: Any,
    beta: NDArray[np.float64],
) -> torch.Tensor:
    with torch.no_grad():
        made = generator.log_prob(torch.tensor(occupations).long()[None])[0].double().numpy()
    read = generator.ideal.log_prob(occupations) - beta[0] * energies(occupations)
    return torch.tensor(read - made)
