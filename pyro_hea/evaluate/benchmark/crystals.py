"""Crystals of chemical systems that a model was not trained on, beside trees and templates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from pyro_hea.crystal_vae import CrystalVAE
from pyro_hea.evaluate import crystal_baselines as baselines
from pyro_hea.evaluate import crystal_designs as designs
from pyro_hea.evaluate import crystal_positions as positions
from pyro_hea.evaluate import crystal_structures as structures
from pyro_hea.evaluate import crystal_targets as numbers
from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult, format_interval
from pyro_hea.evaluate.measures.intervals import bootstrap_interval
from pyro_hea.materials.crystals import CrystalDataset, load_crystals
from pyro_hea.plots import design_judgement

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner

_LARGEST = 20
"""Atoms in the primitive cell of the crystals."""

_MOST = 400
"""Crystals of the slower measures."""

_RANKED = "acoustic_debye_temperature"
_COMMON = 4
"""Training crystals of the prototypes among which that of a composition is looked for."""


class Trained:
    """A model with the crystals of its seed; what every measure reads.

    Attributes
    ----------
    vae : CrystalVAE
        Trained on `train`.
    train, test : CrystalDataset
        Without a chemical system in common.
    seed : int
    seconds : float
        Of the processor, in training.
    """

    def __init__(self, seed: int, folder: Path | None) -> None:
        crystals = load_crystals().of_size(_LARGEST).without_duplicates()
        self.seed = seed
        self.train, test = crystals.train_test_split(0.2, seed)
        most = max(len(crystal.counts) for crystal in self.train.crystals)
        self.test = test.take([len(crystal.counts) <= most for crystal in test.crystals])
        self.seconds = float("nan")
        place = None if folder is None else folder / "models" / f"crystals-seed{seed}"
        if place is not None and place.is_dir():
            self.vae = CrystalVAE.load(place)
            return
        before = time.process_time()
        self.vae = CrystalVAE().fit(self.train, seed=seed, progress=False)
        self.seconds = time.process_time() - before
        if place is not None:
            self.vae.save(place)

    def with_prototype(self, often: int, most: int) -> CrystalDataset:
        """Held-out crystals whose prototype so many training crystals have."""
        ensemble = self.vae.ensemble
        return structures.with_known_prototype(ensemble, self.test, most, self.seed, often)


def _about(of: Trained) -> dict[str, float]:
    return {"train": len(of.train), "test": len(of.test), "CPU seconds": of.seconds}


def _of_compositions(of: Trained) -> dict[str, float]:
    some = of.with_prototype(_COMMON, _MOST)
    return structures.structure_of_composition(of.vae, of.train, some, of.seed, _MOST // 3)


def _designs(of: Trained) -> dict[str, Any]:
    trees = designs.judge(of.test, of.vae, of.seed)
    return {
        "designs": designs.designs(of.vae, trees, of.train, _MOST // 10, of.seed),
        "agreement": designs.agreement(of.vae, trees, _MOST // 4, of.seed),
    }


def _beside(of: Trained) -> dict[str, Any]:
    one = baselines.one_latent(of.vae.ensemble, of.train, of.seed)
    most = _MOST // 2
    return {
        "one latent": baselines.one_latent_measures(one, of.vae.ensemble, of.test, most, of.seed),
        "few labels": baselines.few_labels(of.vae, one, of.train, of.test, of.seed),
    }


PARTS: Mapping[str, Callable[[Trained], Any]] = {
    "crystals": _about,
    "predictions": lambda of: numbers.predictions(of.vae, of.train, of.test, of.seed),
    "reconstruction": lambda of: structures.reconstruction(
        of.vae, of.with_prototype(1, _MOST // 2)
    ),
    "structure of a composition": _of_compositions,
    "swaps": lambda of: structures.swaps(of.vae, of.test, _MOST // 3, of.seed),
    "drawn": lambda of: structures.drawn(of.vae, 5 * _MOST // 2, of.seed),
    "Wyckoff positions": lambda of: positions.wyckoff_positions(of.vae, of.test, _MOST, of.seed),
    "leaks": lambda of: numbers.leaks(of.vae, of.train, of.test, of.seed),
    "wishes of known crystals": lambda of: designs.wishes_of_known(of.vae, of.test),
    "judged": _designs,
    "beside": _beside,
    "polymorph ranking": lambda of: numbers.polymorph_ranking(
        of.vae, of.train, of.test, _RANKED, _MOST // 4, of.seed
    ),
}
"""What is measured, each part a task of its own."""


def crystals(runner: Runner, seeds: int) -> ProtocolResult:
    """Train on four fifths of the chemical systems, measure on the others, seed by seed."""
    names = {(seed, part): f"crystals-seed{seed}-{part}" for seed in range(seeds) for part in PARTS}
    first = [names[seed, "crystals"] for seed in range(seeds)]  # they keep the models
    tasks = {name: partial(_run, *key, runner.folder) for key, name in names.items()}
    done = runner.run({name: tasks[name] for name in first}) | runner.run(tasks)
    runs = []
    for seed in range(seeds):
        of = {part: done[names[seed, part]] for part in PARTS}
        judged, beside = of.pop("judged"), of.pop("beside")
        runs.append({"seed": seed, **of, **judged, **beside})
    return of_runs(runs)


def _run(seed: int, part: str, folder: Path | None) -> Any:
    return PARTS[part](trained(seed, folder))


trained = lru_cache(maxsize=1)(Trained)
"""The model of a seed; the last one is kept."""


def of_runs(runs: list[dict[str, Any]]) -> ProtocolResult:
    """Tables and figure of what was measured with each seed."""
    tables = {}
    for part in ("predictions", "designs", "few labels", "one latent"):
        rows = [
            {"seed": run["seed"], "of": name, **_written(row)}
            for run in runs
            for name, row in run.get(part, {}).items()
        ]
        tables[part.capitalize()] = pd.DataFrame(rows)
    for part in PARTS:
        rows = [{"seed": run["seed"], **run[part]} for run in runs if part in run]
        if part not in {"predictions", "judged", "beside"}:
            tables[part.capitalize()] = pd.DataFrame(rows)
    tables["Means over the seeds"] = _means(runs)
    said = [run["agreement"] for run in runs]
    predicted = np.concatenate([s["predicted"] for s in said])
    judged = np.concatenate([s["judged"] for s in said])
    figure = cast("Figure", design_judgement(predicted, judged).figure)
    content = {"protocol": "crystals", "seeds": len(runs), "runs": runs}
    return ProtocolResult("crystals", content, tables, figure)


def _written(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: format_interval(v) if isinstance(v, dict) else v for k, v in row.items()}


def _means(runs: list[dict[str, Any]]) -> pd.DataFrame:
    """Every number, its mean over the seeds with the interval of a bootstrap over them."""
    values: dict[str, list[float]] = {}
    for run in runs:
        for name, value in _numbers({k: v for k, v in run.items() if k != "agreement"}):
            values.setdefault(name, []).append(value)
    return pd.DataFrame(
        {
            "measure": name,
            "mean": format_interval(bootstrap_interval(several))
            if len(several) > 1
            else several[0],
            "seeds": len(several),
        }
        for name, several in values.items()
    )


def _numbers(nested: Mapping[str, Any], before: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in nested.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{before}{name}, ")
        elif isinstance(value, float) and np.isfinite(value):
            found.append((before + name, value))
    return found
