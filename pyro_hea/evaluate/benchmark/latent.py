"""What the latent gives away of the label, and what its axes follow."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea import explain
from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult, format_interval
from pyro_hea.evaluate.measures import bootstrap_interval, composition_metrics, label_from_latent
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.evaluate.published import cached_vae
from pyro_hea.materials.alloys.dataset import load_alloys
from pyro_hea.plots import interval_panels
from pyro_hea.posterior import encode_and_decode

if TYPE_CHECKING:
    from pathlib import Path

    from pyro_hea.evaluate import Runner
    from pyro_hea.materials.alloys.dataset import AlloyDataset
    from pyro_hea.spec import ModelSpec
    from pyro_hea.vae import DisentangledVAE

_HELD_OUT, _TRAINING = "held-out alloys", "training alloys"

_MEASURES = {
    "knn_auc": "label from z by 15-NN, AUC",
    "trees_auc": "label from z by trees, AUC",
    "worse_auc": "label from z, the worse, AUC",
    "mae_at_pct": "composition MAE (at.%)",
    "kl": "KL of z (nats per alloy)",
}
_AXES = ("disentanglement", "completeness", "informativeness", "mig", "sap")


def disentanglement(runner: Runner, seeds: int) -> ProtocolResult:
    """How much of the label, and of families of elements, is in the latent."""
    tasks = {
        f"disentanglement-seed{seed}": partial(
            _measured, seed, runner.spec, runner.device, runner.folder
        )
        for seed in range(seeds)
    }
    runs = list(runner.run(tasks).values())
    summary = {
        part: {name: bootstrap_interval([run[part][name] for run in runs]) for name in names}
        for part, names in (
            (_HELD_OUT, _MEASURES),
            (_TRAINING, _MEASURES),
            ("axes", _AXES),
        )
    }
    rows = [
        {"measure": label, "name": part, **summary[part][name]}
        for name, label in _MEASURES.items()
        for part in (_HELD_OUT, _TRAINING)
    ]
    table = pd.DataFrame(
        [
            {"measure": label}
            | {part: format_interval(summary[part][name]) for part in (_HELD_OUT, _TRAINING)}
            for name, label in _MEASURES.items()
        ]
    )
    axes = pd.DataFrame(
        [{"score": name, "mean": format_interval(summary["axes"][name])} for name in _AXES]
    )
    tables = {
        f"Mean over {seeds} seeds with its 95 % interval; members measured one by one": table,
        "Axes of z and families of elements, training alloys (DCI, MIG, SAP)": axes,
    }
    content = {"protocol": "disentanglement", "seeds": seeds, "summary": summary, "runs": runs}
    figure = interval_panels(pd.DataFrame(rows)).figure
    return ProtocolResult("disentanglement", content, tables, figure)


def _measured(seed: int, spec: ModelSpec, device: str, folder: Path | None) -> dict[str, Any]:
    vae = cached_vae(seed, spec, device, folder)
    parts = load_alloys("zeng2024").split("published")
    training = parts["labelled"]
    return {
        _HELD_OUT: _of_alloys(vae, parts["test"]),
        _TRAINING: _of_alloys(vae, training),
        "axes": _of_axes(vae, training),
    }


def _of_alloys(vae: DisentangledVAE, alloys: AlloyDataset) -> dict[str, float]:
    """The label read from z beside the errors and the KL of the same z, mean over the members."""
    alloys = alloys.take(alloys.labels[TARGET].notna().to_numpy())
    y, true = alloys.labels[TARGET].to_numpy(), vae.ensemble.fractions(alloys)
    rows = []
    for member, (z, made) in enumerate(zip(*encode_and_decode(vae.ensemble, alloys), strict=True)):
        kl = float(np.sum(explain.axis_kl(vae, alloys, member)))
        rows.append(label_from_latent(z, y) | composition_metrics(true, made) | {"kl": kl})
    return {str(name): float(value) for name, value in pd.DataFrame(rows).mean().items()}


def _of_axes(vae: DisentangledVAE, alloys: AlloyDataset) -> dict[str, float]:
    """DCI, MIG and SAP over the families of elements, mean over the members."""
    factors = explain.family_factors(alloys)
    rows = [
        explain.disentanglement(vae.encode(alloys, member), factors).loc["all"]
        for member in range(vae.ensemble.members)
    ]
    return {name: float(np.mean([row[name] for row in rows])) for name in _AXES}
