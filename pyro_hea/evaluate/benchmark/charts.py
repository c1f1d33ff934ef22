"""Manifolds whose topology and minima are known, and the alloys that people make, as atlases."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.charts.toys import TOYS
from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult, format_interval
from pyro_hea.evaluate.charts import (
    ABLATED,
    GRID,
    PRIORS,
    measure_ablations,
    measure_alloys,
    measure_families,
    measure_toy,
)
from pyro_hea.evaluate.deblurring import GAIN, measure_deblurring
from pyro_hea.evaluate.measures.intervals import bootstrap_interval
from pyro_hea.plots import interval_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner

_MEMBERS = 2
"""Of the model that predicts designs."""


def charts(runner: Runner, seeds: int) -> ProtocolResult:
    """Learn each toy, some with one chart or without overlap; mend images; design alloys."""
    measured = {
        f"charts-{toy}-seed{seed}": partial(measure_toy, toy, seed)
        for seed in range(seeds)
        for toy in TOYS
    }
    ablated = {
        f"charts-ablated-{toy}-seed{seed}": partial(measure_ablations, toy, seed)
        for seed in range(seeds)
        for toy in ABLATED
    }
    families = {f"charts-families-{k}-{d}": partial(measure_families, k, d) for k, d in GRID}
    spec = runner.spec.with_(training__members=_MEMBERS)
    alloys = {
        f"charts-alloys-seed{seed}": partial(measure_alloys, seed, spec, runner.device)
        for seed in range(seeds)
    }
    blurred = {"charts-deblurring": partial(measure_deblurring, 0)}
    done = runner.run(measured | ablated | families | blurred | alloys)
    runs, without = [done[name] for name in measured], [done[name] for name in ablated]
    toys = pd.DataFrame(runs)
    posterior = [
        {"prior": prior, "seed": run["seed"], **run[f"posterior, {prior} prior"]}
        for run in runs
        for prior in PRIORS
        if f"posterior, {prior} prior" in run
    ]
    toys = toys.drop(columns=[f"posterior, {prior} prior" for prior in PRIORS])
    tables = {
        "Atlases": toys.sort_values(["toy", "seed"]),
        "Posterior on the circles": pd.DataFrame(posterior).sort_values(["prior", "seed"]),
        "One chart; no overlap phase": pd.DataFrame(without).sort_values(["toy", "seed"]),
        "Families of alloys, validation part": pd.DataFrame([done[name] for name in families]),
        "Blurred bars": pd.DataFrame([_of_images(done[name]) for name in blurred]),
        "Alloys, test part": pd.json_normalize([done[name] for name in alloys], sep=": "),
    }
    content = {
        "protocol": "charts",
        "seeds": seeds,
        "runs": runs,
        "ablations": without,
        "families": [done[name] for name in families],
        "deblurring": [done[name] for name in blurred],
        "alloys": [done[name] for name in alloys],
    }
    return ProtocolResult("charts", content, tables, _figure(toys, pd.DataFrame(without)))


def _of_images(found: dict[str, Any]) -> dict[str, Any]:
    """Means over the images that were mended, and what two charts gain."""
    row = {k: float(np.mean(v)) if isinstance(v, list) else v for k, v in found.items()}
    return row | {GAIN: format_interval(found[GAIN])}


def _figure(toys: pd.DataFrame, without: pd.DataFrame) -> Figure:
    """Means over the seeds with their intervals, as shipped and with something left out."""
    near, arrived = "samples within 3σ", "descents that arrive"
    toys = toys.assign(**{near: toys["within 3 sigma"], arrived: toys["arrived"] / toys["starts"]})
    shares = without["no overlap, arrived"] / without["starts"]
    drawn = [
        ("as shipped", toys),
        (
            "one chart (left), no overlap phase (right)",
            without.assign(**{near: without["one chart, within 3 sigma"], arrived: shares}),
        ),
    ]
    rows = [
        {"measure": measure, "name": toy, "group": group, **bootstrap_interval(values.to_numpy())}
        for group, table in drawn
        for measure in (near, arrived)
        for toy, values in table.dropna(subset=[measure]).groupby("toy")[measure]
    ]
    return interval_panels(pd.DataFrame(rows)).figure
