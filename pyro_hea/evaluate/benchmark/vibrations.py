"""Designed crystals as CHGNet judges them: relaxed, and shaken."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from pyro_hea.errors import missing_extra
from pyro_hea.evaluate.benchmark.crystals import trained
from pyro_hea.evaluate.benchmark.protocol_result import ProtocolResult
from pyro_hea.evaluate.crystal_designs import WISHES, fulfilled, limits
from pyro_hea.evaluate.crystal_vibrations import SOFT
from pyro_hea.evaluate.crystal_vibrations import vibrations as vibrations_of
from pyro_hea.plots.crystals import acoustic_temperatures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.figure import Figure

    from pyro_hea.evaluate import Runner
    from pyro_hea.materials.crystals import CrystalDataset

REAL = "real"
_NUMBER = {REAL: 45, "A": 50, f"{REAL}, as A": 25, "B": 50, f"{REAL}, as B": 25}
"""Crystals of each group at most: designs of two wishes, and known ones, any and as wished."""

_THETA = "acoustic_debye_temperature"


def vibrations(runner: Runner, seeds: int) -> ProtocolResult:
    """Designs of two wishes beside crystals that are known, and held out.

    A potential's temperatures are scaled by one factor, that of the known crystals without soft
    modes.
    """
    groups = [(seed, group) for seed in range(seeds) for group in _NUMBER]
    tasks = {f"vibrations-seed{s}-{g}": partial(_group, s, g, runner.folder) for s, g in groups}
    rows = [row for of in runner.run(tasks).values() for row in of]
    table = pd.DataFrame(rows)
    table["minimum"] = table["lowest"] >= SOFT
    known = table[(table["group"] == REAL) & table["minimum"]]
    off = known.assign(dex=np.log10(known["expected"]) - np.log10(known[_THETA]))
    dex = off.groupby("seed")["dex"].agg(["median", "std"])
    table["scaled"] = table[_THETA] * 10 ** table["seed"].map(dex["median"])
    calibration = {"factor": 10 ** dex["median"], "standard deviation (dex)": dex["std"]}
    tables = {
        "Relaxed by CHGNet": pd.DataFrame(
            {"seed": seed, "of": group, **_summary(of, str(group))}
            for (seed, group), of in table.groupby(["seed", "group"], sort=False)
        ),
        "Known crystals without soft modes": pd.DataFrame(calibration).reset_index(),
    }
    figure = acoustic_temperatures(table).figure
    crystals = [{k: None if v != v else v for k, v in row.items()} for row in rows]
    content = {"protocol": "vibrations", "seeds": seeds, "crystals": crystals}
    return ProtocolResult("vibrations", content, tables, cast("Figure", figure))


def _group(seed: int, group: str, folder: Path | None) -> list[dict[str, Any]]:
    """What CHGNet says of each crystal of a group."""
    try:
        from chgnet.model.dynamics import CHGNetCalculator
    except ImportError:
        raise missing_extra("chgnet", "vibrations") from None
    calculator = CHGNetCalculator(use_device="cpu")
    of = trained(seed, folder)
    if group.startswith(REAL):
        some = _labelled(of.test, WISHES.get(group[-1], {}), _NUMBER[group], seed)
        crystals, expected = some.crystals, some.targets[_THETA]
    else:
        designs = of.vae.design(WISHES[group], n=_NUMBER[group], seed=seed)
        crystals, expected = tuple(designs.crystals), designs.table[_THETA]
    return [
        {
            "seed": seed,
            "group": group,
            "crystal": crystal.text,
            "formula": crystal.formula,
            "expected": float(value),
            **asdict(vibrations_of(crystal.structure(), calculator)),
        }
        for crystal, value in zip(crystals, expected, strict=True)
    ]


def _labelled(data: CrystalDataset, wish: Mapping[str, Any], n: int, seed: int) -> CrystalDataset:
    """Crystals whose temperature is known, and all that is wished for."""
    rows = np.flatnonzero(data.targets[_THETA].notna() & fulfilled(data, wish))
    chosen = np.random.default_rng(seed).choice(rows, min(n, len(rows)), replace=False)
    return data.take(np.sort(chosen))


def _summary(of: pd.DataFrame, group: str) -> dict[str, Any]:
    shown = {
        "n": len(of),
        "relaxed in their space group (%)": 100 * of["same_space_group"].mean(),
        f"no mode below {SOFT} THz (%)": 100 * of["minimum"].mean(),
        "median expected (K)": of["expected"].median(),
        "median by CHGNet (K)": of["scaled"].median(),
    }
    if group != REAL:
        wished = of["scaled"].between(*limits(WISHES[group[-1]][_THETA]))
        shown["as wished (%)"] = 100 * wished.mean()
    return shown
