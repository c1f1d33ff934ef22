"""What each part of the default model contributes, on inner folds of the training part."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult, format_interval
from pyro_hea.evaluate.comparison import MODEL, compare
from pyro_hea.evaluate.folds import FOLDS, folds
from pyro_hea.evaluate.measures import composition_metrics, label_from_latent, paired_difference
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.materials.alloys.dataset import load_alloys
from pyro_hea.plots import interval_panels
from pyro_hea.posterior import encode_and_decode
from pyro_hea.spec import ModelSpec
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from pyro_hea.evaluate import Runner

MEMBERS = 2
"""Of every variant, so that a table of many is affordable."""

VARIANTS: dict[str, dict[str, Any]] = {
    "numeric embedding off": {"features": {"bins": 1}},
    "teacher off": {"training": {"distillation": None}},
    "a fifth of the synthetic alloys": {"training": {"distillation": {"synthetic_alloys": 6000}}},
    "a third of the distillation steps": {"training": {"distillation": {"steps": 333}}},
    "jitter off": {"training": {"jitter": 0.0}},
    "half as many middles of alloys": {"training": {"augmentation": 0.5}},
    "flow off": {"latent": {"flow": None}},
    "diagonal guide": {"encoder": {"covariance": "diagonal"}},
    "sleep off": {"training": {"wake_sleep": 0.0}},
    "ensemble of one": {"training": {"members": 1}},
    "published features": {"features": {"names": "published"}},
    "weight decay off": {"training": {"weight_decay": 0.0}},
    "Dirichlet likelihood": {"likelihood": {"kind": "dirichlet"}},
    "hurdle likelihood": {"likelihood": {"kind": "hurdle"}},
}
"""Changes of the spec, one at a time."""

_ERRORS = {
    "mae_at_pct": "composition MAE (at.%)",
    "worse_auc": "label from z, AUC",
}

_DRAWN = {"auc, all": "AUC", "log_loss, all": "log loss (nats)"}


def ablation(runner: Runner, seeds: int) -> ProtocolResult:
    """The default model against itself with one setting changed, on inner folds."""
    variants = {MODEL: {}, **VARIANTS}
    tasks = {
        f"ablation-{name.replace(' ', '_')}-seed{seed}-fold{fold}": partial(
            _fold, seed, fold, changed(runner.spec, change), runner.device
        )
        for seed in range(seeds)
        for fold in range(FOLDS)
        for name, change in variants.items()
    }
    done = iter(runner.run(tasks).values())
    results = {
        (seed, fold, name): next(done)
        for seed in range(seeds)
        for fold in range(FOLDS)
        for name in variants
    }
    runs = [_pooled(results, seed, list(variants)) for seed in range(seeds)]
    found = compare(runs, list(variants))
    folded = [(seed, fold) for seed in range(seeds) for fold in range(FOLDS)]
    for name in VARIANTS:
        for key, label in _ERRORS.items():
            found["differences"][name][label] = paired_difference(
                [results[seed, fold, MODEL][key] for seed, fold in folded],
                [results[seed, fold, name][key] for seed, fold in folded],
            )
    rows = [
        {"measure": _DRAWN.get(measure, measure), "name": name, **interval}
        for name, differences in found["differences"].items()
        for measure, interval in differences.items()
        if "≥" not in measure
    ]
    table = pd.DataFrame(
        [
            {"variant": name} | {measure: format_interval(d) for measure, d in differences.items()}
            for name, differences in found["differences"].items()
        ]
    )
    heading = (
        f"Default minus variant on {FOLDS} inner folds by element set of the published labelled "
        f"part, {seeds} seeds, {MEMBERS} members, 95 % interval"
    )
    content = {"protocol": "ablation", "seeds": seeds, "members": MEMBERS, **found}
    figure = interval_panels(pd.DataFrame(rows), reference=0.0).figure
    return ProtocolResult("ablation", content, {heading: table}, figure)


def changed(spec: ModelSpec, change: Mapping[str, Any]) -> ModelSpec:
    """The spec of few members with some of its keys changed.

    Examples
    --------
    >>> changed(ModelSpec(), {"training": {"jitter": 0.0}}).training.jitter
    0.0
    """
    given = spec.to_mapping()
    given["training"] |= {"members": MEMBERS}
    for part, keys in change.items():
        whole = "kind" in keys  # of another kind: nothing of the old one is kept
        given[part] = keys if whole else given[part] | keys
    return ModelSpec.from_mapping(given)


def _fold(seed: int, fold: int, spec: ModelSpec, device: str) -> dict[str, Any]:
    labelled = load_alloys("zeng2024").split("published")["labelled"]
    train, test = folds(labelled, TARGET, "grouped", seed)[fold]
    vae = DisentangledVAE(spec).fit(train, seed=seed, device=device, progress=False)
    labels = test.labels[TARGET].to_numpy()
    inside = (test.fractions.drop(columns=list(vae.ensemble.elements), errors="ignore") == 0).all(
        axis=1
    )
    known = test.take(inside.to_numpy())  # the latent is of the training elements alone
    true, y = vae.ensemble.fractions(known), known.labels[TARGET].to_numpy()
    rows = [
        composition_metrics(true, made) | label_from_latent(z, y)
        for z, made in zip(*encode_and_decode(vae.ensemble, known), strict=True)
    ]
    errors = pd.DataFrame(rows)[list(_ERRORS)].mean()
    return {
        "formula": test.formulas,
        "number_of_elements": test.number_of_elements.tolist(),
        "label": labels.tolist(),
        "prediction": vae.predict(test)[TARGET].tolist(),
        **{str(name): float(value) for name, value in errors.items()},
    }


def _pooled(results: Mapping[Any, Any], seed: int, names: list[str]) -> pd.DataFrame:
    """Predictions of all variants for the alloys of every fold."""
    parts = []
    for fold in range(FOLDS):
        first = results[seed, fold, names[0]]
        columns = {key: first[key] for key in ("formula", "number_of_elements", "label")}
        columns |= {name: results[seed, fold, name]["prediction"] for name in names}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
