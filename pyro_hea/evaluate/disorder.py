"""What is measured of disorder: beside exact sums, random draws, Metropolis and mchammer."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_hea.disorder import PairEngine, System, alloy_sites, partition_function
from pyro_hea.disorder.configurations import Configurations
from pyro_hea.disorder.engines import BOLTZMANN, log_partition_of_square_ising
from pyro_hea.errors import EstimateWarning
from pyro_hea.evaluate.enumerated import TabulatedEngine, disorder_tables, reference_case
from pyro_hea.evaluate.replay import ising_system

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyro_hea.disorder import Disorder

COUPLINGS = (0.2, 0.4407, 0.6)
"""J / kT of the Ising model; the second is the critical one."""

_CHAINS = 40
"""Of Metropolis, over which its error is taken."""


def _run(system: System, temperatures: Any, budget: int, seed: int) -> Disorder:
    """A run whose warnings are counted by its column `trusted`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EstimateWarning)
        return partition_function(system, temperatures, budget, seed, file=None)


def ising(length: int, budget: int, seed: int) -> list[dict[str, Any]]:
    """Error of ln Z of spins on a square lattice at each coupling, beside random draws."""
    started = time.process_time()
    system = ising_system(length)
    found = _run(system, 1 / np.array(COUPLINGS), budget, seed)
    seconds = time.process_time() - started
    rows = []
    for row in found.table.to_dict("records"):
        coupling = 1 / row["temperature_K"]
        exact = log_partition_of_square_ising(length, coupling)
        random = _random_log_z(system, row["energies"], coupling / BOLTZMANN, seed)
        rows.append(
            {
                "coupling": round(coupling, 6),
                "seed": seed,
                "error": row["ln_Z"] - exact,
                "covered": bool(row["ln_Z_low"] <= exact <= row["ln_Z_high"]),
                "half_width": (row["ln_Z_high"] - row["ln_Z_low"]) / 2,
                "second_error": row["ln_Z_second"] - exact,
                "random_error": random + system.ideal.entropy - exact,
                "internal_energy": row["internal_energy"] / BOLTZMANN,
                "effective_share": row["effective_share"],
                "k_hat": row["k_hat"],
                "missed": row["missed"],
                "trusted": bool(row["trusted"]),
                "energies": int(row["energies"]),
                "cpu_s": seconds,
            }
        )
    return rows


def _random_log_z(system: System, n: int, beta: float, seed: int) -> float:
    x = system.ideal.sample(n, np.random.default_rng(seed))
    energies = system.engine.energies(Configurations(system.sites, system.ideal.species, x))
    low = energies.min()
    return float(np.log(np.exp(-beta * (energies - low)).mean()) - beta * low)


def reference(name: str, budget: int, seed: int) -> dict[str, Any]:
    """Error of the effective formation energy of a reference case at each temperature, in eV.

    Beside it as many random environments, none of which symmetry makes equal to another, and all
    of which count as one energy.
    """
    case = reference_case(name)
    temperatures = np.array(disorder_tables()["vacancies"][name]["temperatures"])
    exact, kt = case.effective(temperatures), BOLTZMANN * temperatures
    composition = dict.fromkeys(case.species, 1)
    engine = TabulatedEngine(case)
    system = System(case.sites, composition, engine, fixed=False)
    found = _run(system, temperatures, budget, seed)
    table, entropy = found.table, system.ideal.entropy
    ours = -kt * (table["ln_Z"].to_numpy() - entropy)
    low, high = (-kt * (table[f"ln_Z_{end}"].to_numpy() - entropy) for end in ("high", "low"))
    random = np.array([_random_log_z(system, budget, 1 / t, seed) for t in kt])
    first = found.factors.iloc[0]
    return {
        "case": name,
        "budget": budget,
        "seed": seed,
        "temperatures": temperatures.tolist(),
        "exact": exact.tolist(),
        "error": (ours - exact).tolist(),
        "covered": ((low <= exact) & (exact <= high)).tolist(),
        "random_error": (-kt * random - exact).tolist(),
        "effective_share": table["effective_share"].tolist(),
        "trusted": table["trusted"].tolist(),
        "energies": int(table["energies"].max()),
        "first_factor": str(first["factor"]),
        "first_share": float(first["share"]),
    }


