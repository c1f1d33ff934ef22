"""Disorder: exact sums, enumerated vacancies, mchammer, and the trap of replayed draws."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.disorder.sampling import MOST_MISSED
from pyro_hea.evaluate import disorder as measured
from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult
from pyro_hea.evaluate.enumerated import disorder_tables
from pyro_hea.evaluate.replay import replayed
from pyro_hea.plots import curve_panels

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner

BUDGETS = {"NiCr": (60, 140), "CuNiPd": (200, 1000), "FeAlCoCr": (200, 1000)}
"""Energies of each reference case."""

LENGTH = 16
"""Of the lattice that is too large to add up."""

_SOME, _FEW = 5, 3
"""Seeds of the reference cases, and of what is slow."""


def disorder(runner: Runner, seeds: int) -> ProtocolResult:
    """Each part beside what is exact, or beside the baselines that were given as many energies."""
    some, few = min(seeds, _SOME), min(seeds, _FEW)
    parts: dict[str, dict[str, Callable[[], Any]]] = {
        "ising": {f"4-seed{s}": partial(measured.ising, 4, 700, s) for s in range(seeds)},
        "replay": {f"seed{s}": partial(replayed, s) for s in range(seeds)},
        "reference": {
            f"{name}-{budget}-seed{s}": partial(measured.reference, name, budget, s)
            for name in disorder_tables()["vacancies"]
            for budget in BUDGETS[name]
            for s in range(some)
        },
        "canonical": {f"seed{s}": partial(measured.canonical, 1000, s) for s in range(few)},
        "large": {f"seed{s}": partial(measured.ising, LENGTH, 1000, s) for s in range(few)},
        "curves": {
            "spins": partial(measured.energy_error, 0.6, (60, 200, 700), few),
            "vacancies": partial(measured.formation_error, "NiCr", 1000.0, few),
            "fours": partial(measured.many_body_error, 0.1, (100, 200, 400), some),
        },
    }
    tasks = {f"disorder-{p}-{n}": task for p, of in parts.items() for n, task in of.items()}
    done = runner.run(tasks)
    found = {p: {n: done[f"disorder-{p}-{n}"] for n in of} for p, of in parts.items()}
    spins = pd.DataFrame([row for run in found["ising"].values() for row in run])
    tables = {
        "4 × 4 Ising, ln Z": _spins(spins),
        "Ising on a larger lattice, ln Z a site": _large(list(found["large"].values())),
        "Vacancies, errors of E_eff in meV": _vacancies(list(found["reference"].values())),
        "Beside mchammer": _canonical(list(found["canonical"].values())),
        "Replayed draws": _replayed(list(found["replay"].values()), spins),
        "Energy of 4 × 4 spins, RMS error in J a site": pd.DataFrame(found["curves"]["spins"]),
        "E_eff of NiCr at 1000 K, RMS error in meV": pd.DataFrame(found["curves"]["vacancies"]),
        "Ln Z of 4 × 4 spins by fours, RMS error": pd.DataFrame(found["curves"]["fours"]),
    }
    content = {"protocol": "disorder", "seeds": seeds, **found}
    return ProtocolResult("disorder", content, tables, _figure(found["curves"]))


def _spins(rows: pd.DataFrame) -> pd.DataFrame:
    by = rows.groupby("coupling")
    return pd.DataFrame(
        {
            "J / kT": by["coupling"].first(),
            "mean error": by["error"].mean(),
            "RMS error": by["error"].agg(lambda e: np.sqrt((e**2).mean())),
            "largest": by["error"].agg(lambda e: e.abs().max()),
            "within 0.05 (%)": 100 * by["error"].agg(lambda e: (e.abs() <= 0.05).mean()),
            "covered (%)": 100 * by["covered"].mean(),
            "random, RMS": by["random_error"].agg(lambda e: np.sqrt((e**2).mean())),
            "effective share": by["effective_share"].mean(),
            "trusted (%)": 100 * by["trusted"].mean(),
            "energies, at most": by["energies"].max(),
        }
    )


def _large(runs: list[list[dict[str, Any]]]) -> pd.DataFrame:
    by = pd.DataFrame([row for run in runs for row in run]).groupby("coupling")
    each = {
        "largest error × 1e4": by["error"].agg(lambda e: e.abs().max()),
        "half width × 1e4": by["half_width"].mean(),
        "second, largest × 1e4": by["second_error"].agg(lambda e: e.abs().max()),
        "random, largest × 1e4": by["random_error"].agg(lambda e: e.abs().max()),
    }
    return pd.DataFrame(
        {
            "J / kT": by["coupling"].first(),
            **{name: 1e4 * value / LENGTH**2 for name, value in each.items()},
            "effective share": by["effective_share"].mean(),
            "covered (%)": 100 * by["covered"].mean(),
            "trusted (%)": 100 * by["trusted"].mean(),
            "energies, at most": by["energies"].max(),
            "CPU seconds": by["cpu_s"].mean(),
        }
    )


def _vacancies(runs: list[dict[str, Any]]) -> pd.DataFrame:
    by_temperature = ("temperatures", "error", "random_error", "covered", "trusted")
    rows = [
        {**run, **{key: run[key][at] for key in by_temperature}}
        for run in runs
        for at in range(len(run["temperatures"]))
    ]
    shown = []
    for (case, budget, temperature), of in pd.DataFrame(rows).groupby(
        ["case", "budget", "temperatures"], sort=False
    ):
        shown.append(
            {
                "case": case,
                "budget": budget,
                "T (K)": temperature,
                "energies, at most": of["energies"].max(),
                "largest error": 1000 * of["error"].abs().max(),
                "random, RMS": 1000 * np.sqrt((of["random_error"] ** 2).mean()),
                "covered": f"{of['covered'].sum()} of {len(of)}",
                "trusted": f"{of['trusted'].sum()} of {len(of)}",
                "first factor": of["first_factor"].iloc[0],
            }
        )
    return pd.DataFrame(shown)


def _canonical(runs: list[list[dict[str, Any]]]) -> pd.DataFrame:
    """By how much the runs differ from mchammer's at most."""
    shown = []
    for of in zip(*runs, strict=True):
        energy, *_ = of[0]["mchammer_energy"]
        apart = [abs(row["energy"] - energy) for row in of]
        line: dict[str, Any] = {"T (K)": of[0]["temperature"]}
        line["energy, largest difference (meV a site)"] = 1000 * max(apart)
        for shell in (0, 1):
            known, error = of[0]["mchammer_warren_cowley"][shell]
            off = max(abs(row["warren_cowley"][shell] - known) for row in of)
            line[f"Warren–Cowley, shell {shell + 1}, mchammer"] = f"{known:.3f} ± {error:.3f}"
            line[f"shell {shell + 1}, largest difference"] = off
        line["effective share"] = float(np.mean([row["effective_share"] for row in of]))
        line["trusted"] = f"{sum(row['trusted'] for row in of)} of {len(of)}"
        shown.append(line)
    return pd.DataFrame(shown)


