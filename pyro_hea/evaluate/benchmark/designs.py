"""What a judge that never met the model says of its designs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import pandas as pd

from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult
from pyro_hea.evaluate.design import (
    judged_changes,
    judged_designs,
    summary_of_changes,
    summary_of_designs,
)
from pyro_hea.evaluate.published import cached_vae
from pyro_hea.materials.alloys.dataset import load_alloys
from pyro_hea.plots import design_judgement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner
    from pyro_hea.vae import DisentangledVAE

_AGREEMENT = (10.0, 3.0, 1.0, 0.0)
"""Powers of the predicted probability: with low ones, designs are predicted less well too."""

_OF_EACH = 125


def design(runner: Runner, seeds: int) -> ProtocolResult:
    """Designs for both wishes and changes of alloys by models of the published split, judged."""
    models = [
        partial(cached_vae, seed, runner.spec, runner.device, runner.folder)
        for seed in range(seeds)
    ]
    wishes = {
        f"design-seed{seed}-wish{wish}": partial(_designed, model, seed, wish)
        for seed, model in enumerate(models)
        for wish in (1, 0)
    }
    changes = {
        f"design-seed0-{workflow}": partial(_changed, models[0], workflow)
        for workflow in ("nearest", "invert")
    }
    agreement = {"design-seed0-agreement": partial(_agreement, models[0])}
    done = runner.run(wishes | changes | agreement)
    tables, runs = {}, {}
    for wish in (1, 0):
        table = pd.DataFrame([done[f"design-seed{seed}-wish{wish}"] for seed in range(seeds)])
        runs[f"wish {wish}"] = table.to_dict("list")
        tables[f"Wish {wish}: 500 designs of at least four elements, none above 50 at.%"] = (
            table.assign(violations=table["violations"].astype(int))
            .rename_axis("seed")
            .reset_index()
        )
    changed = pd.DataFrame([done[name] for name in changes], index=["nearest", "invert"])
    tables["Multi-phase alloys of the test part changed to a single phase, seed 0"] = (
        changed.rename_axis("workflow").reset_index()
    )
    judged = done["design-seed0-agreement"]
    figure = design_judgement(judged["predicted"], judged["judged"]).figure
    found = {"protocol": "design", "seeds": seeds, "runs": runs}
    found |= {"changes": changed.to_dict("index"), "agreement": judged}
    return ProtocolResult("design", found, tables, cast("Figure", figure))


def _designed(model: partial[DisentangledVAE], seed: int, wish: int) -> dict[str, float]:
    return summary_of_designs(judged_designs(model(), wish, seed=seed))


def _changed(
    model: partial[DisentangledVAE], workflow: Literal["nearest", "invert"]
) -> dict[str, float]:
    test = load_alloys("zeng2024").split("published")["test"]
    return summary_of_changes([judged_changes(model(), test, workflow)])


def _agreement(model: partial[DisentangledVAE]) -> dict[str, Any]:
    """What model and judge say of designs, some hardly bound to the wish."""
    vae = model()
    tables = [judged_designs(vae, 1, n=_OF_EACH, agreement=kappa) for kappa in _AGREEMENT]
    judged = pd.concat(tables).round(4)
    return {name: judged[name].tolist() for name in ("predicted", "judged")}