def energy_error(coupling: float, budgets: tuple[int, ...], seeds: int) -> list[dict[str, Any]]:
    """Root mean square error of the energy of 4 × 4 spins, by number of energies paid for.

    In J a site. Metropolis starts from random spins, and its first tenth is left out.
    """
    system, beta = ising_system(4), coupling / BOLTZMANN
    exact = _exact_energy(system, beta)
    rows = []
    for budget in budgets:
        found = [_run(system, [1 / coupling], budget, seed).table for seed in range(seeds)]
        errors = [t["internal_energy"].iloc[0] / BOLTZMANN - exact for t in found]
        paid = float(np.mean([t["energies"].iloc[0] for t in found]))
        rows.append({"method": "inverse VAE", "energies": paid, "error": _rms(errors)})
    chains = np.array([_metropolis(system, beta, 100_000, seed) for seed in range(_CHAINS)])
    for n in (100, 300, 1000, 3000, 10_000, 30_000, 100_000):
        means = chains[:, n // 10 : n].mean(1) / len(system.sites) / BOLTZMANN
        rows.append({"method": "Metropolis", "energies": n, "error": _rms(means - exact)})
    return rows


def formation_error(name: str, temperature: float, seeds: int) -> list[dict[str, Any]]:
    """The same of the effective formation energy of a reference case, in meV, beside random."""
    case = reference_case(name)
    kt = BOLTZMANN * temperature
    exact = case.effective(np.array([temperature]))[0]
    system = System(case.sites, dict.fromkeys(case.species, 1), TabulatedEngine(case), fixed=False)
    rows: list[dict[str, Any]] = []
    for budget in (50, 100, 140):
        found = [_run(system, [temperature], budget, seed).table for seed in range(seeds)]
        ours = [-kt * (t["ln_Z"].iloc[0] - system.ideal.entropy) - exact for t in found]
        paid = float(np.mean([t["energies"].iloc[0] for t in found]))
        rows.append({"method": "inverse VAE", "energies": paid, "error": 1000 * _rms(ours)})
        random = [-kt * _random_log_z(system, budget, 1 / kt, seed) - exact for seed in range(200)]
        rows.append({"method": "random", "energies": float(budget), "error": 1000 * _rms(random)})
    return rows


class PlaquetteEngine:
    """Products of the four spins of each square, ±1 k · 1 K: of pairs it knows nothing."""

    key = "plaquettes"
    elements = None

    def energies(self, configurations: Configurations) -> NDArray[np.float64]:
        """Energies in eV, (S,)."""
        length = round(len(configurations.sites) ** 0.5)
        grid = 1 - 2 * configurations.occupations.astype(int).reshape(-1, length, length)
        beside = np.roll(grid, -1, 2)
        squares = grid * beside * np.roll(grid * beside, -1, 1)
        return -BOLTZMANN * squares.sum((1, 2))


def many_body_error(coupling: float, budgets: tuple[int, ...], seeds: int) -> list[dict[str, Any]]:
    """Root mean square error of ln Z of 4 × 4 spins that interact by fours, beside random draws."""
    of_pairs = ising_system(4)
    system = System(of_pairs.sites, of_pairs.composition, PlaquetteEngine(), fixed=False)
    beta, energies = coupling / BOLTZMANN, _every_energy(system)
    exact = float(np.log(np.exp(-beta * energies).mean()))
    rows = []
    for budget in budgets:
        found = [_run(system, [1 / coupling], budget, seed).table for seed in range(seeds)]
        ours = [t["ln_Z"].iloc[0] - system.ideal.entropy - exact for t in found]
        paid = float(np.mean([t["energies"].iloc[0] for t in found]))
        rows.append({"method": "inverse VAE", "energies": paid, "error": _rms(ours)})
        random = [_random_log_z(system, budget, beta, seed) - exact for seed in range(200)]
        rows.append({"method": "random", "energies": float(budget), "error": _rms(random)})
    return rows


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _exact_energy(system: System, beta: float) -> float:
    """Of the 65 536 states of 4 × 4 spins, in J a site."""
    energies = _every_energy(system)
    weight = np.exp(-beta * (energies - energies.min()))
    return float(weight @ energies / weight.sum() / len(system.sites) / BOLTZMANN)


def _every_energy(system: System) -> NDArray[np.float64]:
    states = np.arange(2 ** len(system.sites))
    x = ((states[:, None] >> np.arange(len(system.sites))) & 1).astype(np.int8)
    return system.engine.energies(Configurations(system.sites, system.ideal.species, x))


def _metropolis(system: System, beta: float, steps: int, seed: int) -> NDArray[np.float64]:
    """Energies of a chain of single flips, each of which asks for one energy, (steps,)."""
    rng, sites = np.random.default_rng(seed), system.sites
    around = [np.zeros(0, int)] * len(sites)
    for i, j in sites.shells[0].pairs:
        around[i], around[j] = np.append(around[i], j), np.append(around[j], i)
    spins = 1 - 2 * rng.integers(0, 2, len(sites))
    first, second = sites.shells[0].pairs.T
    energy = -BOLTZMANN * float((spins[first] * spins[second]).sum())
    flips, uniform = rng.integers(0, len(sites), steps), np.log(rng.random(steps))
    found = np.empty(steps)
    for step, (site, u) in enumerate(zip(flips.tolist(), uniform.tolist(), strict=True)):
        change = 2 * BOLTZMANN * spins[site] * spins[around[site]].sum()
        if u < -beta * change:
            spins[site] = -spins[site]
            energy += change
        found[step] = energy
    return found


def canonical(budget: int, seed: int) -> list[dict[str, Any]]:
    """Internal energy and order of an alloy of pairs, beside the recorded runs of mchammer."""
    about = disorder_tables()["canonical"]
    lattice, size = about["lattice"], tuple(about["size"])
    sites = alloy_sites(lattice, about["constant"], size, 2)
    engine = PairEngine([[[0.0, u], [u, 0.0]] for u in about["unlike_pairs_eV"]])
    system = System(sites, about["composition"], engine)
    found = _run(system, about["temperatures"], budget, seed)
    unlike = "-".join(about["composition"])
    order = found.order[found.order["pair"] == unlike].set_index(["temperature_K", "shell"])
    rows = []
    for known, row in zip(about["ensembles"], found.table.to_dict("records"), strict=True):
        rows.append(
            {
                "temperature": known["temperature_K"],
                "seed": seed,
                "energy": row["internal_energy"],
                "mchammer_energy": known["internal_energy_eV"],
                "warren_cowley": [order.loc[(known["temperature_K"], s), "alpha"] for s in (1, 2)],
                "mchammer_warren_cowley": known["warren_cowley"],
                "effective_share": row["effective_share"],
                "trusted": bool(row["trusted"]),
                "energies": int(row["energies"]),
            }
        )
    return rows
