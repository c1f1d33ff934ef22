"""What a judge that never met the model says of its designs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import pandas as pd

from pyro_hea.benchmark.outcome import Outcome
from pyro_hea.evaluate import bootstrap_interval
from pyro_hea.evaluate.design import judged_designs
from pyro_hea.evaluate.published import kept_vae
from pyro_hea.plots import interval_panels

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Bench
    from pyro_hea.spec import ModelSpec

_SHOWN = {
    "judged single phase": "judged single phase (share)",
    "mean prediction": "mean prediction",
    "mean of the judge": "mean of the judge",
}


def design(bench: Bench, seeds: int) -> Outcome:
    """Designs for both wishes by models of the published split, judged."""
    units = {
        f"design-seed{seed}-wish{wish}": partial(
            _judged, seed, wish, bench.spec, bench.device, bench.folder
        )
        for seed in range(seeds)
        for wish in (1, 0)
    }
    done = bench.finish(units)
    tables, rows, content = {}, [], {}
    for wish in (1, 0):
        runs = pd.DataFrame([done[f"design-seed{seed}-wish{wish}"] for seed in range(seeds)])
        content[f"wish {wish}"] = runs.to_dict("list")
        tables[f"Wish {wish}: 500 designs of at least four elements, none above 50 at.%"] = (
            runs.assign(violations=runs["violations"].astype(int)).rename_axis("seed").reset_index()
        )
        rows += [
            {"measure": label, "name": f"wish {wish}", **bootstrap_interval(runs[column])}
            for column, label in _SHOWN.items()
        ]
    figure = interval_panels(pd.DataFrame(rows))[0].figure
    found = {"protocol": "design", "seeds": seeds, "runs": content}
    return Outcome("design", found, tables, cast("Figure", figure))


def _judged(
    seed: int, wish: int, spec: ModelSpec, device: str, folder: Path | None
) -> dict[str, float]:
    return judged_designs(kept_vae(seed, spec, device, folder), wish, seed=seed)
