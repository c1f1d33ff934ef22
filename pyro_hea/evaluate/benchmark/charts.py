"""Manifolds whose topology and minima are known, each learnt by an atlas and by one chart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from pyro_hea.charts.toys import TOYS
from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult
from pyro_hea.evaluate.charts import ABLATED, measure_ablations, measure_toy
from pyro_hea.measures.intervals import bootstrap_interval
from pyro_hea.plots import interval_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner


def charts(runner: Runner, seeds: int) -> ProtocolResult:
    """Learn each toy, and those that one chart cannot cover with one and without overlap."""
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
    done = runner.run(measured | ablated)
    runs, without = [done[name] for name in measured], [done[name] for name in ablated]
    toys = pd.DataFrame(runs)
    posterior = toys.pop("posterior").dropna()
    tables = {
        "Atlases": toys.sort_values(["toy", "seed"]),
        "Posterior on the circles": pd.DataFrame([*posterior]).assign(seed=range(len(posterior))),
        "One chart; no overlap phase": pd.DataFrame(without).sort_values(["toy", "seed"]),
    }
    content = {"protocol": "charts", "seeds": seeds, "runs": runs, "ablations": without}
    return ProtocolResult("charts", content, tables, _figure(toys, pd.DataFrame(without)))


def _figure(toys: pd.DataFrame, without: pd.DataFrame) -> Figure:
    """Means over the seeds with their intervals, as shipped and with something left out."""
    near, arrived = "samples within 3σ", "descents that arrive"
    toys = toys.assign(**{near: toys["within 3 sigma"], arrived: toys["arrived"] / toys["starts"]})
    shares = without["no overlap, arrived"] / without["starts"]
    drawn = [
        ("as shipped", toys, [near, arrived]),
        ("one chart", without.assign(**{near: without["one chart, within 3 sigma"]}), [near]),
        ("no overlap phase", without.assign(**{arrived: shares}), [arrived]),
    ]
    rows = [
        {"measure": measure, "name": toy, "group": group, **bootstrap_interval(values.to_numpy())}
        for group, table, measures in drawn
        for measure in measures
        for toy, values in table.dropna(subset=[measure]).groupby("toy")[measure]
    ]
    return interval_panels(pd.DataFrame(rows)).figure
