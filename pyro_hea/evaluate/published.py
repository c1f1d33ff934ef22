"""The published protocol over seeds, beside baselines; its models are kept for other protocols."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pyro_hea.errors import CheckpointError
from pyro_hea.evaluate.comparison import COMPARED, MODEL, compare, predictions
from pyro_hea.evaluate.measures.intervals import bootstrap_interval
from pyro_hea.evaluate.protocols import headline, published_metrics, published_vae
from pyro_hea.materials.alloys.dataset import load_alloys
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from pyro_hea.evaluate.runner import Runner
    from pyro_hea.spec import ModelSpec


def published_benchmark(
    runner: Runner, *, seeds: int, baselines: Sequence[str] = COMPARED
) -> dict[str, Any]:
    """The published protocol over seeds 0, 1, ….

    The baselines are fitted on the labelled part; the validation part is for stopping alone.

    Parameters
    ----------
    runner : Runner
    seeds : int
    baselines : sequence of str
        Of `COMPARED`.

    Returns
    -------
    dict
        `runs`, the metrics of each seed; `summary`, by measure the mean and the 95 % bootstrap
        interval of the mean over the seeds; `models`, `ece_band` and `differences` as in
        `folds_benchmark`.
    """
    tasks = {
        f"published-seed{seed}": partial(
            _published, seed, runner.spec, baselines, runner.device, runner.folder
        )
        for seed in range(seeds)
    }
    done = list(runner.run(tasks).values())
    runs = [result["metrics"] for result in done]
    flat = pd.DataFrame([headline(run) for run in runs])
    tables = [pd.DataFrame(result["predictions"]) for result in done]
    return {
        "protocol": "published",
        "seeds": seeds,
        "summary": {name: bootstrap_interval(values) for name, values in flat.items()},
        **compare(tables, [MODEL, *baselines]),
        "runs": runs,
    }


def cached_vae(seed: int, spec: ModelSpec, device: str, folder: Path | None) -> DisentangledVAE:
    """The model of `published_vae`, read from a folder of kept results if it is there.

    Raises
    ------
    CheckpointError
        For a model of another spec in the folder.
    """
    if folder is None:
        return published_vae(spec, seed=seed, device=device, progress=False)
    place = folder / "models" / f"published-seed{seed}"
    if not place.is_dir():
        vae = published_vae(spec, seed=seed, device=device, progress=False)
        vae.save(place)
        return vae
    vae = DisentangledVAE.load(place, device)
    if vae.spec != spec:
        raise CheckpointError(
            f"'{place}' is a model of another spec: give another folder, or delete this one"
        )
    return vae


def _published(
    seed: int, spec: ModelSpec, baselines: Sequence[str], device: str, folder: Path | None
) -> dict[str, Any]:
    parts = load_alloys("zeng2024").split("published")
    vae = cached_vae(seed, spec, device, folder)
    train = parts["labelled"] + parts["unlabelled"]
    test_predictions = predictions(
        vae, train, parts["test"], seed=seed, baselines=baselines, device=device
    )
    return {"metrics": published_metrics(vae, seed), "predictions": test_predictions}
