"""The packaged crystals, and structure files of a user's own."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
import pandas as pd

from pyro_hea.crystals.dataset import TARGET_UNITS, CrystalDataset

_SOURCES = ["structure_source", "elastic_source", "duplicate_of"]
_SOFT_MODE_THZ = -0.3


def load_crystals() -> CrystalDataset:
    """Load the packaged crystals with their thermal and electronic targets.

    Computed by density functional theory; the datasheet, `data/README.md`, tells sources,
    licences and known faults.

    Returns
    -------
    CrystalDataset
        Fifteen thousand crystals; many targets are known of a part only.
    """
    with as_file(files("pyro_hea.data") / "crystals.csv.xz") as path:
        rows = pd.read_csv(path, keep_default_na=False, na_values=[""]).set_index("id")
    parts = (rows["space_group"].map(str), rows["lattice"].map(str), rows["orbits"])
    text = pd.Series([" | ".join(part) for part in zip(*parts, strict=True)], rows.index)
    gap, lowest = rows["gap"], rows["minimum_frequency"]
    rows["metal"] = (gap == 0).astype(float).where(gap.notna())
    rows["soft_modes"] = (lowest < _SOFT_MODE_THZ).astype(float).where(lowest.notna())
    targets = rows[list(TARGET_UNITS)].astype(np.float64)
    return CrystalDataset(text.rename("text"), targets, rows[_SOURCES])
