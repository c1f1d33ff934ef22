"""Time and memory: of commands, of training, of answers, and how they grow."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pyro_hea.design import AllowedElements
from pyro_hea.devices import choose_device, peak_memory
from pyro_hea.evaluate.benchmark.profiling import step_profile
from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult
from pyro_hea.evaluate.protocols import TARGET
from pyro_hea.evaluate.published import cached_vae
from pyro_hea.executors import Processes
from pyro_hea.fitting import TrainingRun
from pyro_hea.materials.alloys.dataset import AlloyDataset, load_alloys
from pyro_hea.materials.alloys.element_tables import load_tables
from pyro_hea.plots import curve_panels
from pyro_hea.spec import ModelSpec
from pyro_hea.vae import DisentangledVAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner

REPEATS = 3
"""Of each measurement but a whole training; the median is reported."""

TRAINED = (1, 8, 64)
"""Members trained at once; the last on CUDA alone."""

_COMPARED = (2, 8)
"""Members of the trainings of four targets and of one that are compared, on one processor."""

_PROFILED = (1, 8)
"""Members of the trainings whose steps are taken apart."""

GROWTH = {
    "alloys": (1_000, 10_000, 100_000, 1_000_000),
    "members": (1, 4, 16, 64),
    "elements": (30, 50, 70),
}
"""Sizes, one changed at a time from 1000 alloys, one member and 30 elements."""

_START = {"alloys": 1_000, "members": 1, "elements": 30}
_MANY = 100_000
"""Alloys whose features and predictions are timed."""

_SCREENED = {
    "3d": ("Al", "Co", "Cr", "Cu", "Fe", "Mn", "Ni", "Ti"),
    "refractory": ("Hf", "Mo", "Nb", "Ta", "Ti", "V", "W", "Zr"),
}
"""Their grids in steps of 5 at.% are screened: one of which little is single phase, and much."""

_WORKERS = (1, 2)
"""Processes of one thread that screen the first of these grids, each time without a first pass."""

_LABELLED = 1_000
_LEAST = 0.1
"""MiB; less cannot be measured, and zero has no place on a logarithmic axis."""

_MIB = 2**20


def speed(runner: Runner, seeds: int) -> ProtocolResult:
    """How long it takes, how much memory it needs, and how both grow; trained once a seed."""
    cuda = choose_device(runner.device).type == "cuda"
    tasks: dict[str, Any] = {"speed-commands": partial(_commands, runner.spec, runner.folder)}
    tasks |= {
        f"speed-train{members}-seed{seed}": partial(
            _training, runner.spec, members, seed, runner.device
        )
        for members in TRAINED
        if members <= 8 or cuda
        for seed in range(seeds)
    }
    tasks |= {
        f"speed-profile{members}": partial(_profile, runner.spec, members, runner.device)
        for members in _PROFILED
    }
    tasks |= {f"speed-targets{members}": partial(_targets, members) for members in _COMPARED}
    tasks["speed-answers"] = partial(_answers, runner.spec, runner.device, runner.folder)
    tasks |= {
        f"speed-screen-{name}": partial(
            _screening, runner.spec, runner.device, runner.folder, elements
        )
        for name, elements in _SCREENED.items()
    }
    tasks |= {
        f"speed-workers{workers}": partial(
            _workers, runner.spec, runner.device, runner.folder, workers
        )
        for workers in _WORKERS
    }
    points = [(axis, size) for axis, sizes in GROWTH.items() for size in sizes]
    tasks |= {
        f"speed-{axis}{size}": partial(_growth, runner.spec, _START | {axis: size}, runner.device)
        for axis, size in points
    }
    done = runner.run(tasks, alone=True)
    trained = pd.DataFrame([u for name, u in done.items() if name.startswith("speed-train")])
    trained = trained.groupby("members", as_index=False).median()
    grown = pd.DataFrame(
        [{"axis": axis, "size": size, **done[f"speed-{axis}{size}"]} for axis, size in points]
    )
    parts = pd.DataFrame([{"members": k, **done[f"speed-profile{k}"]} for k in _PROFILED])
    screened = pd.DataFrame([{"elements": n, **done[f"speed-screen-{n}"]} for n in _SCREENED])
    workers = pd.DataFrame([{"workers": k, **done[f"speed-workers{k}"]} for k in _WORKERS])
    workers["times one"] = workers["a second"] / workers["a second"].iloc[0]
    targets = pd.DataFrame([{"members": k, **done[f"speed-targets{k}"]} for k in _COMPARED])
    exponents = pd.DataFrame(
        [{"axis": axis, **_exponents(rows)} for axis, rows in grown.groupby("axis", sort=False)]
    )
    tables = {
        "Commands, median": _as_rows(done["speed-commands"]),
        "Training on the published split to the end": trained,
        "Answers of the default ensemble, median": _as_rows(done["speed-answers"]),
        "Screening, median": screened,
        "Screening by processes of one thread, all shown to the ensemble": workers,
        "Milliseconds of a training step by part; the floor is its matrix products": parts,
        "Processor seconds of an epoch, four targets against one": targets,
        "Growth, one size changed at a time": grown,
        "Exponent of growth between the largest sizes (1 is linear)": exponents,
    }
    content = {
        "protocol": "speed",
        "seeds": seeds,
        "device": str(choose_device(runner.device)),
        "torch_threads": torch.get_num_threads(),
        "results": done,
        "exponents": exponents.to_dict("records"),
    }
    return ProtocolResult("speed", content, tables, _figure(grown))


# What is timed.


def _commands(spec: ModelSpec, folder: Path | None) -> dict[str, float]:
    run = "from pyro_hea.cli import main; main()"
    with TemporaryDirectory() as temporary:
        vae = cached_vae(0, spec, "cpu", folder or Path(temporary))
        model = f"{temporary}/model"
        vae.save(model)
        commands = {
            "import pyro_hea (s)": ["import pyro_hea"],
            "pyro-hea --help (s)": [run, "--help"],
            "pyro-hea predict, one formula (s)": [run, "predict", "--model", model, "CoCrFeMnNi"],
        }
        return {
            name: _timed(partial(_run, [sys.executable, "-c", *command]))
            for name, command in commands.items()
        } | {"python itself (s)": _timed(partial(_run, [sys.executable, "-c", ""]))}


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _training(spec: ModelSpec, members: int, seed: int, device: str) -> dict[str, float]:
    parts = load_alloys("zeng2024").split("published")
    before = peak_memory(choose_device(device))
    start = time.perf_counter()
    vae = DisentangledVAE(_of_members(spec, members)).fit(
        parts["labelled"] + parts["unlabelled"],
        validation=parts["validation"],
        seed=seed,
        device=device,
        progress=False,
    )
    seconds = time.perf_counter() - start
    return {
        "members": members,
        "epochs": int(vae.history["epoch"].max()),
        "seconds": seconds,
        "peak (MiB)": peak_memory(choose_device(device)),
        "of it before training (MiB)": before,
    }


def _answers(spec: ModelSpec, device: str, folder: Path | None) -> dict[str, float]:
    vae = cached_vae(0, spec, device, folder)
    alloys = synthetic_alloys(_MANY, len(vae.ensemble.elements)).fractions
    alloys.columns = pd.Index(vae.ensemble.elements)
    feature_map = vae.ensemble.feature_map
    table = torch.tensor(alloys.to_numpy(), device=vae.ensemble.device)
    return {
        "features (alloys a second)": _MANY / _timed(lambda: _finished(feature_map(table))),
        "predict (alloys a second)": _MANY / _timed(lambda: vae.predict(alloys)),
    }


def _screening(
    spec: ModelSpec, device: str, folder: Path | None, elements: tuple[str, ...]
) -> dict[str, float]:
    """A grid with and without the first pass: time, memory, and what of the best was lost."""
    vae = cached_vae(0, spec, device, folder)
    screen = partial(
        vae.screen, {TARGET: 1}, [AllowedElements(*elements)], step=0.05, progress=False
    )
    before, candidates = peak_memory(choose_device(device)), screen(n=1).attributes["candidates"]
    best = round(0.01 * candidates)
    seconds = _timed(lambda: screen(n=100))
    memory = peak_memory(choose_device(device)) - before
    start = time.perf_counter()
    true = screen(n=best, exhaustive=True)
    alone = time.perf_counter() - start
    found = screen(n=best)
    kept = {*found.formulas} & {*true.formulas}
    return {
        "compositions": candidates,
        "a second": candidates / seconds,
        "a second, without the first pass": candidates / alone,
        "shown to the ensemble": found.attributes["predicted"],
        "recall of the best percent": len(kept) / best,
        "memory (MiB)": max(memory, _LEAST),
    }


def _workers(spec: ModelSpec, device: str, folder: Path | None, workers: int) -> dict[str, float]:
    """A grid screened by processes that have read the model."""
    vae = cached_vae(0, spec, device, folder)
    elements = next(iter(_SCREENED.values()))
    ask = partial(vae.screen, {TARGET: 1}, min_probability=0, progress=False, exhaustive=True)
    with Processes(workers) as executor:
        ask([AllowedElements(*elements[:4])], step=0.02, executor=executor)  # warms up
        start = time.perf_counter()
        found = ask([AllowedElements(*elements)], step=0.05, executor=executor)
        seconds = time.perf_counter() - start
    return {"compositions": found.attributes["candidates"], "seconds": seconds} | {
        "a second": found.attributes["candidates"] / seconds
    }


def _growth(spec: ModelSpec, sizes: dict[str, int], device: str) -> dict[str, float]:
    alloys = synthetic_alloys(sizes["alloys"], sizes["elements"])
    before = peak_memory(choose_device(device))
    start = time.perf_counter()
    run = _prepared(spec, alloys, sizes["members"], device)
    prepared = time.perf_counter() - start
    epochs, seconds = run.trainer.epochs(), []
    for _ in range(1 + REPEATS if sizes["alloys"] < _MANY else 1):
        start = time.perf_counter()
        next(epochs)
        seconds.append(time.perf_counter() - start)
    return {
        "prepare (s)": prepared,
        "epoch (s)": median(seconds[1:] or seconds),  # the first one warms up
        "memory (MiB)": max(peak_memory(choose_device(device)) - before, _LEAST),
    }


def _profile(spec: ModelSpec, members: int, device: str) -> dict[str, float]:
    parts = load_alloys("zeng2024").split("published")
    return step_profile(_prepared(spec, parts["labelled"] + parts["unlabelled"], members, device))


def _targets(members: int) -> dict[str, float]:
    """Epochs of both in turn, on all packaged alloys, so that both see the same machine."""
    alloys, specs = (
        load_alloys(["zeng2024", "borg2020"]),
        (ModelSpec(), ModelSpec.shipped("properties")),
    )
    trainings = [_prepared(spec, alloys, members, "cpu").trainer.epochs() for spec in specs]
    seconds: list[list[float]] = [[], []]
    for _ in range(1 + REPEATS):
        for training, taken in zip(trainings, seconds, strict=True):
            start = time.process_time()
            next(training)
            taken.append(time.process_time() - start)
    one, four = (median(taken[1:]) for taken in seconds)  # the first one warms up
    return {"one target (s)": one, "four targets (s)": four, "ratio": four / one}


def _prepared(spec: ModelSpec, alloys: AlloyDataset, members: int, device: str) -> TrainingRun:
    return TrainingRun.prepare(
        _of_members(spec, members),
        alloys,
        None,
        seed=0,
        device=choose_device(device),
        folder=None,
        resume=False,
    )


def _of_members(spec: ModelSpec, members: int) -> ModelSpec:
    given = spec.to_mapping()
    given["training"] |= {"members": members}
    return type(spec).from_mapping(given)


def synthetic_alloys(count: int, elements: int, seed: int = 0) -> AlloyDataset:
    """Alloys of two to six elements at random, the first thousand with a label at random.

    Parameters
    ----------
    count : int
    elements : int
        The first of the element table.
    seed : int

    Raises
    ------
    ValueError
        For more elements than the tables hold.

    Examples
    --------
    >>> synthetic_alloys(5000, 40)
    AlloyDataset(5000 alloys of 40 elements; single_phase: 1000 labelled)
    """
    rng = np.random.default_rng(seed)
    names = load_tables("field").elements
    if elements > len(names):
        raise ValueError(f"the tables hold {len(names)} elements, not {elements}")
    fractions = np.zeros((count, elements))
    # the elements of each alloy are the first of a random order
    places = rng.random((count, elements)).argsort(axis=1)[:, :6]
    amounts = rng.exponential(size=places.shape)
    amounts[np.arange(6) >= rng.integers(2, 7, count)[:, None]] = 0.0
    np.put_along_axis(fractions, places, amounts / amounts.sum(1, keepdims=True), axis=1)
    index = pd.Index([f"alloy {i}" for i in range(count)], name="formula")
    labels = np.full(count, np.nan)
    labels[:_LABELLED] = rng.integers(0, 2, min(count, _LABELLED))
    reports = pd.DataFrame({"formula": index, "target": TARGET, "value": labels}).dropna()
    return AlloyDataset(
        pd.DataFrame(fractions, index, list(names[:elements])),
        pd.DataFrame({TARGET: labels}, index),
        reports.assign(source="synthetic"),
        pd.Series(np.nan, index, dtype=object),
    )


# How it is measured.


def _timed(work: Callable[[], Any]) -> float:
    """Median of some repeats, seconds; one more before them warms up."""
    seconds = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


def _finished(values: torch.Tensor) -> float:
    """Wait for a device that works on its own."""
    return float(values.sum())


def _exponents(rows: pd.DataFrame) -> dict[str, float]:
    """Powers of the size by which cost grows at its end; NaN where none could be measured."""
    costs = rows[["prepare (s)", "epoch (s)", "memory (MiB)"]].iloc[-2:]
    steps = np.diff(np.log(costs.where(costs > 0).to_numpy(float)), axis=0)[-1]
    exponents = steps / np.diff(np.log(rows["size"].to_numpy(float)))[-1]
    return dict(zip(map(str, costs), exponents.tolist(), strict=True))


def _as_rows(values: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"what": list(values), "value": list(values.values())})


def _figure(grown: pd.DataFrame) -> Figure:
    rows = [
        {"x_label": axis, "y_label": name, "name": "", "x": row["size"], "mean": row[name]}
        for name in ("epoch (s)", "memory (MiB)")
        for axis, part in grown.groupby("axis", sort=False)
        for _, row in part.iterrows()
    ]
    panels = curve_panels(pd.DataFrame(rows), logarithmic=True)
    for ax in panels:  # a measure has one scale, by which what hardly grows looks like it
        of_measure = [other for other in panels if other.get_ylabel() == ax.get_ylabel()]
        bounds = [bound for other in of_measure for bound in other.dataLim.intervaly]
        ax.set_ylim(min(bounds) / 1.5, max(bounds) * 1.5)
    return panels.figure