def _replayed(runs: list[dict[str, Any]], spins: pd.DataFrame) -> pd.DataFrame:
    """By how wrong it is; and good runs, of which none is to be flagged."""
    table = pd.DataFrame(runs)
    off = table["error"].abs()
    groups = {
        "replayed, off by more than 0.3": table[off > 0.3],
        "replayed, off by 0.05 to 0.3": table[(off > 0.05) & (off <= 0.3)],
        "replayed, off by less": table[off <= 0.05],
        "inverse VAE": spins,
    }
    return pd.DataFrame(
        [
            {
                "runs": name,
                "number": len(of),
                "mean |error|": of["error"].abs().mean(),
                "effective share": of["effective_share"].mean(),
                "k-hat above 0.7": int((of["k_hat"] > 0.7).sum()),
                "missed above 0.03": int((of["missed"] > MOST_MISSED).sum()),
                "flagged": int((~of["trusted"]).sum()),
            }
            for name, of in groups.items()
        ]
    )


def _figure(curves: dict[str, list[dict[str, Any]]]) -> Figure:
    labels = {
        "spins": "RMS error of the energy (J a site)",
        "vacancies": "RMS error of E_eff (meV)",
        "fours": "RMS error of ln Z",
    }
    sizes = {
        "spins": "energies of spins",
        "vacancies": "energies of NiCr, 1000 K",
        "fours": "energies of spins by fours",
    }
    rows = [
        {
            "x_label": sizes[part],
            "y_label": labels[part],
            "name": row["method"],
            "x": row["energies"],
            "mean": row["error"],
        }
        for part, of in curves.items()
        for row in of
    ]
    panels = curve_panels(pd.DataFrame(rows), logarithmic=True)
    ticks = ([100, 1000, 10_000, 100_000], [50, 100, 140], [100, 200, 400])
    for panel, at in zip(panels, ticks, strict=True):
        panel.set_xticks(at)
    panels.figure.legends[0].remove()
    for panel in panels:
        panel.legend()
    return panels.figure
