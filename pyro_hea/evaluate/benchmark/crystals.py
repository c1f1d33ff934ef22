"""Crystals of chemical systems that a model was not trained on, beside trees and templates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult
from pyro_hea.evaluate.crystals import measure
from pyro_hea.materials.crystals import load_crystals
from pyro_hea.plots import design_judgement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner

_LARGEST = 20
"""Atoms in the primitive cell of the crystals."""


def crystals(runner: Runner, seeds: int) -> ProtocolResult:
    """Train on four fifths of the chemical systems, measure on the others, seed by seed."""
    units = {f"crystals-seed{seed}": partial(_run, seed) for seed in range(seeds)}
    done = runner.run(units)
    runs = [done[name] for name in units]
    tables = {}
    for part in ("predictions", "designs"):
        rows = [
            {"seed": run["seed"], "of": name, **row}
            for run in runs
            for name, row in run[part].items()
        ]
        tables[part.capitalize()] = pd.DataFrame(rows)
    for part in ("reconstruction", "structure of a composition", "swaps", "drawn", "leaks"):
        tables[part.capitalize()] = pd.DataFrame([{"seed": r["seed"], **r[part]} for r in runs])
    said = [run["agreement"] for run in runs]
    predicted = np.concatenate([s["predicted"] for s in said])
    judged = np.concatenate([s["judged"] for s in said])
    figure = cast("Figure", design_judgement(predicted, judged).figure)
    return ProtocolResult(
        "crystals", {"protocol": "crystals", "seeds": seeds, "runs": runs}, tables, figure
    )


def _run(seed: int) -> dict[str, Any]:
    from pyro_hea.crystal_vae import CrystalVAE

    crystals = load_crystals().of_size(_LARGEST).without_duplicates()
    train, test = crystals.train_test_split(0.2, seed)
    most = max(len(crystal.counts) for crystal in train.crystals)
    test = test.take([len(crystal.counts) <= most for crystal in test.crystals])
    vae = CrystalVAE().fit(train, seed=seed, progress=False)
    return {"seed": seed, **measure(vae, train, test, seed)}
