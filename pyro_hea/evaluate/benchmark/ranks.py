"""Whether the model finds again what it drew itself: simulation-based calibration."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import pandas as pd
from matplotlib.figure import Figure

from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult
from pyro_hea.evaluate.published import cached_vae
from pyro_hea.evaluate.simulation import rank_data, simulation_ranks, uniformity
from pyro_hea.plots import simulation_rank_plot

if TYPE_CHECKING:
    from pathlib import Path

    from pyro_hea.evaluate import Runner
    from pyro_hea.spec import ModelSpec

Method = Literal["guide", "importance"]

SIMULATIONS: dict[Method, int] = {"guide": 1000, "importance": 500}
"""Alloys drawn from one member of each seed: weighing them takes long."""

_SIGNIFICANCE = 0.01
"""P-value below which ranks count as not uniform."""


def calibration(runner: Runner, seeds: int) -> ProtocolResult:
    """Ranks of what models of the published split drew among the draws of their posteriors."""
    tasks = {
        f"calibration-seed{seed}-{method}": partial(
            _ranks, seed, method, runner.spec, runner.device, runner.folder
        )
        for seed in range(seeds)
        for method in SIMULATIONS
    }
    done = runner.run(tasks)
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    content, tables = {}, {}
    for ax, (method, simulations) in zip(
        figure.subplots(1, len(SIMULATIONS)), SIMULATIONS.items(), strict=True
    ):
        ranks = [pd.DataFrame(done[f"calibration-seed{seed}-{method}"]) for seed in range(seeds)]
        found_p = [uniformity(table) for table in ranks]
        p = pd.DataFrame(found_p, index=range(seeds)).rename_axis("seed")
        simulation_rank_plot(rank_data(ranks), ax=ax).set_title(f"{method}; seeds: {seeds}")
        heading = f"{method}: p-value of uniform ranks (χ², ten bins), {simulations} simulations"
        tables[heading] = p.reset_index()
        content[method] = {
            "simulations": simulations,
            "p_values": p.to_dict("list"),
            f"share below {_SIGNIFICANCE}": float((p < _SIGNIFICANCE).to_numpy().mean()),
        }
    found = {"protocol": "calibration", "seeds": seeds, "methods": content}
    return ProtocolResult("calibration", found, tables, figure)


def _ranks(
    seed: int, method: Method, spec: ModelSpec, device: str, folder: Path | None
) -> dict[str, list[int]]:
    """Of the first member, by site."""
    ensemble = cached_vae(seed, spec, device, folder).ensemble
    ranks = simulation_ranks(ensemble, method=method, simulations=SIMULATIONS[method], seed=seed)
    return {str(site): column.tolist() for site, column in ranks.items()}
