"""Build `crystals.csv.xz` from the raw facts, and check it.

``--check`` compares instead of writing::

    python data/build_crystals.py [--facts ../shared/facts] [--check]

What the table holds, where it comes from and what is known to be wrong in it stands in the
datasheet, README.md.
"""

from __future__ import annotations

import argparse
import lzma
import sys
from pathlib import Path

import pandas as pd

from pyro_hea.materials.crystals.wyckoff import WyckoffStructure

HERE = Path(__file__).resolve().parent
FACTS = HERE.parents[1] / "shared" / "facts"

SOFT_MODE_THZ = -0.3
"""A frequency below this is imaginary; a smaller one is noise of the finite differences."""

TARGETS = {
    "theta_a": "acoustic_debye_temperature",
    "theta_d": "debye_temperature",
    "theta_d_elastic": "elastic_debye_temperature",
    "gap": "gap",
    "m_p": "hole_mass",
    "m_n": "electron_mass",
    "k_vrh": "bulk_modulus",
    "g_vrh": "shear_modulus",
    "cv_300": "heat_capacity",
    "s_300": "entropy",
    "w_max": "maximum_frequency",
    "w_min": "minimum_frequency",
    "kappa_min_600": "minimum_thermal_conductivity",
    "eps_inf": "electronic_permittivity",
    "eps_0": "static_permittivity",
    "s_p": "seebeck_p",
    "s_n": "seebeck_n",
    "e_form": "formation_energy",
}
"""Column of the raw facts and name of each target."""

HARMONIC = ("theta_d", "theta_a", "cv_300", "s_300", "w_max")
"""What a crystal with soft modes has no value of."""


def read(path: Path) -> pd.DataFrame:
    """A table in which the formula NaN is sodium nitride."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def crystal_table(facts: Path) -> pd.DataFrame:
    """Structures in the canonical setting with their targets, by Materials Project id."""
    structures = read(facts / "structures.csv")
    thermal = structures.merge(read(facts / "properties.csv"), on="id", validate="one_to_one")
    rows = pd.concat([thermal, read(facts / "electronic.csv")], ignore_index=True)
    assert rows["id"].is_unique
    rows.loc[rows["w_min"] < SOFT_MODE_THZ, list(HARMONIC)] = float("nan")
    found = [
        WyckoffStructure.from_text(" | ".join(part)).canonical()
        for part in zip(rows["space_group"].map(str), rows["lattice"], rows["sites"], strict=True)
    ]
    for crystal, row in zip(found, rows.itertuples(index=False), strict=True):
        assert (crystal.formula, crystal.atoms) == (row.formula, row.atoms), row.id
        assert abs(crystal.volume_per_atom / row.volume_per_atom - 1) < 2e-3, row.id
    parts = [crystal.text.split(" | ") for crystal in found]
    table = pd.DataFrame(
        {
            "id": rows["id"],
            "formula": rows["formula"],
            "space_group": rows["space_group"],
            "lattice": [part[1] for part in parts],
            "orbits": [part[2] for part in parts],
            "structure_source": rows["structure_source"],
            "elastic_source": rows["elastic_source"],
            "duplicate_of": rows["duplicate_of"],
        }
    )
    for raw, name in TARGETS.items():
        table[name] = rows[raw]
    order = table["id"].str.removeprefix("mp-").astype(int)
    return table.iloc[order.argsort(kind="stable")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, default=FACTS)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text = crystal_table(arguments.facts / "crystals").to_csv(index=False)
    path = HERE / "crystals.csv.xz"
    if arguments.check:
        return int(lzma.decompress(path.read_bytes()).decode() != text)
    path.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    return 0


if __name__ == "__main__":
    sys.exit(main())
