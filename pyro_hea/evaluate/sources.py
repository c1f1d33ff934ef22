"""What further sources add to the published table, on alloys whose element sets were left out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyro_hea.evaluate.baselines import fit_predict
from pyro_hea.evaluate.comparison import MODEL, compare, differences
from pyro_hea.evaluate.folds import FOLDS, assign_folds
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.materials.alloys.dataset import AlloyDataset, element_sets, load_alloys
from pyro_hea.materials.alloys.dataset.embedded import PUBLISHED_SOURCE, TRUSTED_SOURCES
from pyro_hea.spec import ModelSpec
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from collections.abc import Collection

    from pyro_hea.evaluate.runner import Runner

PUBLISHED = "pyro_hea, published table alone"
NOISE, MAJORITY = "noise channel", "majorities, no teacher"
TREES, PUBLISHED_TREES = "extra trees", "extra trees, published table alone"
MODELS = (MODEL, PUBLISHED, TREES, PUBLISHED_TREES, MAJORITY, NOISE)
"""What is compared: `MODEL` learns from all sources, as do the others of no source by name."""

ALL = "all sources"
"""Labels that are the majority of all reports."""

SIZE = {"training__members": 2, "training__epochs": 60, "training__wake_sleep": 0.0}
"""Of the two models without a teacher, which differ by the noise channel alone. Wake-sleep comes
after the heads and does not move them."""


def sources_benchmark(runner: Runner, *, seeds: int) -> dict[str, Any]:
    """Leave out a source, or a fifth of the element sets, and predict what was left out.

    Of a source that is left out, no alloy is trained on, nor any of the same elements. In the
    folds, alloys of other elements keep the reports of all sources.

    Parameters
    ----------
    runner : Runner
    seeds : int
        Seeds 0, 1, … of the folds and of the models.

    Returns
    -------
    dict
        `left_out`: by `source` and `element sets`, and there by whose labels are predicted:
        `models`, `ece_band` and `differences` of `MODELS` as in `folds_benchmark`, and
        `noise_channel`, the difference of `NOISE` to `MAJORITY`. `training`: by fold of the
        first seed, the numbers of labelled alloys of all sources and of the published table.
    """
    labelling = label_sources()
    names = {
        "source": [source for source in labelling if source != PUBLISHED_SOURCE],
        "element sets": [str(fold) for fold in range(FOLDS)],
    }
    tasks = {
        _task(name, seed): partial(_left_out, name, seed, runner.spec, runner.device)
        for seed in range(seeds)
        for each in names.values()
        for name in each
    }
    done = runner.run(tasks)
    tables = {task: pd.DataFrame(found["answers"]) for task, found in done.items()}
    folds = [
        pd.concat([tables[_task(name, seed)] for name in names["element sets"]])
        for seed in range(seeds)
    ]
    return {
        "protocol": "sources",
        "seeds": seeds,
        "left_out": {
            "source": {
                name: _compared([tables[_task(name, seed)] for seed in range(seeds)], name)
                for name in names["source"]
            },
            "element sets": {name: _compared(folds, name) for name in (*labelling, ALL)},
        },
        "training": {
            name: done[_task(name, 0)]["training"] for each in names.values() for name in each
        },
    }


def label_sources() -> list[str]:
    """Trusted sources that say whether an alloy forms a single phase, the published table first."""
    reports = load_alloys().reports
    said = set(reports["source"][reports["target"] == TARGET])
    return [source for source in TRUSTED_SOURCES if source in said]


def _task(name: str, seed: int) -> str:
    return f"sources-{name}-seed{seed}"


def _compared(runs: list[pd.DataFrame], source: str) -> dict[str, Any]:
    """The measures on the alloys that have a label by a source."""
    column = f"label by {source}"
    labelled = [run.assign(label=run[column])[run[column].notna()] for run in runs]
    return {
        **compare(labelled, MODELS),
        "noise_channel": differences(labelled, [NOISE, MAJORITY]),
    }


def _left_out(name: str, seed: int, spec: ModelSpec, device: str) -> dict[str, Any]:
    """Train without the element sets of a source, or of a fold, and predict their alloys."""
    known: Collection[str] = TRUSTED_SOURCES
    every = load_alloys()
    if name in TRUSTED_SOURCES:
        known = [source for source in TRUSTED_SOURCES if source != name]
        test, judges = _labelled(load_alloys(name)), [name]
    else:
        fold = assign_folds(every, spec.targets, FOLDS, "element_set", seed)
        test, judges = every.take(fold == int(name)), label_sources()
    out = set(element_sets(test.fractions))
    train, published = (
        _without(load_alloys(sources), out) for sources in (list(known), PUBLISHED_SOURCE)
    )
    untaught = spec.with_(training__distillation=None, **SIZE)
    noisy = untaught.with_(targets=ModelSpec.shipped("reports").to_mapping()["targets"])
    trained = {
        MODEL: (_heads_alone(spec), train),
        PUBLISHED: (_heads_alone(spec), published),
        MAJORITY: (untaught, train),
        NOISE: (noisy, train),
    }
    columns = {
        f"label by {source}": load_alloys(source).labels[TARGET].reindex(test.formulas).to_numpy()
        for source in judges
    }
    if name not in TRUSTED_SOURCES:
        columns[f"label by {ALL}"] = test.labels[TARGET].to_numpy()
    for model, (of_model, data) in trained.items():
        vae = DisentangledVAE(of_model).fit(data, seed=seed, device=device, progress=False)
        columns[model] = vae.predict(test)[TARGET].to_numpy(np.float64)
    for trees, data in ((TREES, train), (PUBLISHED_TREES, published)):
        fitted = _labelled(data)
        columns[trees] = fit_predict(
            "extra_trees", fitted.features, fitted.labels[TARGET], test.features, seed
        )
    counted = {"all sources": train, "published table": published}
    return {
        "answers": {
            "formula": test.formulas,
            "number_of_elements": test.number_of_elements.tolist(),
            **{column: values.tolist() for column, values in columns.items()},
        },
        "training": {part: len(_labelled(data)) for part, data in counted.items()},
    }


def _heads_alone(spec: ModelSpec) -> ModelSpec:
    """A spec whose other training is one epoch, where the head of the target has a teacher.

    Such a head is done before all else is trained, which does not move it.
    """
    if TARGET not in spec.distilled_targets:
        return spec
    return spec.with_(training__epochs=1, training__wake_sleep=0.0)


def _labelled(alloys: AlloyDataset) -> AlloyDataset:
    return alloys.take(alloys.labels[TARGET].notna().to_numpy())


def _without(alloys: AlloyDataset, out: Collection[str]) -> AlloyDataset:
    """The alloys of other element sets."""
    return alloys.take(np.array([s not in out for s in element_sets(alloys.fractions)], bool))
