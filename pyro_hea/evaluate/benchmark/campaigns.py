"""Protocols that design and then look: held-out alloys found again, and a campaign played out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult
from pyro_hea.evaluate.campaign import STRATEGIES, affordable, campaign_summary, play_strategy
from pyro_hea.evaluate.rediscovery import (
    GROUPS,
    WITHIN,
    rediscovery_group,
    rediscovery_summary,
)
from pyro_hea.plots import curve_panels, interval_panels

if TYPE_CHECKING:
    from pyro_hea.evaluate import Runner
    from pyro_hea.spec import ModelSpec

_FOUND = {
    "designs": ("share within 5 at.%", "designs"),
    "uniform": ("share within 5 at.%", "uniform compositions"),
    "found": ("share of the sets with one found", "any of 100 designs"),
    "equimolar": ("share of the sets with one found", "the equimolar alloy"),
    "times uniform": ("designs, times uniform", "designs"),
}


def rediscovery(runner: Runner, seeds: int) -> ProtocolResult:
    """Whole sets of elements held out: whether designs come near their single-phase alloys."""
    tasks = {
        f"rediscovery-seed{seed}-group{group}": partial(
            _rediscovered, group, seed, runner.spec, runner.device
        )
        for seed in range(seeds)
        for group in range(GROUPS)
    }
    done = runner.run(tasks)
    table = pd.concat([pd.DataFrame(rows) for rows in done.values()], ignore_index=True)
    shares = table.drop(columns="group").groupby("set", as_index=False).mean()
    summary = rediscovery_summary(shares)
    rows = [
        {"measure": _FOUND[key][0], "name": _FOUND[key][1], **interval}
        for key, interval in summary.items()
    ]
    intervals = pd.DataFrame(rows)
    tables = {
        f"Mean over the sets with the 95 % interval over them, {seeds} seeds": intervals,
        "Each set": shares.astype({"alloys": int}),
    }
    content = {
        "protocol": "rediscovery",
        "seeds": seeds,
        "within": WITHIN,
        "summary": summary,
        "sets": shares.to_dict("records"),
    }
    figure = interval_panels(intervals).figure
    return ProtocolResult("rediscovery", content, tables, figure)


def campaign(runner: Runner, seeds: int) -> ProtocolResult:
    """Picking, making and learning, played on alloys whose labels are held back."""
    tasks = {
        f"campaign-seed{seed}-{name.replace(', ', '-').replace(' ', '-')}": partial(
            _played, name, seed, affordable(runner.spec)
        )
        for seed in range(seeds)
        for name in STRATEGIES
    }
    done = runner.run(tasks)
    table = pd.concat([pd.DataFrame(rows) for rows in done.values()], ignore_index=True)
    summary = campaign_summary(table)
    last = summary[summary["round"] == summary["round"].max()].drop(columns="round")
    curves = summary.rename(columns={"strategy": "name", "round": "x"}).assign(
        x_label="round", y_label="single-phase alloys found"
    )
    content = {"protocol": "campaign", "seeds": seeds, "rounds": summary.to_dict("records")}
    tables = {f"Single-phase alloys found in the end, mean over {seeds} seeds, 95 % interval": last}
    figure = curve_panels(curves).figure
    return ProtocolResult("campaign", content, tables, figure)


def _rediscovered(group: int, seed: int, spec: ModelSpec, device: str) -> list[dict[str, Any]]:
    found = rediscovery_group(group, spec, seed=seed, device=device, progress=False)
    return cast("list[dict[str, Any]]", found.to_dict("records"))


def _played(name: str, seed: int, spec: ModelSpec) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", play_strategy(name, seed, spec=spec).to_dict("records"))
