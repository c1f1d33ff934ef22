"""Further reports, sputtered films and indicators of the elements; `build.py` calls this."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pyro_hea.materials.alloys.composition import format_formula, fraction_table

CONDITIONS = ["rolling_reduction_pct", "anneal_temperature_C", "anneal_time_min"]
"""Columns of conditions that only these sources have."""

MEASURED = {
    "hardness": ("hardness_HV", "HV"),
    "yield_strength": ("yield_strength_MPa", "MPa"),
    "fracture_strain": ("fracture_strain_pct", "%"),
}
"""Column of the raw reports and unit of each measured target."""

MORE_SOURCES = (
    "ideaslab_hardness",
    "ideaslab_phase",
    "metallor_rhea",
    "wen2019",
    "bajpai_strength",
    "liu_rhea",
)
"""Compilations in the further reports."""

YEAR = {"wen2019": 2019}
DOI = {"wen2019": "10.1016/j.actamat.2019.03.010"}

INDICATORS = {
    "Raw material price (USD/kg)": "price_USD_kg",
    "Supply risk": "supply_risk",
    "Normalized vulnerability to supply restriction": "supply_vulnerability",
    "Embodied energy (MJ/kg)": "embodied_energy_MJ_kg",
    "Rock to metal ratio (kg/kg)": "rock_to_metal_kg_kg",
    "Water usage (l/kg)": "water_usage_l_kg",
    "Human health damage": "human_health_damage",
    "Human rights pressure": "human_rights_pressure",
    "Labor rights pressure": "labor_rights_pressure",
}
"""Columns of the raw indicators and of ours."""


def more_reports(facts: Path, phases: pd.DataFrame) -> pd.DataFrame:
    """One row per number or reading of the phases in the further compilations."""
    raw = pd.read_csv(facts / "more_reports.csv").rename(columns={"formula": "reported_formula"})
    raw = raw.merge(phases, on="phases", how="left", validate="many_to_one")
    raw["year"] = raw["source"].map(YEAR)
    raw["doi"] = raw["source"].map(DOI)
    rolled = raw["rolling_reduction_pct"].notna()
    raw["processing"] = np.where(rolled, "WROUGHT", None)
    raw["anneal_temperature_C"] = pd.to_numeric(raw["anneal_temperature_C"].str.strip())
    # "over50" is a test that was stopped; a number is needed for a label
    raw["fracture_strain_pct"] = pd.to_numeric(raw["fracture_strain_pct"], errors="coerce")
    columns = {"phase": ("phase", ""), "single_phase": ("single_phase", ""), **MEASURED}
    parts = [
        raw.assign(target=target, value=raw[column].astype(object), unit=unit)
        for target, (column, unit) in columns.items()
    ]
    return pd.concat(parts).dropna(subset="value").sort_index(kind="stable")  # by record


def formulas_near(spellings: list[str], known: pd.Series, tolerance: float) -> pd.Series:
    """Formula of the alloy of each spelling: a known one within the tolerance, or its own.

    The known alloys keep their formulas, whatever is added.

    Raises
    ------
    ValueError
        If a spelling is as close to two known alloys, or two new alloys are that close.
    """
    names = sorted(set(known))
    fractions = fraction_table([*names, *spellings])
    old, new = fractions.to_numpy()[: len(names)], fractions.to_numpy()[len(names) :]
    found: dict[str, str] = {}
    own: dict[str, np.ndarray] = {}
    for spelling, row in zip(spellings, new, strict=True):
        near = np.flatnonzero(np.abs(old - row).sum(axis=1) / 2 <= tolerance)
        if len(near) > 1:
            raise ValueError(f"{spelling} is near {[names[i] for i in near]}")
        if len(near):
            found[spelling] = names[near[0]]
            continue
        same = [f for f, other in own.items() if np.abs(other - row).sum() / 2 <= tolerance]
        if len(same) > 1:
            raise ValueError(f"{spelling} is near {same}")
        found[spelling] = same[0] if same else format_formula(spelling)
        own.setdefault(found[spelling], row)
    return pd.Series(found)


def film_table(facts: Path) -> pd.DataFrame:
    """One row per sputtered film."""
    raw = pd.read_csv(facts / "film_phases.csv")
    return raw.assign(formula=[format_formula(formula) for formula in raw["formula"]])


def indicator_table(facts: Path) -> pd.DataFrame:
    """Indicators by element, in alphabetical order."""
    raw = pd.read_csv(facts / "element_indicators.csv").rename(columns={"elements": "element"})
    table = raw.rename(columns=INDICATORS)[["element", *INDICATORS.values()]]
    return table.sort_values("element", ignore_index=True)
